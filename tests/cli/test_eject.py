from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Ftui, MakeRun
from tests.inspection.data_hub import Repository, in_the_hubs_place
from tui_ft.runs.folder import create
from tui_ft.runs.run_data import bring_data
from tui_ft.spec import build_spec


def test_a_file_becomes_axolotls_yaml(ftui: Ftui, spec_file: Path, tmp_path: Path) -> None:
    done = ftui("eject", str(spec_file), "--to", "axolotl", "--set", "training.max_length=512")
    assert done.exit_code == 0, done.output
    assert "cd support-axolotl && axolotl train axolotl.yaml" in done.output
    values = yaml.safe_load((tmp_path / "support-axolotl" / "axolotl.yaml").read_text())
    assert values["sequence_len"] == 512
    again = ftui("eject", str(spec_file), "--to", "axolotl")
    assert again.exit_code == 1
    assert "not empty" in again.output


def test_a_model_without_a_tokenizer_is_told(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("eject", str(spec_file))
    assert done.exit_code == 1
    assert "tokenizer.json" in done.output


def test_json_says_what_was_written(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("eject", str(spec_file), "--to", "axolotl", "--out", "there", "--json")
    said = json.loads(done.output)
    assert said["rows"]["train"] + said["rows"]["eval"] == 30
    assert said["file"] == "there/axolotl.yaml"


def test_a_run_is_found_by_the_beginning_of_its_name(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("support")
    done = ftui("eject", "supp", "--to", "axolotl")
    assert done.exit_code == 1
    assert "d.jsonl" in done.output  # its data are not there
    assert "no preset" in ftui("eject", "nothing-like-it").output


def test_rows_on_the_hub_are_fetched_and_those_of_a_run_stay_the_same(
    ftui: Ftui, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": f"say {n}", "completion": str(n)} for n in range(12)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    to_hub = ("eject", str(spec_file), "--to", "axolotl", "--set", "data.train=org/qa", "--json")
    with in_the_hubs_place(tmp_path / "hf", monkeypatch) as hub:
        hub.repositories["org/qa"] = Repository({"train.jsonl": data})
        done = ftui(*to_hub, "--set", "data.eval=org/qa")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["rows"]["train"] == 12
        run = create(build_spec({"model": {"name_or_path": "model"}, "data": {"train": "org/qa"}}))
        bring_data(run, run.spec(), lambda _: None, lambda: False)
        hub.repositories["org/qa"] = Repository({"train.jsonl": data * 2}, commit="f" * 40)
        again = json.loads(ftui("eject", run.id, "--to", "axolotl", "--json").stdout)["rows"]
        assert again["train"] + again["eval"] == 12
        missing = ftui(*to_hub, "--set", "data.train=org/none")
        assert missing.exit_code == 1
        assert "org/none" in missing.output
