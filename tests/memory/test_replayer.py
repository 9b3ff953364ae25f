"""The process of a dry run is kept for the next question, and ends with whoever asks it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tui_ft.memory import replayer as module
from tui_ft.memory.replayer import DiedError, Replayer, end_kept, replayer

# Answers each line with its own number of the process, and the line; dies of the line "die".
_ECHO = """
import os, sys
for line in sys.stdin:
    if line.strip() == "die":
        sys.exit("of a line")
    print(os.getpid(), line, end="", flush=True)
"""


@pytest.fixture(autouse=True)
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let processes be started that answer at once."""

    def started(command: tuple[str, ...]) -> Replayer:
        one = Replayer((sys.executable, "-c", _ECHO, *command))
        one.command = command
        return one

    end_kept()
    monkeypatch.setattr(module, "Replayer", started)
    yield
    end_kept()


def _never() -> None:
    """Wait on."""


def _asked(question: bytes = b"hello", *, gently: bool = False) -> int:
    with replayer(gently=gently) as one:
        number, said = one.answer(question, _never).split(b" ", 1)
    assert said == question
    return int(number)


def test_one_process_answers_what_comes_later_too() -> None:
    assert _asked() == _asked() == _asked(b"x" * 1_000_000)


def test_what_is_asked_gently_is_not_asked_of_another() -> None:
    assert _asked(gently=True) != _asked()
    assert len(module._IDLE) == 2


def test_two_at_once_are_two_and_both_are_kept() -> None:
    with replayer(gently=False):
        _asked()
    assert len(module._IDLE) == 2


def test_one_that_died_meanwhile_is_replaced() -> None:
    first = _asked()
    psutil.Process(first).kill()
    psutil.wait_procs([psutil.Process(first)], timeout=60)
    assert _asked() != first


def test_one_that_dies_of_a_question_says_why_and_is_not_kept() -> None:
    with pytest.raises(DiedError) as caught:
        _asked(b"die")
    assert (caught.value.code, caught.value.last) == (1, "of a line")
    assert not module._IDLE


def test_one_that_nobody_waits_for_is_killed() -> None:
    def enough() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError), replayer(gently=False) as one:
        process = one._process
        one._process.send_signal(signal.SIGSTOP)
        one.answer(b"hello", enough)
    assert process.returncode == -signal.SIGKILL
    assert not module._IDLE


def test_one_that_is_not_asked_again_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.2)
    first = _asked()
    deadline = time.monotonic() + 120
    while psutil.pid_exists(first):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not module._IDLE


@pytest.mark.parametrize("end", ["", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_it_ends_with_whoever_asked_it(end: str) -> None:
    asks = (
        "from tui_ft.memory import replayer\n"
        "with replayer.replayer(gently=False) as one:\n"
        "    print(one._process.pid, flush=True)\n" + end
    )
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, check=False)
    number = int(done.stdout)
    deadline = time.monotonic() + 120
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
