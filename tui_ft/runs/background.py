"""Processes that outlive who starts them: a session of their own, and all they say in a file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.runs.endings import log_tail
from tui_ft.runs.folder import RunError

_FIRST_WORD_SECONDS: Final = 60.0
"""A Python that starts on a server under load takes its time; one that ends is seen at once."""
_POLL_SECONDS: Final = 0.02


def start_in_background(
    module: str,
    folder: Path,
    arguments: Sequence[str],
    *,
    log: Path,
    name: str,
    has_begun: Callable[[], bool],
) -> None:
    """Run ``python -m module folder …`` in a session of its own; return when it is at work.

    So whoever looks next sees it live.

    Args:
        module: what is run.
        folder: its first argument, in which it works.
        arguments: what follows.
        log: the file for its output.
        name: what it is called in an error.
        has_begun: whether it has said its first word.

    Raises:
        RunError: it cannot be started, or ended before that.
        KeyboardInterrupt: with what goes on as its text.
    """
    # -P: a `torch.py` in the folder where one happens to stand is not to be imported.
    command = [sys.executable, "-P", "-m", module, str(folder), *arguments]
    try:
        with private_log(log) as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=folder,
                env={**os.environ, "FTUI_HOME": str(paths.home())},
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(f"cannot start {name}: {error.strerror}") from None
    # Somebody has to collect its exit status, or it stays a zombie for as long as the app lives.
    threading.Thread(target=process.wait, daemon=True, name="ftui-reaper").start()
    try:
        _await_first_word(process, has_begun, name, log)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{name} is started all the same, and goes on") from None


def _await_first_word(
    process: subprocess.Popen[bytes], has_begun: Callable[[], bool], name: str, log: Path
) -> None:
    deadline = time.monotonic() + _FIRST_WORD_SECONDS
    while time.monotonic() < deadline and not has_begun():
        if process.poll() is not None:
            said = log_tail(log) or f"exit code {process.returncode}"
            raise RunError(f"{name} did not start: {said}")
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def private_log(path: Path) -> Iterator[int]:
    """Open ``path`` for appending, readable by the user alone; give its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
