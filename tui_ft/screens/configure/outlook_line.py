"""What a draft comes to: looked up once keys rest, shown at every key after, replayed behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from tui_ft import text
from tui_ft.hardware import Snapshot
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.question import Question
from tui_ft.plan.estimator import estimator
from tui_ft.plan.outlook import RunFacts, facts_key, look_up, outlook, question_of
from tui_ft.plan.refining import Refined, key_of, replay
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.screens.configure.outlook_text import outlook_lines
from tui_ft.spec import RunSpec
from tui_ft.spec.draft import Draft

_REST_SECONDS: Final = 0.5
REPLAY_SECONDS: Final = 2.0
"""How long nothing is changed before a step of it is replayed."""
_LEAST_MEMORY: Final = 2_000_000_000
"""What the host has to have free: a dry run takes up to a GB."""
_NARROWEST: Final = 40


class OutlookLine(Static):
    """Memory against what is free, steps, tokens, time, disk.

    Memory is the closed form's at first. Once nothing has been changed for a while, a step is
    replayed in a process of its own at the lowest priority, one at a time; another change ends it.
    """

    class LookedUp(Message):
        """Model and data were looked up; None when others were asked for since."""

        def __init__(self, key: tuple[object, ...], facts: RunFacts | None) -> None:
            self.key, self.facts = key, facts
            super().__init__()

    class Replayed(Message):
        """A step was replayed, or cannot be."""

        def __init__(self, question: Question, found: Figure | Unknown) -> None:
            self.question, self.found = question, found
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._facts: RunFacts | None = None
        self._shown: Content | None = None
        self._known: tuple[object, ...] | None = None
        self._asked: tuple[object, ...] | None = None
        self._estimator = Refined(estimator())
        self._replays = True
        self._wanted: bytes | None = None
        self._resting: Timer | None = None
        self._one_at_a_time = Lock()

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is not known of model and data, in sentences."""
        return self._facts.lacking if self._facts is not None else ()

    @property
    def replays(self) -> bool:
        """Whether steps are replayed behind what is written."""
        return self._replays

    @replays.setter
    def replays(self, wanted: bool) -> None:
        self._replays = wanted

    def show(self, draft: Draft, snapshot: Snapshot | None) -> None:
        """Show what ``draft`` comes to on the GPUs as they are now."""
        spec = draft.spec
        if spec is None:
            self._say_stale()
            return
        key = facts_key(spec)
        if self._facts is None or key != self._known:
            if key != self._asked:
                self._asked = key
                self.set_timer(_REST_SECONDS, partial(self._look_up, key, spec))
            self.update(Content("looks at model and data …\n"))
            return
        behind = self._refine(spec, self._facts, snapshot)
        found = outlook(spec, self._facts, snapshot, self._estimator)
        self._shown = outlook_lines(found, max(_NARROWEST, self.size.width - 2), behind)
        self.update(self._shown)

    def _say_stale(self) -> None:
        """While something is wrong, the last that was right stays, and is told to be that."""
        if self._shown is not None:
            self.update(Content.assemble(("before the fault: ", "$text-muted"), self._shown))

    def _look_up(self, key: tuple[object, ...], spec: RunSpec) -> None:
        if key != self._asked:
            return  # something else was typed since

        def work() -> None:
            worker = get_current_worker()
            try:
                facts = look_up(with_absolute_paths(spec, Path.cwd()), lambda: worker.is_cancelled)
            except OSError as error:  # a folder on the way is closed, or the name too long
                if not worker.is_cancelled:
                    said = Content(f"n/a: {text.plain(text.of_system(error))}\n")
                    self.app.call_from_thread(self.update, said)
            else:
                self.post_message(self.LookedUp(key, facts))

        self.run_worker(work, thread=True, group="facts", exclusive=True, exit_on_error=False)

    def on_outlook_line_looked_up(self, message: LookedUp) -> None:
        """Keep what was found; the message goes on to the screen, which shows it."""
        if message.facts is not None and message.key == self._asked:
            self._facts, self._known = message.facts, message.key

    # The dry run

    def _refine(self, spec: RunSpec, facts: RunFacts, snapshot: Snapshot | None) -> str:
        """Have the step replayed once keys rest, and end what was replayed before; say which."""
        asked = question_of(spec, facts, snapshot)
        free = snapshot.host.memory_available_bytes if snapshot is not None else None
        why_not = ""
        if not self._replays:
            why_not = "dry runs are off (m)"
        elif free is not None and free < _LEAST_MEMORY:
            why_not = "the host has no memory left for a dry run"
        self._want(None if why_not else asked, spec.method.kind)
        if asked is None or why_not:
            return why_not if asked is not None else ""
        known = self._estimator.replayed(asked)
        if isinstance(known, Unknown):
            return known.reason
        return "a dry run follows" if known is None else ""

    def _want(self, asked: Question | None, method: str) -> None:
        key = None if asked is None else key_of(asked)
        if key == self._wanted:
            return  # it is waited for, under way, or known
        self._wanted = key
        if self._resting is not None:
            self._resting.stop()
        self.workers.cancel_group(self, "replay")
        if asked is not None and self._estimator.replayed(asked) is None:
            self._resting = self.set_timer(REPLAY_SECONDS, partial(self._replay, asked, method))

    def _replay(self, asked: Question, method: str) -> None:
        def work() -> None:
            worker = get_current_worker()
            with self._one_at_a_time:  # one that was cancelled may need a moment to end
                found = replay(asked, method, lambda: worker.is_cancelled)
            if found is not None:
                self.post_message(self.Replayed(asked, found))

        self.run_worker(work, thread=True, group="replay", exclusive=True, exit_on_error=False)

    def on_outlook_line_replayed(self, message: Replayed) -> None:
        """Keep what was found; the message goes on to the screen, which shows it."""
        self._estimator.keep(message.question, message.found)
