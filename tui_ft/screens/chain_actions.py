"""What the palette does with chains: go on with one that ended, stop one that is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tui_ft import text

if TYPE_CHECKING:
    from textual.app import App

    from tui_ft.chains.status import ChainStatus

Action = tuple[str, str, Callable[[], None]]
"""A title, what is said of it, and what is done."""


def chain_actions(app: App[None]) -> Iterator[Action]:
    """Return for each chain that has not finished what can be done with it."""
    from tui_ft.chains.status import all_statuses

    for one in all_statuses():
        if one.state == "finished":
            continue
        name, said = text.plain(one.id), text.one_line(one.reason, 120)
        if one.is_live:
            yield f"Stop chain {name}", said, partial(_do, app, _stop, one)
        else:
            yield f"Resume chain {name}", said, partial(_do, app, _resume, one)


def _do(app: App[None], act: Callable[[str], str], one: ChainStatus) -> None:
    """Act in a thread: a process is started, and the screen must not wait for it."""
    from tui_ft.runs.folder import RunError
    from tui_ft.spec import SpecError

    def perform() -> None:
        try:
            said, severity = act(one.id), "information"
        except (RunError, SpecError, OSError) as error:
            said, severity = str(error), "error"
        app.call_from_thread(app.notify, text.plain(said), severity=severity, markup=False)

    app.run_worker(perform, thread=True, exit_on_error=False)


def _stop(name: str) -> str:
    from tui_ft.chains import folder, life

    return f"{name} {life.stop(folder.find(name))}"


def _resume(name: str) -> str:
    from tui_ft.chains import folder, life

    life.resume(folder.find(name))
    return f"{name} goes on"
