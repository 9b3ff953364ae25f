"""What a draft comes to, in two lines: looked up once keys rest, and shown at every key after."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from tui_ft.hardware import Snapshot
from tui_ft.plan.estimator import estimator
from tui_ft.plan.outlook import RunFacts, facts_key, look_up, outlook
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.screens.configure_text import outlook_lines
from tui_ft.spec import RunSpec
from tui_ft.spec.draft import Draft

_REST_SECONDS: Final = 0.5
_NARROWEST: Final = 40


class OutlookLine(Static):
    """Memory against what is free, steps, tokens, time, disk."""

    class LookedUp(Message):
        """Model and data were looked up; None when others were asked for since."""

        def __init__(self, key: tuple[object, ...], facts: RunFacts | None) -> None:
            self.key, self.facts = key, facts
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._facts: RunFacts | None = None
        self._known: tuple[object, ...] | None = None
        self._asked: tuple[object, ...] | None = None

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is not known of model and data, in sentences."""
        return self._facts.lacking if self._facts is not None else ()

    def show(self, draft: Draft, snapshot: Snapshot | None) -> None:
        """Show what ``draft`` comes to on the GPUs as they are now."""
        spec = draft.spec
        if spec is None:
            return  # while something is wrong, the last that was right stays
        key = facts_key(spec)
        if self._facts is None or key != self._known:
            if key != self._asked:
                self._asked = key
                self.set_timer(_REST_SECONDS, partial(self._look_up, key, spec))
            self.update(Content("looks at model and data …\n"))
            return
        found = outlook(spec, self._facts, snapshot, estimator())
        self.update(outlook_lines(found, max(_NARROWEST, self.size.width - 2)))

    def _look_up(self, key: tuple[object, ...], spec: RunSpec) -> None:
        if key != self._asked:
            return  # something else was typed since
        spec = with_absolute_paths(spec, Path.cwd())

        def work() -> None:
            worker = get_current_worker()
            facts = look_up(spec, lambda: worker.is_cancelled)
            self.post_message(self.LookedUp(key, facts))

        self.run_worker(work, thread=True, group="facts", exclusive=True, exit_on_error=False)

    def on_outlook_line_looked_up(self, message: LookedUp) -> None:
        """Keep what was found; the message goes on to the screen, which shows it."""
        if message.facts is not None and message.key == self._asked:
            self._facts, self._known = message.facts, message.key
