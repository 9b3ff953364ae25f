"""Dry runs are made in a process of their own, and their answers are kept."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.memory.models import TINY
from tui_ft.memory import dry_run
from tui_ft.memory.dry_run import DryRunCancelledError, DryRunError, dry_runs, known_answer
from tui_ft.memory.question import Question
from tui_ft.memory.replayer import end_kept
from tui_ft.memory.step import Step


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    return tmp_path


def test_answers_come_in_order_and_are_kept_for_the_user_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Question(step=Step(config=TINY, batch=1, length=32))
    unknown = Question(step=Step(config={"model_type": "no such"}, batch=1, length=32))
    long = Question(step=Step(config=TINY, batch=1, length=512))
    first = dry_runs([short, unknown, long])
    assert first[0].replayed is not None
    assert first[2].replayed is not None
    assert first[0].replayed.allocated < first[2].replayed.allocated
    assert "no such" in str(first[1].error)
    kept = list((home / "dry-runs").glob("*.json"))
    assert len(kept) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}

    monkeypatch.setattr(dry_run, "replayer", lambda **k: pytest.fail("asked again"))
    assert dry_runs([long, short]) == (first[2], first[0])


def test_a_damaged_answer_is_asked_for_again(home: Path) -> None:
    question = Question(step=Step(config=TINY, batch=1, length=32))
    (answer,) = dry_runs([question])
    (kept,) = (home / "dry-runs").glob("*.json")
    kept.write_text("{")
    assert dry_runs([question])[0].replayed is not None
    assert answer.replayed is not None


def test_a_process_that_dies_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DryRunError, match="the dry run ended with 1"):
        dry_runs([Question(step=Step(config=TINY, batch=1, length=32))])


def test_a_dry_run_that_nobody_waits_for_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    end_kept()
    begun: list[subprocess.Popen[bytes]] = []
    whole = subprocess.Popen

    def begin(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        begun.append(whole(*args, **kwargs))
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", begin)
    question = Question(step=Step(config=TINY, batch=1, length=40))
    with pytest.raises(DryRunCancelledError):
        dry_runs([question], gently=True, is_cancelled=lambda: True)
    assert [process.returncode for process in begun] == [-signal.SIGKILL]
    assert known_answer(question) is None
