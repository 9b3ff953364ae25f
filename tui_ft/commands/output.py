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

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, also of an error.")
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, an object on each line."
)

_CUT_SHORT: Final = 128 + signal.SIGPIPE
"""The exit code of what was shown in part, as a shell gives it: `yes | head`."""
_unread: set[int] = set()
"""The descriptors whose readers are gone."""
_unwritable: set[int] = set()
"""The descriptors that took nothing more: of a full disk."""
_SAID: Final = "ftui.json_said"


def say(line: str = "") -> None:
    """Print a line, made harmless. A reader that is gone ends no command before its work is done.

    What only shows, and would go on for long, calls `leave_when_unread` now and then.
    """
    say_raw(text.plain(line, keep_newlines=True) + "\n")


def say_json(value: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Print ``value`` as JSON on one line."""
    say_encoded(msgspec.json.encode(value, enc_hook=str) + b"\n")  # paths as text


def say_encoded(line: bytes) -> None:
    """Print a line of JSON."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_SAID] = True
    say_raw(line.decode())


def warn(line: str) -> None:
    """Print a line on stderr, made harmless."""
    say_raw(text.plain(line, keep_newlines=True) + "\n", err=True)


def say_raw(said: str, *, err: bool = False) -> None:
    """Print what is harmless already, as it is.

    A full disk ends no command before its work is done either, but with exit code 1.
    """
    try:
        click.echo(said, nl=False, err=err)
    except BrokenPipeError:
        _unread.add(_to_nowhere(err=err))
    except OSError as error:
        _unwritable.add(_to_nowhere(err=err))
        if not err:
            warn(unwritable(error))


def _to_nowhere(*, err: bool) -> int:
    """Let a stream write to nowhere from now on; return its descriptor.

    Python would complain when it flushes at its end, and so would whoever prints next.
    """
    stream = sys.stderr if err else sys.stdout
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return stream.fileno()


def unwritable(error: OSError) -> str:
    """Return what is said where the output takes nothing more."""
    return f"the output cannot be written: {error.strerror or error}"


def leave_when_unread() -> None:
    """End a command that has nothing more to do than to be read, when nobody reads it."""
    if sys.stdout is None or (_unread and sys.stdout.fileno() in _unread):
        sys.exit(_CUT_SHORT)
    if _unwritable and sys.stdout.fileno() in _unwritable:
        sys.exit(1)


def is_terminal() -> bool:
    """Tell whether somebody sits before it: input and output are a terminal's, and not closed."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def fail(*lines: str, **details: object) -> None:
    """Print what was wrong on stderr and end with exit code 1.

    Where JSON is asked for it is on stdout too, as `error`, with ``details`` beside it; not where
    a document is there already that says it.
    """
    for line in lines:
        warn(line)
    context = click.get_current_context(silent=True)
    if context is not None and context.params.get("as_json"):
        say_json_error(context, "\n".join(lines), **details)
    sys.exit(1)


def refuse_another(meant: str, found: str) -> None:
    """Refuse to end, unasked, what only begins as it was called: the one meant may be gone."""
    if meant != found:
        fail(f"{meant} is not there, {found} is: give the whole name")


def make_sure(meant: str | None, found: str, question: str) -> None:
    """Ask before something is ended that was not called by its whole name.

    Where nobody can be asked, a name has to be whole; without one it is what alone can be meant.
    """
    if meant == found:
        return
    if is_terminal():
        click.confirm(question, abort=True, err=True)
    elif meant is not None:
        refuse_another(meant, found)


def say_json_error(context: click.Context, error: str, **details: object) -> None:
    """Print an error as JSON, unless a document is printed already."""
    if not context.meta.get(_SAID):
        say_json({"error": error, **details})


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
            done = command(*args, **kwargs)
        except SystemExit as end:
            if not end.code and _lost():
                sys.exit(1)
            raise
        except SpecError as error:
            fail(*(str(problem) for problem in error.problems), problems=error.problems)
        except (RunError, DataError) as error:
            fail(str(error))
        except KeyboardInterrupt as interrupt:
            if str(interrupt):  # what was begun, and goes on
                warn(f"\n{interrupt}")
            sys.exit(130)
        except OSError as error:
            fail(text.of_system(error))
        if _lost():
            sys.exit(1)
        return done

    return guarded


def _lost() -> bool:
    """Tell whether some of the output could not be written."""
    return bool(_unwritable) and sys.stdout is not None and sys.stdout.fileno() in _unwritable
