"""What can be done to a chain from a screen, by key in Home and by name in the palette."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tui_ft import text
from tui_ft.screens.run_actions import RunAction, go_on, perform

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_ft.chains.folder import ChainFolder
    from tui_ft.chains.glance import ChainGlance

Action = tuple[str, str, Callable[[], None]]
"""A title, what is said of it, and what is done."""


def _stop(folder: ChainFolder, *, now: bool = False) -> str:
    from tui_ft.chains import life  # it knows specs, which no home needs

    return life.stop(folder, now=now)


def _delete(folder: ChainFolder, *, runs: bool = False) -> None:
    from tui_ft.chains import life

    life.delete(folder, runs=runs)


def _take_up(folder: ChainFolder, *, anyway: bool = False) -> None:
    from tui_ft.chains import life

    life.resume(folder, anyway=anyway)


def _find(name: str) -> ChainFolder:
    from tui_ft.chains import folder as folders

    return folders.exactly(name)


STOP: Final = RunAction(
    "Stop", "Its run saves a checkpoint first; `r` goes on from there.", _stop, destructive=False
)
KILL: Final = RunAction(
    "Kill", "What its run learned since the last checkpoint is lost.", partial(_stop, now=True)
)
DELETE: Final = RunAction(
    "Delete", "Its runs stay, each as a run of its own; `X` would remove them too.", _delete
)
DELETE_ALL: Final = RunAction(
    "Delete",
    "All its runs go with it: folders, checkpoints, weights and history. This cannot be undone.",
    partial(_delete, runs=True),
)


def act_on_chain(
    screen: Screen[Any], action: RunAction, name: str, *, then: Callable[[], None]
) -> None:
    """Do it, and say what came of it."""
    perform(screen, action.act, name, find=_find, then=then)


def resume_chain(screen: Screen[Any], name: str, *, then: Callable[[], None]) -> None:
    """Take a chain up again; where the data of its stage have changed since, ask first."""
    go_on(screen, name, _take_up, find=_find, done=lambda _: "goes on", then=then)


def start_chain(
    screen: Screen[Any], *, file: str = "", then: Callable[[], None] | None = None
) -> None:
    """Ask for the file of a chain, show what is found of its stages, and start it if wanted."""
    from tui_ft.screens.boxes.start_chain import StartChain

    def started(name: str | None) -> None:
        if name is not None:
            tell_started(screen, name)
            (then or _nothing)()

    screen.app.push_screen(StartChain(file=file), started)


def tell_started(screen: Screen[Any], name: str) -> None:
    """Say that a chain was started, and where it is shown."""
    screen.notify(f"{name} runs in the background; Home shows and stops it", markup=False)


def chain_actions(screen: Screen[Any], chains: Iterable[ChainGlance]) -> Iterator[Action]:
    """Return how a chain is started, and what can be done with those that have not finished."""
    yield "Start a chain", "The one in a YAML file, once looked at", partial(start_chain, screen)
    for one in chains:
        if one.verdict.state == "finished":
            continue
        name = text.plain(one.id)
        said = text.one_line(one.verdict.reason, 120).replace("[", r"\[")  # no markup there
        if one.is_live:
            act = partial(act_on_chain, screen, STOP, one.id, then=_nothing)
            yield f"Stop chain {name}", said, act
        else:
            yield f"Resume chain {name}", said, partial(resume_chain, screen, one.id, then=_nothing)


def _nothing() -> None:
    """Nothing is left to do."""
