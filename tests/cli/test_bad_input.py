from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Ftui, in_a_process

_RUN = "model: {name_or_path: model}\ndata: {train: data.jsonl}\n"


def _refused(ftui: Ftui, *arguments: str) -> str:
    """Return what was said on stderr: few lines, exit code 1, no traceback."""
    done = ftui(*arguments)
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    assert 1 <= len(done.stderr.splitlines()) <= 5
    return done.stderr


@pytest.mark.parametrize("command", ["train", "check"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("- a\n", "holds a list"),
        ("\x00\x01", "not valid YAML"),
        ("a: [", "not valid YAML"),
        ("a: 2024-99-99\n", "not valid YAML: month"),
        ("a: 1\na: 2\n", "is given twice"),
        ("a: &a [*a]\n" + _RUN, "its aliases unfold into more than 100,000 values"),
        ("1: 2\n" + _RUN, "1: is no name"),
        ("int: 2\n" + _RUN, "int: unknown key"),
        ("data: {train: data.jsonl}\n", "model: is missing; allowed: model.name_or_path"),
        (_RUN + "training: {learning_rat: 1}\n", "did you mean `training.learning_rate`?"),
        (
            _RUN + "training: {extra: {optim_targt: 1}}\n",
            "training.extra.optim_targt: SFTConfig has no such argument (did you mean",
        ),
        (_RUN + "method: {kind: lorra}\n", "unknown kind `lorra`; allowed: full, lora, qlora"),
        ("model: {name_or_path: nowhere/}\ndata: {train: data.jsonl}\n", "no folder nowhere"),
        ('model: {name_or_path: "a\\0b"}\ndata: {train: data.jsonl}\n', "no folder a␀b"),
        ("model: {name_or_path: model}\ndata: {train: ~nobody/x}\n", "no file"),
        ("model: {name_or_path: model}\ndata: {train: nope.jsonl}\n", "no file"),
        (_RUN + "hardware: {gpus: [7]}\n", "GPU 7 is not in this machine"),
    ],
)
def test_a_spec_that_cannot_be_run(
    command: str, content: str, said: str, ftui: Ftui, spec_file: Path
) -> None:
    spec_file.write_text(content)
    assert said in _refused(ftui, command, "run.yaml")


def test_the_line_of_an_unknown_key_is_told(ftui: Ftui, spec_file: Path) -> None:
    spec_file.write_text(_RUN + "training:\n  packing: true\n  paking: true\n")
    assert "run.yaml:5: training.paking" in _refused(ftui, "check", "run.yaml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nope.yaml"), "no such file, and no preset"),
        (("train", "."), "no such file, and no preset"),
        (("train", "sft-lora", "--set", "training"), "not of the form key=value"),
        (("check", "sft-lora", "--set", "model=3"), "a group of keys belongs here"),
        (("check", "run.yaml", "--set", "training.max_steps=2024-99-99"), "training.max_steps"),
        (("watch", "nope"), "there is no run `nope`"),
        (("watch",), "there are no runs yet"),
        (("logs",), "there are no runs yet"),
        (("stop",), "no run is live"),
        (("checkpoint",), "no run is live"),
        (("resume", "nope"), "there is no run `nope`"),
        (("delete", "nope", "--yes"), "there is no run `nope`"),
    ],
)
def test_what_is_not_there(
    arguments: tuple[str, ...], said: str, ftui: Ftui, spec_file: Path
) -> None:
    assert said in _refused(ftui, *arguments)


@pytest.mark.parametrize("arguments", [("frob",), ("delete",), ("completion", "tcsh"), ("train",)])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], ftui: Ftui) -> None:
    done = ftui(*arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr


def test_a_wrong_model_folder_is_told_apart_from_a_wrong_file(
    ftui: Ftui, spec_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "model" / "config.json").unlink()
    assert "holds no config.json" in _refused(ftui, "check", "run.yaml")


def test_names_that_would_drive_the_terminal_are_shown_harmless(ftui: Ftui) -> None:
    said = _refused(ftui, "watch", "\x1b[31mred\x07")
    assert "\x1b" not in said
    assert "\x07" not in said


def test_the_real_command_shows_no_traceback(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    done = in_a_process("train", "empty.yaml")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("empty.yaml: is empty")
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_is_said(home: Path, spec_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = in_a_process("train", "run.yaml", "--detach", FTUI_HOME=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "set FTUI_HOME to a folder" in done.stderr
    assert "Traceback" not in done.stderr
