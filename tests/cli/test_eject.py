from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cli.conftest import Ftui, MakeRun


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
