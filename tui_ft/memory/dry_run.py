"""Ask for dry runs: each is made in a process of its own, and its answer is kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from tui_ft import paths
from tui_ft.memory.question import Answer, Question

_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes", "tui-ft")
_KEPT: Final = 500
_PROCESSES: Final = 2  # each imports torch anew, and takes up to a GB


class DryRunError(Exception):
    """No answer came; the reason is for people."""


def dry_runs(
    questions: Sequence[Question], *, timeout: float = 600, gently: bool = False
) -> tuple[Answer, ...]:
    """Return the answers, in order; those given before at once, others after some seconds each.

    More than one are shared between two processes.

    Args:
        questions: what is asked.
        timeout: seconds for all of them together.
        gently: at the lowest priority, beside something that is at work.

    Raises:
        DryRunError: the process died or took too long.
    """
    known = {question: _recall(question) for question in map(_key, questions)}
    missing = [question for question in questions if known[_key(question)] is None]
    if missing:
        for question, answer in zip(missing, _ask_all(missing, timeout, gently), strict=True):
            known[_key(question)] = answer
            _remember(_key(question), answer)
    answers = [known[_key(question)] for question in questions]
    return tuple(answer for answer in answers if answer is not None)


def known_answer(question: Question) -> Answer | None:
    """Return an answer that was given before; None when there is none."""
    return _recall(_key(question))


def _ask_all(questions: Sequence[Question], timeout: float, gently: bool) -> list[Answer]:
    """Return the answers, in order, of as many processes as are worth their start."""
    processes = 1 if gently else min(_PROCESSES, len(questions), os.cpu_count() or 1)
    shares = [questions[first::processes] for first in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        answered = list(pool.map(lambda share: _ask(share, timeout, gently), shares))
    return [answered[number % processes][number // processes] for number in range(len(questions))]


def _ask(questions: Sequence[Question], timeout: float, gently: bool) -> list[Answer]:
    lines = b"".join(msgspec.json.encode(question) + b"\n" for question in questions)
    command = [sys.executable, "-m", "tui_ft.dryrun", *(("--gently",) if gently else ())]
    try:
        done = subprocess.run(
            command,
            input=lines,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
    except subprocess.TimeoutExpired:
        raise DryRunError(f"the dry run took more than {timeout:.0f} s and was ended") from None
    except OSError as error:
        raise DryRunError(f"the dry run could not be started: {error.strerror}") from None
    answers = [msgspec.json.decode(line, type=Answer) for line in done.stdout.splitlines()]
    if len(answers) != len(questions):
        raise DryRunError(_why_it_died(done.returncode, done.stderr))
    return answers


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
