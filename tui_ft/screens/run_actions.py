"""What can be done to a run or a chain: asked first where something is lost, done off-screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from textual.screen import Screen

from tui_ft import text
from tui_ft.runs import control, launch, removing
from tui_ft.runs import folder as folders
from tui_ft.runs.folder import AttendedFolder, RunError, RunFolder
from tui_ft.widgets.confirm import Confirm

if TYPE_CHECKING:
    from tui_ft.runs.changes import ChangedError

_Found = TypeVar("_Found", bound=AttendedFolder)
Act = Callable[[RunFolder], object]

_NAMED_RUNS: Final = 8


@dataclass(frozen=True, slots=True)
class RunAction:
    """Something done to a run or a chain: its verb, what it costs, and what does it."""

    verb: str
    consequence: str
    act: Callable[[Any], object]
    destructive: bool = True


STOP: Final = RunAction(
    "Stop",
    "A checkpoint is saved first; `r` goes on from there.",
    control.request_stop,
    destructive=False,
)
KILL: Final = RunAction(
    "Kill", "What was learned since the last checkpoint is lost.", control.request_kill
)
DELETE: Final = RunAction(
    "Delete",
    "Folder, checkpoints, weights and history are removed. This cannot be undone.",
    removing.delete,
)


def ask(
    screen: Screen[Any], action: RunAction, run_ids: Sequence[str], then: Callable[[], None]
) -> None:
    """Ask whether ``action`` is meant for these runs, naming them; if so, go on."""
    one = len(run_ids) == 1
    named = ", ".join(run_ids[:_NAMED_RUNS])
    more = f" and {len(run_ids) - _NAMED_RUNS} more" if len(run_ids) > _NAMED_RUNS else ""
    dialog = Confirm(
        f"{action.verb} {run_ids[0] if one else f'{len(run_ids)} runs'}?",
        action.consequence if one else f"{named}{more}.\n{action.consequence}",
        action.verb,
        destructive=action.destructive,
    )
    screen.app.push_screen(dialog, lambda yes: then() if yes else None)


def perform(
    screen: Screen[Any],
    act: Callable[[_Found], object],
    name: str,
    *,
    find: Callable[[str], _Found],
    done: str = "",
    then: Callable[[], None],
) -> None:
    """Act on a run or a chain in a thread; say what went wrong, or ``done``, then call ``then``.

    Args:
        screen: where it was asked for.
        act: what is done; what it says, if it says anything, is shown.
        name: on what, as ``find`` knows it.
        find: returns what is acted on.
        done: what is said of an act that says nothing.
        then: called in the end, whatever came of it.
    """

    def work() -> None:
        try:
            said = act(find(name))
        except (RunError, OSError, ValueError) as error:  # a SpecError is one: a damaged file
            _say(screen, str(error), failed=True)
        else:
            words = said if isinstance(said, str) else done
            if words:
                _say(screen, f"{name}: {words}", failed=False)
        screen.app.call_from_thread(then)

    screen.run_worker(work, thread=True, group="act", exit_on_error=False)


def perform_on_run(
    screen: Screen[Any], act: Act, run_id: str, *, done: str = "", then: Callable[[], None]
) -> None:
    """Act on the run of just that name, as `perform` does."""
    perform(screen, act, run_id, find=folders.exactly, done=done, then=then)


def resume(screen: Screen[Any], run_id: str, *, then: Callable[[], None]) -> None:
    """Take a run up again; where its data have changed since, ask first."""
    go_on(screen, run_id, launch.resume, find=folders.exactly, done=_goes_on, then=then)


def _goes_on(run: RunFolder) -> str:
    """Return from where a run goes on, in words."""
    if run.checkpoints():
        return "goes on from its newest checkpoint"
    return "begins anew: it has saved no checkpoint"


def go_on(
    screen: Screen[Any],
    name: str,
    take_up: Callable[..., object],
    *,
    find: Callable[[str], _Found],
    done: Callable[[_Found], str],
    then: Callable[[], None],
) -> None:
    """Take a run or a chain up again; where the data have changed since, ask first.

    Args:
        screen: where it was asked for.
        name: on what, as ``find`` knows it.
        take_up: does it; told ``anyway=True`` it does it on other data too.
        find: returns what is taken up.
        done: what is said then; asked before it is taken up.
        then: called in the end.
    """

    def act(found: _Found) -> None:
        from tui_ft.runs.changes import ChangedError  # it knows specs, which no home needs

        words = done(found)
        try:
            take_up(found)
        except ChangedError as error:
            if not error.can_be_told:
                raise
            screen.app.call_from_thread(ask_anyway, error)
        else:
            _say(screen, f"{name}: {words}", failed=False)

    def ask_anyway(error: ChangedError) -> None:
        changed = [change for change in error.changes if change.weight != "note"]
        consequence = "\n".join(f"{one.what}: {one.consequence}" for one in changed)
        dialog = Confirm(f"Go on with {name} all the same?", consequence, "Go on")
        all_the_same = partial(take_up, anyway=True)

        def answered(yes: bool | None) -> None:
            if yes:
                said = "goes on all the same"
                perform(screen, all_the_same, name, find=find, done=said, then=then)

        screen.app.push_screen(dialog, answered)

    perform(screen, act, name, find=find, then=then)


def _say(screen: Screen[Any], message: str, *, failed: bool) -> None:
    screen.app.call_from_thread(
        screen.notify,
        text.plain(message),
        severity="error" if failed else "information",
        timeout=10 if failed else 5,
        markup=False,
    )
