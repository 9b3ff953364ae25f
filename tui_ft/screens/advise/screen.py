"""The Advise screen: whether and how to fine-tune, and why; every answer can be another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState, get_current_worker

from tui_ft import paths, text
from tui_ft.advise.advice import Advice, Taken
from tui_ft.advise.facts import asked_gpus
from tui_ft.advise.node import AnswerError
from tui_ft.advise.situation import Known, Situation
from tui_ft.advise.tree import NODES, advise
from tui_ft.data import DataError
from tui_ft.data.files.hub_download import Progress
from tui_ft.memory.asked_cards import GPU_HELP, GpuError
from tui_ft.plan.advised_chain import chain_of
from tui_ft.plan.estimator import estimator
from tui_ft.plan.gathering import Listener, Sought, gather
from tui_ft.screens.advise import text as advise_text
from tui_ft.screens.advise.files import write_advice
from tui_ft.screens.advise.text import PathLine
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.boxes.choose_model import ChooseModel
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.screens.chain_actions import tell_started
from tui_ft.screens.top_line import TopLine
from tui_ft.spec.draft import Draft
from tui_ft.survey.request import Request
from tui_ft.survey.summary import Summary
from tui_ft.widgets.choose import Choice, Choose
from tui_ft.widgets.row_table import RowTable
from tui_ft.widgets.typed_line import TypedLine

_LOOK_SECONDS: Final = 1.0
_ABOUT_LINES: Final = 7
"""Of `#about-node`, as its style says."""
_PANES: Final = ("path", "ways", "run")
_NUMBER: Final = "another number …"
_NAMED: Final = "one that you name …"
_ASKED: Final = {
    "gpu": f"GPUs to advise for: {GPU_HELP}; empty for this machine's",
    "number": "a number",
    "reward": "a reward model (run, folder, id), an address (http://…), or a Python file",
    "file": "a file; enter writes it with its reasons",
}


class AdviseScreen(FtuiScreen):
    """Advice for a model and data. Another answer at any question changes the rest at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "answer", "Answer", id="advise.answer", tooltip="Answer otherwise"),
        Binding("d", "own", "Undo", id="advise.own", tooltip="The tree's own answer again"),
        Binding("o", "open", "Open", id="advise.open", tooltip="Another model and data"),
        Binding("h", "gpus", "GPUs", id="advise.gpus", tooltip="Advise for other GPUs"),
        Binding("v", "view", "View", id="advise.view", tooltip="Path, ways to train, run"),
        Binding("c", "configure", "Configure", id="advise.configure", tooltip="Take the run over"),
        Binding("w", "write", "Write", id="advise.write", tooltip="Write run or chain as YAML"),
        Binding(
            "ctrl+s", "start", "Start", show=False, id="advise.start", tooltip="Start the chain"
        ),
        Binding("escape", "back", "Back", show=False, id="advise.back", tooltip="Leave this"),
        Binding("q", "app.home", "Back", id="advise.quit", tooltip="Back to Home"),
        HELP,
    ]

    class Gathering(Message):
        """How far it is, or what cannot be known, in words."""

        def __init__(self, words: str) -> None:
            self.words = words
            super().__init__()

    class Gathered(Message):
        """What advice starts from is known, or why it is not."""

        def __init__(self, situation: Situation | None, problem: str = "") -> None:
            self.situation, self.problem = situation, problem
            super().__init__()

    class Advised(Message):
        """Advice for the answers given so far, or why there is none."""

        def __init__(self, advice: Advice | None, problem: str = "") -> None:
            self.advice, self.problem = advice, problem
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self._model, self._data, self._gpu = "", "", ""
        self._columns: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._asking = ""
        self._asked_node: Taken | None = None
        self._situation: Situation | None = None
        self._answers: dict[str, str] = {}
        self._advice: Advice | None = None
        self._lines: tuple[PathLine, ...] = ()
        self._lacking: list[str] = []

    def compose_content(self) -> ComposeResult:
        """Lay out path, ways, run, and what is said of the question under the cursor."""
        yield Static("`o` names a model and data", id="headline")
        with Horizontal(id="advise-panes"):
            with Vertical(id="path-box", classes="box") as box:
                box.border_title = "How we got here"
                yield RowTable(self._line, id="path")
            with Vertical(id="advise-right"):
                with VerticalScroll(id="ways-box", classes="box") as box:
                    box.border_title = "What fits"
                    yield Static(id="ways")
                with VerticalScroll(id="run-box", classes="box") as box:
                    box.border_title = "The run, and why"
                    yield Static(id="run")
        yield Static(id="about-node")
        yield TypedLine(id="typed")

    def on_mount(self) -> None:
        """Ask for model and data, unless they were named."""
        self.query_one("#typed").display = False
        self.query_one("#path").focus()
        self.set_class(True, "-path")
        self.set_interval(_LOOK_SECONDS, self._look)
        self._look()
        self.ask_about(self._model, self._data, self._columns)

    def ask_about(self, model: str, data: str, columns: Mapping[str, str]) -> None:
        """Advise on a model and data, read by those columns; what is not named is asked for."""
        if not self.is_attached:
            self._model, self._data, self._columns = model, data, dict(columns)
        elif model and data:
            self._begin(model, data, columns)
        elif data:
            self.app.push_screen(
                ChooseModel(self._model),
                lambda chosen: self._begin(chosen, data, columns) if chosen else None,
            )
        else:
            self.action_open()

    def _begin(self, model: str, data: str, columns: Mapping[str, str]) -> None:
        self._model, self._data, self._columns = model, data, dict(columns)
        self._gather()

    def _look(self) -> None:
        if self.is_current:
            self.query_one(TopLine).show(self.shell.hardware.latest(), self.shell.live_runs())

    # Gathering and advising

    def _gather(self, *, anew: bool = True) -> None:
        """Look at model, data and GPUs; begun ``anew``, all that was said and answered goes."""
        if anew:
            self._answers, self._said = {}, {}
            self._clear()
        self._situation, self._advice = None, None
        self._lacking = []
        self._say("looks at model, data and GPUs …")
        gpu, columns = self._gpu or None, self._columns
        sought = Sought(
            model=self._model, data=self._data, gpu=gpu, columns=columns, said=dict(self._said)
        )
        work = partial(self._gather_in_thread, sought)
        self.run_worker(work, thread=True, group="gather", exclusive=True, exit_on_error=False)

    def _clear(self) -> None:
        """Show nothing of the advice on another model and other data."""
        self._lines = ()
        self.query_one(RowTable).show(0)
        for pane in ("#ways", "#run", "#about-node"):
            self.query_one(pane, Static).update("")

    def _gather_in_thread(self, sought: Sought) -> None:
        try:
            situation = gather(sought, _Teller(self))
        except (DataError, GpuError, OSError) as error:
            said = text.of_system(error) if isinstance(error, OSError) else str(error)
            if not get_current_worker().is_cancelled:
                self.post_message(self.Gathered(None, said))
        else:
            self.post_message(self.Gathered(situation))

    def on_advise_screen_gathering(self, message: Gathering) -> None:
        """Say how far it is."""
        self._say(message.words)

    def on_advise_screen_gathered(self, message: Gathered) -> None:
        """Advise, or say why that cannot be."""
        if message.situation is None:
            self._clear()
            self._say(message.problem)
            self.notify(message.problem, severity="error", markup=False)
            return
        self._situation = message.situation
        self._advise(self._answers)

    def _advise(self, answers: dict[str, str]) -> None:
        situation = self._situation
        if situation is None:
            return

        def work() -> None:
            try:
                advice = advise(situation, answers, estimator=estimator())
            except AnswerError as error:
                self.post_message(self.Advised(None, str(error)))
            else:
                self._answers = answers
                self.post_message(self.Advised(advice))

        self.run_worker(work, thread=True, group="advise", exclusive=True, exit_on_error=False)

    def on_advise_screen_advised(self, message: Advised) -> None:
        """Show the advice."""
        if message.advice is None:
            self.notify(message.problem, severity="error", markup=False)
            return
        advice = self._advice = message.advice
        under = self._node
        self._lines = advise_text.path_lines(advice)
        table = self.query_one(RowTable)
        table.show(len(self._lines))
        nodes = [line.node.node if line.node else "" for line in self._lines]
        table.cursor = nodes.index(under.node) if under and under.node in nodes else 1
        table.refresh()
        self.query_one("#headline", Static).update(advise_text.headline(advice))
        self._show_ways()
        self.query_one("#run", Static).update(advise_text.run_text(advice))
        self._show_about()

    def _show_ways(self) -> None:
        """Lay the ways to train out in the room that there is."""
        width = self.query_one("#ways-box").size.width - 4
        if self._advice is not None and width > 0:  # a pane that is not shown has none
            self.query_one("#ways", Static).update(advise_text.ways(self._advice, width))

    def on_resize(self) -> None:
        """Lay out anew what depends on the width."""
        self.call_after_refresh(self._show_ways)
        self._show_about()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw, too."""
        super().on_worker_state_changed(event)
        if event.state is WorkerState.ERROR and event.worker.group in ("gather", "advise"):
            self.notify(text.plain(repr(event.worker.error)), severity="error", markup=False)

    # What is shown

    @property
    def _node(self) -> Taken | None:
        """The question under the cursor."""
        at = self.query_one(RowTable).cursor
        return self._lines[at].node if 0 <= at < len(self._lines) else None

    def _line(self, index: int, width: int) -> str:
        return advise_text.path_line(self._lines[index], width)

    def _say(self, words: str) -> None:
        about = f"{self._model} x {self._data}: " if self._model and self._data else ""
        self.query_one("#headline", Static).update(Content(text.plain(f"{about}{words}")))

    def on_row_table_moved(self) -> None:
        """Say how the question under the cursor was answered."""
        self._show_about()

    def _show_about(self) -> None:
        node, about = self._node, self.query_one("#about-node", Static)
        said = Content("\n".join(self._lacking))
        if node:
            width = self.size.width - 2
            said = advise_text.about_node(node, width, _ABOUT_LINES)
        about.update(said)

    def lacking(self, words: str) -> None:
        """Keep what cannot be known, to be read beside the path."""
        self._lacking.append(text.plain(words))

    def action_view(self) -> None:
        """Where there is room for one pane: the next one."""
        shown = next((pane for pane in _PANES if self.has_class(f"-{pane}")), _PANES[0])
        following = _PANES[(_PANES.index(shown) + 1) % len(_PANES)]
        for pane in _PANES:
            self.set_class(pane == following, f"-{pane}")
        self.query_one("#path" if following == "path" else f"#{following}-box").focus()
        self.call_after_refresh(self._show_ways)

    # Answering

    def action_answer(self) -> None:
        """Answer the question under the cursor otherwise."""
        node = self._node
        if node is None or self._asking:
            return
        choices = [Choice(node.choice, f"as it is: {node.label}: {node.reason}")]
        choices += [Choice(other.choice, other.label) for other in node.others]
        choices += [Choice(_NUMBER)] if node.number else []
        choices += [Choice(_NAMED, _ASKED["reward"])] if node.node == "reward" else []
        self.app.push_screen(
            Choose(node.question, choices, node.choice), partial(self._answered, node)
        )

    def _answered(self, node: Taken, choice: str | None) -> None:
        if choice is None or choice == node.choice:
            return
        if choice == _NUMBER:
            self._asked_node = node
            self._ask("number", node.choice)
            return
        if choice == _NAMED:
            self._ask("reward", "")
            return
        self._advise({**self._answers, node.node: choice})

    def action_own(self) -> None:
        """Take the tree's own answer again."""
        node = self._node
        if node is not None and node.node in self._answers:
            self._advise({k: v for k, v in self._answers.items() if k != node.node})

    def action_open(self) -> None:
        """Name another model and data."""
        self.app.push_screen(ChooseModel(self._model), self._model_chosen)

    def _model_chosen(self, model: str | None) -> None:
        if model is not None:
            self.app.push_screen(OpenData(self._data), partial(self._data_chosen, model))

    def _data_chosen(self, model: str, chosen: Request | None) -> None:
        if chosen is None:
            return  # then the model stays what it was, too
        columns = dict(chosen.columns)
        if chosen.path == self._data:
            columns = columns or self._columns  # the name that stood there already
        self._begin(model, chosen.path, columns)

    def action_gpus(self) -> None:
        """Advise for other GPUs than this machine's."""
        self._ask("gpu", self._gpu)

    def _ask(self, what: str, value: str) -> None:
        self._asking = what
        field = self.query_one("#typed", Input)
        field.placeholder = _ASKED[what]
        field.value = value
        field.display = True
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed; what does not do stays there, to be mended."""
        try:
            done = self._take_typed(event.value.strip())
        except (GpuError, AnswerError) as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            if done:
                self._end_asking()

    def _take_typed(self, typed: str) -> bool:
        """Do what was asked for with what was typed; tell whether that is done."""
        match self._asking:
            case "gpu":
                if typed:
                    asked_gpus(typed)
                self._gpu = typed
                self._gather(anew=False)
            case "number" if self._asked_node is not None and typed:
                node = self._asked_node.node
                NODES[node].checked(typed)
                self._advise({**self._answers, node: typed})
            case "reward" if typed and self._situation is not None:
                self._said["reward"] = typed
                named = Known(typed, "asked", "as you said")
                self._situation = msgspec.structs.replace(self._situation, reward=named)
                self._advise({k: v for k, v in self._answers.items() if k != "reward"})
            case "file" if typed:
                assert self._advice is not None, "only asked for when there is something to write"
                return write_advice(self.app, self._advice, paths.expand(typed))
        return True

    def _end_asking(self) -> None:
        self._asking = ""
        self.query_one("#typed").display = False
        self.query_one("#path").focus()

    def action_back(self) -> None:
        """Leave what is being typed."""
        if self._asking:
            self._end_asking()

    # The run

    def action_configure(self) -> None:
        """Take the run over into Configure, with its reasons."""
        advice = self._advice
        if advice is None or advice.run is None:
            self.notify(advice.no_run if advice else "there is no advice yet", markup=False)
            return
        if advice.chain:
            said = f"the first of the chain {advice.chain}: here, `w` writes it, `ctrl+s` starts it"
            self.notify(said, markup=False)
        reasons = {choice.key: choice.reason for choice in advice.choices}
        self.shell.configure(Draft.of(advice.run, "the advice", reasons))

    def action_write(self) -> None:
        """Write the run or the chain as YAML, with its reasons."""
        advice = self._advice
        if advice is None or advice.to_write is None:
            self.notify(advice.no_run if advice else "there is no advice yet", markup=False)
            return
        self._ask("file", f"{advice.chain or advice.to_write.name}.yaml")

    def action_start(self) -> None:
        """Start the chain, once what it takes has been seen."""
        advice = self._advice
        if advice is None or not advice.chain or advice.no_run:
            said = "there is no advice yet" if advice is None else advice.no_run
            self.notify(said or "this is one run: `c` configures and starts it", markup=False)
            return
        from tui_ft.screens.boxes.start_chain import StartChain  # it knows specs

        box = StartChain(chain_of(advice), takes=advise_text.what_the_chain_takes(advice))
        self.app.push_screen(box, lambda name: tell_started(self, name) if name else None)


class _Teller(Listener):
    """Tells the screen, from the thread that gathers, how far it is."""

    def __init__(self, screen: AdviseScreen) -> None:
        self._screen = screen
        self._worker = get_current_worker()

    def fetching(self, progress: Progress) -> None:
        """Say how much has been fetched."""
        size = f"{text.size(progress.bytes)} of {text.size(progress.total)}"
        self._screen.post_message(AdviseScreen.Gathering(f"{progress.what} {size}"))

    def surveying(self, summary: Summary) -> None:
        """Say how much has been read."""
        share = "" if summary.share is None else f" {text.percent(summary.share)}"
        said = f"{summary.stage}{share}, {summary.rows:,} rows"
        self._screen.post_message(AdviseScreen.Gathering(said))

    def lacking(self, words: str) -> None:
        """Keep it."""
        self._screen.lacking(words)

    def is_cancelled(self) -> bool:
        """Tell whether another search was begun."""
        return self._worker.is_cancelled
