"""The closed form at every key, a real dry run once keys rest, ended when something changes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests import idle
from tests.memory.models import TINY
from tests.screens.conftest import FixedHardware
from tests.screens.test_configure import WIDE, go_to, opened
from tests.screens.test_home import running, shown, until
from tests.tiny_model import chat_rows, write_rows
from tui_ft import text
from tui_ft.advise.estimator import Seconds
from tui_ft.memory.estimating import Unknown, figures
from tui_ft.memory.figure import Figure, Term
from tui_ft.memory.question import Question
from tui_ft.memory.replayer import end_kept
from tui_ft.memory.sharding import Sharding
from tui_ft.plan.outlook import Outlook, RunFacts, question_of
from tui_ft.screens.configure import outlook_line
from tui_ft.screens.configure.outlook_line import OutlookLine
from tui_ft.screens.configure.outlook_text import outlook_lines
from tui_ft.spec import build_spec


@pytest.fixture
def values(home: Path, tmp_path: Path, tiny_llama: Path) -> dict[str, Any]:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(60))
    return {
        "model": {"name_or_path": str(tiny_llama)},
        "data": {"train": str(data)},
        "training": {"max_length": 64, "per_device_train_batch_size": 2},
    }


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Return the dry runs that are begun; none is begun while another is at work."""
    end_kept()
    found: list[subprocess.Popen[bytes]] = []
    whole = subprocess.Popen

    def begin(command: list[str], *args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        if "tui_ft.dryrun" not in command:
            return whole(command, *args, **kwargs)
        assert all(one.returncode is not None for one in found), "one at a time"
        assert "--gently" in command
        found.append(whole(command, *args, **kwargs))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", begin)
    monkeypatch.setattr(outlook_line, "REPLAY_SECONDS", 0.2)
    return found


async def paused_until(condition: Callable[[], bool], pilot: Pilot[None]) -> None:
    """Wait without waiting for the workers' end."""
    await idle.until(condition, pilot)


async def test_a_dry_run_takes_the_place_of_the_estimate(
    values: dict[str, Any], begun: list[subprocess.Popen[bytes]]
) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, values)
        await paused_until(lambda: "estimate" in shown(app, "#outlook"), pilot)
        assert "~" in shown(app, "#outlook")
        assert "estimate, a dry run follows" in shown(app, "#outlook")
        await until(lambda: "~" not in shown(app, "#outlook"), app, pilot)
        line = screen.query_one(OutlookLine)
        facts, spec = line._facts, screen._draft.spec
        assert facts is not None
        assert spec is not None
        asked = question_of(spec, facts, FixedHardware().latest())
        assert asked is not None
        assert asked.sharding is None
        (figure,) = figures([asked.step])  # kept: it is not asked again
        assert isinstance(figure, Figure)
        assert f"{text.gibibytes(figure.expected)} of 79.6 GiB" in shown(app, "#outlook")
        assert shown(app, "#outlook").splitlines()[0].rstrip().endswith("dry run")
        assert len(begun) == 1

        await go_to(screen, pilot, "training.learning_rate")
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "1e-3"  # not a matter of memory
        await pilot.pause()
        assert "~" not in shown(app, "#outlook")
        await pilot.press("escape")
        await pilot.press("m")
        await go_to(screen, pilot, "training.per_device_train_batch_size")
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "3"
        await idle.rested(pilot)
        assert "estimate, dry runs are off (m)" in shown(app, "#outlook")
        assert len(begun) == 1


async def test_a_change_ends_the_dry_run_of_what_was_before(
    values: dict[str, Any],
    begun: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin: Any = subprocess.Popen

    def begin_held(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        one: subprocess.Popen[bytes] = begin(*args, **kwargs)
        if one in begun[:2]:
            one.send_signal(signal.SIGSTOP)  # it shall not be done before the change
        return one

    monkeypatch.setattr(subprocess, "Popen", begin_held)
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, values)
        await paused_until(lambda: len(begun) == 1, pilot)
        await go_to(screen, pilot, "training.per_device_train_batch_size")
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "3"
        await paused_until(lambda: begun[0].returncode is not None, pilot)
        assert begun[0].returncode == -signal.SIGKILL
        await paused_until(lambda: len(begun) == 2, pilot)
        await pilot.press("escape")  # as it was: that is replayed in the end
        await until(lambda: "~" not in shown(app, "#outlook"), app, pilot)
        # The last is kept, to be asked again.
        assert [one.poll() for one in begun] == [-signal.SIGKILL, -signal.SIGKILL, None]
    end_kept()
    assert begun[-1].returncode == -signal.SIGKILL


def test_nothing_is_replayed_on_the_cpu_and_of_several_gpus_fsdp_alone() -> None:
    facts, snapshot = RunFacts(config=TINY), FixedHardware().latest()

    def step_on(gpus: object, **how: Any) -> object:
        given = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}
        return question_of(
            build_spec({**given, "hardware": {"gpus": gpus, **how}}), facts, snapshot
        )

    assert step_on("auto") is not None
    assert step_on("none") is None
    assert step_on([0, 1]) is None
    fsdp = {"kind": "fsdp"}
    asked = step_on([0, 1], distributed=fsdp)
    assert isinstance(asked, Question)
    assert asked.sharding == Sharding(kind="fsdp", gpus=2)
    assert step_on([0, 1], distributed={**fsdp, "cpu_offload": True}) is None


def _figure(gibibytes: float) -> Figure:
    size = int(gibibytes * 2**30)
    return Figure(
        low=size - 10**9, expected=size, high=size + 10**9, terms=(Term("all", size),),
        stage="backward", source="estimate",
    )  # fmt: skip


def test_each_of_several_gpus_is_shown() -> None:
    found = Outlook(
        memory=_figure(30), gpus=(0, 2), frees=(40 * 2**30, 20 * 2**30), spread="FSDP2",
        time=Seconds(low=1.0, expected=60.0, high=90.0),
    )  # fmt: skip
    first, each, _ = outlook_lines(found, 120).plain.splitlines()
    assert "on each of 2 GPUs, FSDP2" in first
    assert "of 20.0 GiB" in first
    assert (found.fit_of(40 * 2**30), found.fit) == ("fits", "no")
    assert "0: " in each
    assert "2: " in each
    assert "40.0" in each
    assert len(outlook_lines(found, 78).plain.splitlines()[1]) < 78


def test_gpus_that_are_not_there_are_missed_aloud() -> None:
    found = Outlook(memory=_figure(30), gpus=(0,), frees=(40 * 2**30,), spread="DDP", short=3,
                    time=Unknown("?"))  # fmt: skip
    said = outlook_lines(found, 120).plain
    assert "on each of 4 GPUs, DDP; 3 of them are not there" in said
