from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cli.conftest import Ftui
from tui_ft.spec import load_spec

GIVEN = ("--set", "model.name_or_path=m", "--set", "data.train=d.jsonl")


def test_a_preset_becomes_a_file_that_says_little_and_means_the_same(
    ftui: Ftui, tmp_path: Path
) -> None:
    done = ftui("configure", "sft-qlora", *GIVEN, "--set", "method.r=64", "--out", "run.yaml")
    assert done.exit_code == 0, done.output
    spec = load_spec(tmp_path / "run.yaml")
    assert (spec.method.kind, spec.model.name_or_path) == ("qlora", "m")
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["method"]["r"] == 64
    again = ftui("configure", "sft-qlora", *GIVEN, "--out", "run.yaml")
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_a_file_that_cannot_be_written_is_named(ftui: Ftui) -> None:
    done = ftui("configure", "sft-lora", *GIVEN, "--out", "nowhere/run.yaml")
    assert done.exit_code == 1
    assert "nowhere/run.yaml cannot be written: No such file or directory" in done.output


def test_it_is_printed_whole_or_as_json(ftui: Ftui) -> None:
    little, whole = (
        ftui("configure", "sft-lora", *GIVEN, *more).output for more in ((), ("--whole",))
    )
    assert "weight_decay" not in little
    assert yaml.safe_load(whole)["training"]["weight_decay"] == 0.0
    said = json.loads(ftui("configure", "sft-lora", *GIVEN, "--json").output)
    assert said["run"] == yaml.safe_load(whole)


def test_what_is_missing_or_wrong_is_named(ftui: Ftui) -> None:
    assert "data: is missing" in ftui("configure", "sft-lora").output
    wrong = ftui("configure", "sft-lora", *GIVEN, "--set", "training.learning_rat=1")
    assert wrong.exit_code == 1
    assert "learning_rate" in wrong.output


def test_another_kind_leaves_out_what_the_preset_says_of_its_own(
    ftui: Ftui, tmp_path: Path
) -> None:
    """But never what somebody has typed or written himself."""
    done = ftui("configure", "sft-lora", *GIVEN, "--set", "method.kind=freeze", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)["run"]["method"]
    assert said == {"kind": "freeze", "num_trainable_layers": 2}
    assert "method.r, " in done.stderr
    assert "left out, the kind `freeze` has no such key" in done.stderr
    kept = ftui("configure", "sft-lora", *GIVEN, "--set", "method.kind=qlora", "--json")
    assert json.loads(kept.stdout)["run"]["method"]["r"] == 16
    assert not kept.stderr
    typed = ("--set", "method.kind=freeze", "--set", "method.r=8")
    assert "method.r: is no key of the kind" in ftui("configure", "sft-lora", *GIVEN, *typed).stderr
    file = tmp_path / "own.yaml"
    file.write_text("method: {kind: lora, r: 8}\n")
    own = ftui("configure", str(file), *GIVEN, "--set", "method.kind=freeze")
    assert own.exit_code == 1
    assert "method.r: is no key of the kind `freeze`" in own.stderr
    wrong = ftui("configure", "sft-lora", *GIVEN, "--set", "method.kind=frieze")
    assert "unknown kind `frieze`" in wrong.stderr
