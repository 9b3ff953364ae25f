"""How commands speak: text made plain, JSON on request, errors on stderr with an exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar

import click
import msgspec

from tui_ft import text

_P = ParamSpec("_P")
_R = TypeVar("_R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


_CUT_SHORT: Final = 128 + signal.SIGPIPE
"""The exit code of what was shown in part, as a shell gives it: `yes | head`."""
_unread: set[int] = set()
"""The descriptors whose readers are gone."""


def say(line: str = "") -> None:
    """Print a line, made harmless. A reader that is gone ends no command before its work is done.

    What only shows, and would go on for long, calls `leave_when_unread` now and then.
    """
    say_raw(text.plain(line, keep_newlines=True) + "\n")


def say_json(value: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Print ``value`` as JSON on one line."""
    say_raw(msgspec.json.encode(value, enc_hook=str).decode() + "\n")  # paths as text


def warn(line: str) -> None:
    """Print a line on stderr, made harmless."""
    say_raw(text.plain(line, keep_newlines=True) + "\n", err=True)


def say_raw(said: str, *, err: bool = False) -> None:
    """Print what is harmless already, as it is."""
    try:
        click.echo(said, nl=False, err=err)
    except BrokenPipeError:
        stream = sys.stderr if err else sys.stdout
        _unread.add(stream.fileno())
        # Python would complain when it flushes at its end, and so would whoever prints next.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def leave_when_unread() -> None:
    """End a command that has nothing more to do than to be read, when nobody reads it."""
    if sys.stdout is None or (_unread and sys.stdout.fileno() in _unread):
        sys.exit(_CUT_SHORT)


def is_terminal() -> bool:
    """Tell whether somebody sits before it: input and output are a terminal's, and not closed."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def fail(*lines: str) -> None:
    """Print what was wrong on stderr and end with exit code 1."""
    for line in lines:
        warn(line)
    sys.exit(1)


@contextlib.contextmanager
def left_alone(name: str, command: str, stops: str) -> Iterator[None]:
    """Let ctrl+c end the watching, and nothing else.

    Args:
        name: of what is watched.
        command: the words of its commands: `ftui` or `ftui chain`.
        stops: what stopping it does.
    """
    try:
        yield
    except KeyboardInterrupt:
        warn(
            f"\n{name} goes on. `{command} watch {name}` shows it, `{command} stop {name}` {stops}"
        )
        sys.exit(0)


def for_people(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn the errors that a person can cause into messages; ctrl+c ends quietly."""

    @functools.wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        from tui_ft.data import DataError
        from tui_ft.runs.folder import RunError
        from tui_ft.spec import SpecError

        try:
            return command(*args, **kwargs)
        except SpecError as error:
            fail(*(str(problem) for problem in error.problems))
        except (RunError, DataError) as error:
            fail(str(error))
        except KeyboardInterrupt as interrupt:
            if str(interrupt):  # what was begun, and goes on
                warn(f"\n{interrupt}")
            sys.exit(130)
        except OSError as error:
            fail(text.of_system(error))
        raise AssertionError("unreachable")

    return guarded
