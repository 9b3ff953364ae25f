"""Ask for dry runs: each is made in a process of its own, and its answer is kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
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

_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes", "tui-ft")
_KEPT: Final = 500
_PROCESSES: Final = 2  # each imports torch anew, and takes up to a GB
_LOOK_SECONDS: Final = 0.1
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
    lines = b"".join(msgspec.json.encode(question) + b"\n" for question in questions)
    command = [sys.executable, "-m", "tui_ft.dryrun", *(("--gently",) if manner.gently else ())]
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        ) as process:
            try:
                stdout, stderr = _wait(process, lines, manner)
            except BaseException:
                process.kill()
                raise
    except OSError as error:
        raise DryRunError(f"the dry run could not be started: {error.strerror}") from None
    answers = [msgspec.json.decode(line, type=Answer) for line in stdout.splitlines()]
    if len(answers) != len(questions):
        raise DryRunError(_why_it_died(process.returncode, stderr))
    return answers


def _wait(process: subprocess.Popen[bytes], lines: bytes, manner: _Manner) -> tuple[bytes, bytes]:
    """Return what a process writes until its end."""
    until = time.monotonic() + manner.timeout
    given: bytes | None = lines
    while True:
        try:
            return process.communicate(given, timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            given = None  # the rest of it is still sent
            if manner.is_cancelled():
                raise DryRunCancelledError("the dry run was cancelled") from None
            if time.monotonic() > until:
                said = f"the dry run took more than {manner.timeout:.0f} s and was ended"
                raise DryRunError(said) from None


def _why_it_died(code: int, stderr: bytes) -> str:
    if code < 0:
        return f"the dry run was killed by signal {-code}; the machine may be out of memory"
    last = stderr.decode(errors="replace").strip().splitlines()
    return f"the dry run ended with {code}: {last[-1] if last else 'it said nothing'}"


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
