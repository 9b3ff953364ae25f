"""Ask for dry runs: they are made in a process of their own, and their answers are kept."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from tui_ft import paths
from tui_ft.memory.question import Answer, Question
from tui_ft.memory.replayer import DiedError, replayer

_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes", "tui-ft")
_KEPT: Final = 500
_PROCESSES: Final = 2  # each imports torch anew, and takes up to a GB
IsCancelled = Callable[[], bool]


class DryRunError(Exception):
    """No answer came; the reason is for people."""


class DryRunCancelledError(DryRunError):
    """Nobody waits for the answer any more."""


def never() -> bool:
    """Somebody waits to the end."""
    return False


def dry_runs(
    questions: Sequence[Question],
    *,
    timeout: float = 600,
    gently: bool = False,
    is_cancelled: IsCancelled = never,
) -> tuple[Answer, ...]:
    """Return the answers, in order; those given before at once, others after some seconds each.

    More than one are shared between two processes.

    Args:
        questions: what is asked.
        timeout: seconds for all of them together.
        gently: at the lowest priority and one after another, beside something that is at work.
        is_cancelled: asked ten times a second; once it says yes, the process is ended.

    Raises:
        DryRunError: the process died or took too long; DryRunCancelledError: it was cancelled.
    """
    known = {question: _recall(question) for question in map(_key, questions)}
    missing = [question for question in questions if known[_key(question)] is None]
    if missing:
        for question, answer in zip(
            missing, _ask_all(missing, _Manner(timeout, gently, is_cancelled)), strict=True
        ):
            known[_key(question)] = answer
            _remember(_key(question), answer)
    answers = [known[_key(question)] for question in questions]
    return tuple(answer for answer in answers if answer is not None)


def known_answer(question: Question) -> Answer | None:
    """Return an answer that was given before; None when there is none."""
    return _recall(_key(question))


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a process is asked; see `dry_runs`."""

    timeout: float
    gently: bool
    is_cancelled: IsCancelled


def _ask_all(questions: Sequence[Question], manner: _Manner) -> list[Answer]:
    """Return the answers, in order, of as many processes as are worth their start."""
    processes = 1 if manner.gently else min(_PROCESSES, len(questions), os.cpu_count() or 1)
    shares = [questions[first::processes] for first in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        answered = list(pool.map(lambda share: _ask(share, manner), shares))
    return [answered[number % processes][number // processes] for number in range(len(questions))]


def _ask(questions: Sequence[Question], manner: _Manner) -> list[Answer]:
    until = time.monotonic() + manner.timeout

    def look() -> None:
        if manner.is_cancelled():
            raise DryRunCancelledError("the dry run was cancelled")
        if time.monotonic() > until:
            raise DryRunError(f"the dry run took more than {manner.timeout:.0f} s and was ended")

    try:
        with replayer(gently=manner.gently) as process:
            lines = [process.answer(msgspec.json.encode(one), look) for one in questions]
    except OSError as error:
        raise DryRunError(f"the dry run could not be started: {error.strerror}") from None
    except DiedError as error:
        raise DryRunError(_why_it_died(error)) from None
    return [msgspec.json.decode(line, type=Answer) for line in lines]


def _why_it_died(error: DiedError) -> str:
    if error.code < 0:
        return f"the dry run was killed by signal {-error.code}; the machine may be out of memory"
    return f"the dry run ended with {error.code}: {error.last or 'it said nothing'}"


def _key(question: Question) -> str:
    """Return what names an answer: the question, and the versions that would answer it."""
    versions = [f"{name} {_version(name)}" for name in _LIBRARIES]
    asked = msgspec.json.encode([versions, question], order="sorted")
    return hashlib.sha256(asked).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _folder() -> Path:
    return paths.home() / "dry-runs"


def _recall(key: str) -> Answer | None:
    """Return an answer that was given before; None when there is none that can be read."""
    place = _folder() / f"{key}.json"
    try:
        answer = msgspec.json.decode(place.read_bytes(), type=Answer)
        os.utime(place)
    except (OSError, msgspec.DecodeError):
        return None
    return answer


def _remember(key: str, answer: Answer) -> None:
    """Keep an answer, and the newest of all; a full disk only costs the next one its time."""
    if answer.replayed is None:
        return
    try:
        folder = paths.make_private_dir(_folder())
        paths.write_atomically(folder / f"{key}.json", msgspec.json.encode(answer))
        kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return
