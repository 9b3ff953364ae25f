"""A chain started: its stages looked at first, and what was found of each shown before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState, get_current_worker

from tui_ft import paths, text
from tui_ft.chains import life
from tui_ft.chains.check import StageFindings, check_chain
from tui_ft.runs.folder import RunError
from tui_ft.screens.boxes.dialog import Dialog
from tui_ft.screens.starting import finding_line, problem
from tui_ft.spec.chain import Chain
from tui_ft.spec.problems import SpecError
from tui_ft.widgets.signs import sign

_KEYS: Final = "enter looks at it  ctrl+s starts it  esc cancel"


class StartChain(Dialog[str | None]):
    """Dismisses with the name of the chain that was started; None where none was.

    Args:
        chain: the chain; None asks for a file that holds one.
        takes: what it takes of memory and time, in a sentence.
        file: what stands in the field at first; one that is named is looked at at once.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "Start", id="chain.start", tooltip="Start it"),
        Binding("escape", "dismiss(None)", "Cancel", id="chain.cancel", tooltip="Start nothing"),
        Binding("down", "scroll(1)", "Down", show=False, id="chain.down"),
        Binding("up", "scroll(-1)", "Up", show=False, id="chain.up"),
    ]

    class Looked(Message):
        """What was found of each stage; or why it is no chain."""

        def __init__(
            self, chain: Chain | None, found: Sequence[StageFindings], problem: str = ""
        ) -> None:
            self.chain, self.found, self.problem = chain, found, problem
            super().__init__()

    class Started(Message):
        """It was started, or this is why not."""

        def __init__(self, name: str | None, problem: str = "") -> None:
            self.name, self.problem = name, problem
            super().__init__()

    def __init__(self, chain: Chain | None = None, *, takes: str = "", file: str = "") -> None:
        super().__init__()
        self._given, self._takes, self._file = chain, takes, file
        self._looked_at: Chain | None = None
        self._starting = False

    def compose(self) -> ComposeResult:
        """Lay out the file's name, the stages, and whether it can be started."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Start a chain"
            box.border_subtitle = _KEYS if self._given is None else _KEYS.partition("  ")[2]
            if self._given is None:
                yield Input(self._file, placeholder="a YAML file of a chain", id="chain-file")
            with VerticalScroll(id="stages-box", can_focus=False):
                yield Static(id="stages")
            yield Static(id="verdict-of-chain")

    def on_mount(self) -> None:
        """Look at the chain at once, where it is known."""
        if self._given is not None or self._file:
            self._look()
        else:
            self._conclude(Content.styled("`ftui chain new` writes one", "$text-muted"))

    def _look(self) -> None:
        self._looked_at = None
        self._conclude(Content("looks at every stage, and replays a step of each …"))
        given = self._given
        if given is None:
            self._file = self.query_one("#chain-file", Input).value.strip()
        typed = self._file

        def work() -> None:
            try:
                chain = given or life.load(paths.expand(typed))
                found = check_chain(chain, memory=True)
            except (SpecError, RunError) as error:
                self._tell(self.Looked(None, (), str(error)))
            except OSError as error:
                self._tell(self.Looked(None, (), text.of_system(error)))
            else:
                self._tell(self.Looked(chain, found))

        self.run_worker(work, thread=True, group="look", exclusive=True, exit_on_error=False)

    def _tell(self, message: Message) -> None:
        if not get_current_worker().is_cancelled:
            self.post_message(message)

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was found of another file says nothing of this one."""
        if event.value.strip() == self._file:
            return
        self.workers.cancel_group(self, "look")
        self._looked_at = None
        self.query_one("#stages", Static).update("")
        self._conclude(Content(""))

    def on_input_submitted(self) -> None:
        """Look at the chain in the file."""
        self._look()

    def on_start_chain_looked(self, message: Looked) -> None:
        """Show what was found."""
        if message.chain is None:
            self._conclude(problem(message.problem))
            return
        lines = list(chain_lines(message.chain, message.found, self._takes))
        self.query_one("#stages", Static).update(Content("\n").join(lines))
        refused = [one.stage for one in message.found if one.is_refused]
        if refused:
            self._conclude(problem(f"nothing is started: {', '.join(refused)} would fail"))
            return
        self._looked_at = message.chain
        if any(one.is_warned for one in message.found):
            self._conclude(sign("warning").content("`ctrl+s` starts it all the same"))
        else:
            self._conclude(sign("good").content("nothing stands against it: `ctrl+s` starts it"))

    def action_start(self) -> None:
        """Start it, once all of its stages have been looked at and seen."""
        chain = self._looked_at
        if chain is None or self._starting:
            if self._given is None and not self._is_looking and not self._starting:
                self._look()
            return
        self._starting = True
        self._conclude(Content("starts it …"))

        def work() -> None:
            try:
                self.post_message(self.Started(life.start(chain).id))
            except (RunError, SpecError) as error:
                self.post_message(self.Started(None, str(error)))
            except OSError as error:
                self.post_message(self.Started(None, text.of_system(error)))

        self.run_worker(work, thread=True, group="start", exit_on_error=False)

    @property
    def _is_looking(self) -> bool:
        return any(one.group == "look" and not one.is_finished for one in self.workers)

    def on_start_chain_started(self, message: Started) -> None:
        """Go, or say why it was not started."""
        self._starting = False
        if message.name is None:
            self._conclude(problem(message.problem))
        else:
            self.dismiss(message.name)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw, too."""
        if event.state is WorkerState.ERROR:
            self._starting = False
            self._conclude(problem(repr(event.worker.error)))

    def action_scroll(self, lines: int) -> None:
        """Read on in what was found."""
        self.query_one("#stages-box").scroll_relative(y=lines, animate=False)

    def _conclude(self, said: Content) -> None:
        self.query_one("#verdict-of-chain", Static).update(said)


def chain_lines(chain: Chain, found: Sequence[StageFindings], takes: str) -> Iterator[Content]:
    """Return a chain in lines: what it is for, and of each stage what was found."""
    yield Content.styled(text.plain(chain.name), "bold")
    for said in (chain.description, takes):
        if said:
            yield Content.styled(text.plain(said), "$text-muted")
    for number, one in enumerate(found, 1):
        run = chain.stage(one.stage).run
        what = f"{number} {one.stage}  {run.objective.kind} {run.method.kind}"
        mark = sign("bad" if one.is_refused else "warning" if one.is_warned else "good")
        yield mark.content(text.plain(what))
        for finding in one.findings:
            yield Content.assemble("  ", finding_line(finding))
