"""How commands speak: text made plain, JSON on request, errors on stderr with an exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import click
import msgspec

from tui_ft import text

_P = ParamSpec("_P")
_R = TypeVar("_R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(line: str = "") -> None:
    """Print a line, made harmless."""
    click.echo(text.plain(line, keep_newlines=True))


def say_json(value: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Print ``value`` as JSON on one line."""
    click.echo(msgspec.json.encode(value, enc_hook=str).decode())  # paths as text


def warn(line: str) -> None:
    """Print a line on stderr, made harmless."""
    click.echo(text.plain(line, keep_newlines=True), err=True)


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
        except BrokenPipeError:
            # Whoever read us is gone; Python would complain when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            fail(f"{place}{error.strerror or error}")
        raise AssertionError("unreachable")

    return guarded
