"""New files being written: how far it is, what went wrong, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static
from textual.worker import Worker, WorkerState, get_current_worker

from tui_ft import text
from tui_ft.data import DataError
from tui_ft.survey.new_files import Tell
from tui_ft.widgets.signs import sign


class AbandonedError(Exception):
    """A person does not want it any more."""


class Writing(Vertical):
    """Runs what writes, in a thread; one at a time. Once it is done, offers to open what is new."""

    class Told(Message):
        """So much of it is done."""

        def __init__(self, share: float) -> None:
            self.share = share
            super().__init__()

    class Done(Message):
        """It is written; this is what came of it."""

        def __init__(self, result: Any) -> None:  # noqa: ANN401 - whatever the work returns
            self.result = result
            super().__init__()

    class Failed(Message):
        """It is not written, and why."""

        def __init__(self, problem: Content) -> None:
            self.problem = problem
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._worker: Worker[None] | None = None
        self.is_over = False

    def compose(self) -> ComposeResult:
        """Lay out what is said, and the way on."""
        yield Static(id="said")
        yield Button("Open it", id="open-new", variant="primary", compact=True)

    def on_mount(self) -> None:
        """There is nothing to open yet."""
        self.query_one("#open-new").display = False

    def say(self, said: Content) -> None:
        """Say how it stands, in sight."""
        self.query_one("#said", Static).update(said)
        self.call_after_refresh(self.scroll_visible, animate=False)

    def begin(self, work: Callable[[], Any]) -> None:
        """Do ``work`` in a thread, unless something is being written."""
        if self._worker is not None:
            return
        self.say(sign("running").content("writes …"))
        self._worker = self.run_worker(
            lambda: self._do(work), thread=True, group="write", exit_on_error=False
        )

    def teller(self, rows: int) -> Tell:
        """Return what the work tells its rows to; it ends the work once that is not wanted."""

        def tell(done: int) -> None:
            if get_current_worker().is_cancelled:
                raise AbandonedError
            self.post_message(self.Told(done / max(1, rows)))

        return tell

    def stop(self) -> bool:
        """Give up what is being written; return whether there was something."""
        if self._worker is None:
            return False
        self._worker.cancel()
        return True

    def _do(self, work: Callable[[], Any]) -> None:
        try:
            result = work()
        except AbandonedError:
            self.post_message(self.Failed(Content("stopped: nothing was written")))
        except (DataError, OSError) as error:
            self.post_message(self.Failed(sign("bad").content(text.plain(_words(error)))))
        else:
            self.post_message(self.Done(result))

    def on_writing_told(self, message: Told) -> None:
        """Say how far it is."""
        message.stop()
        if self._worker is not None:
            self.say(sign("running").content(f"writes … {text.percent(message.share)}"))

    def on_writing_failed(self, message: Failed) -> None:
        """Say why in place; it can be tried again."""
        message.stop()
        self._worker = None
        self.say(message.problem)

    def on_writing_done(self) -> None:
        """Offer to open what is new."""
        self._worker, self.is_over = None, True
        button = self.query_one("#open-new", Button)
        button.display = True
        button.focus()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw."""
        if event.worker is self._worker and event.state is WorkerState.ERROR:
            said = sign("bad").content(text.plain(repr(event.worker.error)))
            self.post_message(self.Failed(said))


def _words(error: DataError | OSError) -> str:
    if isinstance(error, DataError):
        return f"{error}; nothing was written"
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}; nothing was written"
