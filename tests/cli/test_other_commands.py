from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tests.cli.conftest import Ftui, MakeRun
from tui_ft import __version__
from tui_ft.cli import main
from tui_ft.runs import events as ev


def test_help_names_every_command(ftui: Ftui) -> None:
    shown = ftui("--help").stdout
    for command in [
        "demo",
        "train",
        "check",
        "watch",
        "runs",
        "logs",
        "stop",
        "resume",
        "delete",
        "doctor",
    ]:
        assert f"\n  {command} " in shown


def test_every_command_has_help(ftui: Ftui) -> None:
    for name in main.list_commands(None):  # type: ignore[arg-type] # it looks at no context
        done = ftui(name, "--help")
        assert done.exit_code == 0
        assert f"Usage: main {name}" in done.stdout


def test_version(ftui: Ftui) -> None:
    assert ftui("--version").stdout == f"ftui, version {__version__}\n"


def test_check_passes_a_sound_run_and_finds_nothing(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("check", "run.yaml")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "nothing stands against it"
    findings = json.loads(ftui("check", "run.yaml", "--json").stdout)
    assert [finding["severity"] for finding in findings] == ["note"]
    assert set(findings[0]) == {"severity", "text", "advice"}


def test_check_as_json_refuses_by_its_exit_code(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("check", "run.yaml", "--json", "--set", "data.train=nope.jsonl")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0]["severity"] == "bad"


def test_overrides_come_over_the_file(ftui: Ftui, spec_file: Path) -> None:
    spec_file.write_text("model: {name_or_path: model}\ndata: {train: nope.jsonl}\n")
    assert ftui("check", "run.yaml", "--set", "data.train=data.jsonl").exit_code == 0


def test_presets_say_when_to_use_them(ftui: Ftui) -> None:
    found = json.loads(ftui("presets", "--json").stdout)
    assert {"demo", "sft-lora", "sft-qlora", "sft-full"} <= {preset["name"] for preset in found}
    assert all(preset["description"] for preset in found)
    assert "sft-lora\n    The default for" in ftui("presets").stdout


def test_doctor_as_json(ftui: Ftui) -> None:
    done = ftui("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert checks["ftui"]["found"] == __version__
    assert {check["status"] for check in checks.values()} <= {"ok", "warn", "bad"}
    bad = [name for name, check in checks.items() if check["status"] == "bad"]
    assert done.exit_code == (1 if bad else 0)


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete "), ("zsh", "#compdef ftui"), ("fish", "complete ")]
)
def test_completion_scripts(shell: str, sign: str, ftui: Ftui) -> None:
    shown = ftui("completion", shell).stdout
    assert sign in shown
    assert "_FTUI_COMPLETE" in shown


def test_runs_presets_and_commands_complete(home: Path, make_run: MakeRun) -> None:
    make_run("alpha", ev.Ended(state="finished", reason="done"))
    complete = ShellComplete(main, {}, "ftui", "_FTUI_COMPLETE")
    assert [item.value for item in complete.get_completions(["watch"], "al")] == ["alpha"]
    assert "sft-lora" in [item.value for item in complete.get_completions(["train"], "sft")]
    assert [item.value for item in complete.get_completions([], "chec")] == ["check", "checkpoint"]


def test_ctrl_c_while_a_command_loads_ends_it_as_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tui_ft.cli.importlib.import_module", interrupted)
    done = CliRunner().invoke(main, ["runs", "--json"])
    assert (done.exit_code, done.output) == (130, "")
