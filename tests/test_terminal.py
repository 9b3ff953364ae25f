"""The app in a real pseudo-terminal: what it paints, how it leaves, and what it leaves alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.conftest import ROOT, Start, ended, home, spec, start, steps_done, wait_until
from tests.runs.workers import STEPS, let_go
from tests.tiny_model import chat_rows, write_rows
from tui_ft.runs.folder import all_folders
from tui_ft.runs.reader import RunReader

__all__ = ["home", "spec", "start"]  # fixtures

COMMAND = [sys.executable, "-c", "from tui_ft.cli import main; main()"]


class Terminal:
    """An `ftui` in a pseudo-terminal of 80x24."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            preexec_fn=_take_terminal,  # noqa: PLW1509 - a controlling terminal takes one
        )
        os.close(slave)
        self.seen = b""

    def wait_for(self, text: str, seconds: float = 120.0) -> None:
        """Read until ``text`` was painted."""
        deadline = time.monotonic() + seconds
        while text.encode() not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 1 << 16)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def close(self) -> None:
        """Close the terminal, as a lost connection does."""
        with contextlib.suppress(OSError):
            os.close(self.master)


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(home: Path) -> Iterator[type[Terminal]]:
    opened: list[Terminal] = []

    class Kept(Terminal):
        def __init__(self, *arguments: str, **environment: str) -> None:
            super().__init__(*arguments, **environment)
            opened.append(self)

    yield Kept
    for one in opened:
        one.process.kill()
        one.process.wait()
        one.close()


def test_home_is_painted_and_q_leaves_the_terminal_as_it_was(terminal: type[Terminal]) -> None:
    app = terminal()
    app.wait_for("No runs yet")
    assert b"\x1b[?1049h" in app.seen  # the alternate screen
    app.press("q")
    app.wait_for("\x1b[?1049l")
    assert app.process.wait(120) == 0


@pytest.mark.parametrize("how", ["kill -9", "hang up"])
def test_a_run_goes_on_when_app_or_terminal_dies(
    terminal: type[Terminal], start: Start, how: str
) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    app = terminal("watch", folder.id)
    app.wait_for("training")
    if how == "kill -9":
        app.process.send_signal(signal.SIGKILL)
    app.close()
    app.process.wait(120)
    again = terminal("watch", folder.id)
    again.wait_for("support")
    let_go(folder)
    assert wait_until(folder, ended).state == "finished"
    assert RunReader(folder).catch_up().series("loss").x == list(range(1, STEPS + 1))


def test_two_viewers_at_once(terminal: type[Terminal], start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    viewers = [terminal("watch", folder.id), terminal("watch", folder.id)]
    for viewer in viewers:
        viewer.wait_for("training")
    let_go(folder)
    wait_until(folder, ended)
    for viewer in viewers:
        viewer.wait_for("finished")


def test_without_colour_and_with_ascii_alone_it_reads_the_same(
    terminal: type[Terminal], start: Start
) -> None:
    folder = start("short")
    wait_until(folder, ended)
    app = terminal(NO_COLOR="1", FTUI_ASCII="1")
    app.wait_for("+ finished")
    assert "✔".encode() not in app.seen


def test_from_nothing_to_a_finished_run_by_keys_alone(
    terminal: type[Terminal], tmp_path: Path, tiny_llama: Path
) -> None:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(600))
    app = terminal()
    app.wait_for("No runs yet")
    app.press("3")
    app.wait_for("Choose a model")
    app.press(f"{tiny_llama}\r")
    app.wait_for("Open a data set")
    app.press(f"{data}\r")
    app.wait_for("supervised fine-tuning")  # measured and advised
    app.press("c")
    app.wait_for("from the advice")
    app.wait_for("unchanged")
    app.press("\x13")  # ctrl+s
    app.wait_for("preparing")
    (folder,) = all_folders()
    assert wait_until(folder, ended, seconds=600).state == "finished"
    assert (folder.path / "adapter" / "adapter_model.safetensors").is_file()
