"""What can be done to a run from a screen: asked first where something is lost, done off-screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from textual.screen import Screen

from tui_ft import text
from tui_ft.runs import control, launch
from tui_ft.runs import folder as folders
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.widgets.confirm import Confirm

if TYPE_CHECKING:
    from tui_ft.runs.changes import ChangedError

Act = Callable[[RunFolder], object]

_NAMED_RUNS: Final = 8


@dataclass(frozen=True, slots=True)
class RunAction:
    """Something done to a run: its verb, what it costs, and the function below that does it."""

    verb: str
    consequence: str
    act: Act
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
    folders.delete,
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
    screen: Screen[Any], act: Act, run_id: str, *, done: str = "", then: Callable[[], None]
) -> None:
    """Act on a run in a thread; say what went wrong, or ``done``, and then call ``then``."""

    def work() -> None:
        try:
            act(folders.exactly(run_id))
        except (RunError, OSError) as error:
            _say(screen, str(error), failed=True)
        else:
            if done:
                _say(screen, f"{run_id}: {done}", failed=False)
        screen.app.call_from_thread(then)

    screen.run_worker(work, thread=True, group="act", exit_on_error=False)


def resume(screen: Screen[Any], run_id: str, *, then: Callable[[], None]) -> None:
    """Take a run up again; where its data have changed since, ask first."""
    done = "goes on from its newest checkpoint"

    def act(folder: RunFolder) -> None:
        from tui_ft.runs.changes import ChangedError  # it knows specs, which no home needs

        try:
            launch.resume(folder)
        except ChangedError as error:
            if not error.can_be_told:
                raise
            screen.app.call_from_thread(_ask_anyway, screen, run_id, error, then)
        else:
            _say(screen, f"{run_id}: {done}", failed=False)

    perform(screen, act, run_id, then=then)


def _ask_anyway(
    screen: Screen[Any], run_id: str, error: ChangedError, then: Callable[[], None]
) -> None:
    changed = [change for change in error.changes if change.weight != "note"]
    consequence = "\n".join(f"{one.what}: {one.consequence}" for one in changed)
    dialog = Confirm(f"Go on with {run_id} all the same?", consequence, "Go on")
    act = partial(launch.resume, anyway=True)

    def answered(yes: bool | None) -> None:
        if yes:
            perform(screen, act, run_id, done="goes on all the same", then=then)

    screen.app.push_screen(dialog, answered)


def _say(screen: Screen[Any], message: str, *, failed: bool) -> None:
    screen.app.call_from_thread(
        screen.notify,
        text.plain(message),
        severity="error" if failed else "information",
        timeout=10 if failed else 5,
        markup=False,
    )
