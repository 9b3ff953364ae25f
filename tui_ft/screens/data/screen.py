"""The Data screen: rows, what is wrong with them, how long they are, what the model learns from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from tui_ft import text
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.screens.data import opening as data_opening
from tui_ft.screens.data import text as data_text
from tui_ft.screens.data.asking import Asking, AskLine
from tui_ft.screens.data.clean import CleanData
from tui_ft.screens.data.columns import Chosen, MapColumns
from tui_ft.screens.data.deeper import Deeper, LookDeeper
from tui_ft.screens.data.findings import FindingsPane
from tui_ft.screens.data.lengths import LengthsPane
from tui_ft.screens.data.opening import Opening
from tui_ft.screens.data.row import RowPane
from tui_ft.screens.data.rows import Named, RowsPane
from tui_ft.screens.data.split import SplitData
from tui_ft.screens.data.surveyed import Surveyed
from tui_ft.screens.data.token_text import Lens
from tui_ft.screens.top_line import TopLine
from tui_ft.spec.draft import FIRST_PRESET, Draft
from tui_ft.survey.asking import Asked
from tui_ft.survey.known import Known, look_at
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.splitting import SplitReport
from tui_ft.widgets.signs import sign

_POLL_SECONDS: Final = 0.5
_SHORTEST: Final = 8
_NOT_YET: Final = "the data set is not known to its end yet"


class DataScreen(FtuiScreen):
    """One data set at a time. What is found out about it is kept, and shown at once next time."""

    # The last line of 80 columns holds those that are shown; the panes name the others.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open", id="data.open", tooltip="Look at another data set"),
        Binding(
            "v", "view", "View", id="data.view", tooltip="The row as dialogue, tokens, packed, JSON"
        ),
        Binding(
            "slash", "ask('text')", "Search", id="data.search", tooltip="Search rows for a text"
        ),
        Binding("c", "columns", "Map", id="data.columns", tooltip="Choose which column is which"),
        Binding("x", "clean", "Clean", id="data.clean", tooltip="Write it anew without its faults"),
        Binding("s", "split", "Split", id="data.split", tooltip="Hold rows out, in two new files"),
        Binding("n", "new", "New run", id="data.new", tooltip="Start a run on this data set"),
        Binding(
            "a",
            "advise",
            "Advise",
            show=False,
            id="data.advise",
            tooltip="Whether and how to train",
        ),
        Binding(
            "m",
            "ask('model')",
            "Model",
            show=False,
            id="data.model",
            tooltip="Count a model's tokens",
        ),
        Binding(
            "l",
            "ask('length')",
            "Length",
            show=False,
            id="data.length",
            tooltip="Choose a max_length; figures and findings follow",
        ),
        Binding(
            "e",
            "ask('eval')",
            "Evaluation",
            show=False,
            id="data.eval",
            tooltip="Name evaluation data, and look for overlap with it",
        ),
        Binding(
            "f",
            "findings",
            "Findings",
            show=False,
            id="data.findings",
            tooltip="Go to the findings, and back",
        ),
        Binding(
            "d",
            "deeper",
            "Deeper",
            show=False,
            id="data.deeper",
            tooltip="Look for personal data, offensive language, rows that mean the same",
        ),
        Binding(
            "S",
            "stop",
            "Stop",
            show=False,
            id="data.stop",
            tooltip="Look no further; what was found before stays",
        ),
        Binding(
            "escape",
            "back",
            "All rows",
            show=False,
            id="data.back",
            tooltip="One layer back: question, row, finding, search",
        ),
        Binding("q", "app.home", "Back", id="data.quit", tooltip="Back to Home"),
        HELP,
    ]

    class Looked(Message):
        """The survey was looked at; nothing may be known yet."""

        def __init__(self, asked: Asked, known: Known | None) -> None:
            self.asked, self.known = asked, known
            super().__init__()

    def __init__(self, path: str = "", model: str = "") -> None:
        super().__init__()
        self._request = Request(path, tokens=TokenRequest(model) if model else None)
        self._opened = self._refused = Request("")
        self._chosen_length: int | None = None
        self._opening = Opening(self)
        self._asked: Asked | None = None
        self._known: Known | None = None
        self._lens = Lens()

    def compose_content(self) -> ComposeResult:
        """Lay out rows, row, findings, lengths."""
        yield Static("no data set is open: `o` opens one", id="headline")
        yield Static(id="verdict")
        yield AskLine(id="asked")
        with Horizontal(id="data-panes"):
            yield RowsPane(id="rows-box")
            yield RowPane(id="row-box")
        with Horizontal(id="data-below"):
            yield FindingsPane(id="findings-box")
            yield LengthsPane(id="lengths-box")

    @property
    def rows(self) -> RowsPane:
        """The rows."""
        return self.query_one(RowsPane)

    def on_mount(self) -> None:
        """Open what was named, else ask for it."""
        self.rows.table.focus()
        self.set_interval(_POLL_SECONDS, self._look)
        self._look()
        if self._request.path:
            self._open()
        else:
            self.action_open()

    def _open(self, **changes: Any) -> None:
        """Open what is asked for now, changed in some respects.

        What takes other libraries was asked for of one data set, and of no other.
        """
        if changes.get("path", self._request.path) != self._request.path:
            changes = {**Deeper()._asdict(), **changes}
        self._request = msgspec.structs.replace(self._request, **changes)
        if self._request.path:
            self._opening.open(self._request)

    def on_opening_fetching(self, message: Opening.Fetching) -> None:
        """Say how far the download is."""
        said = data_text.download(message.name, message.progress)
        self.query_one("#headline", Static).update(said)

    def on_opening_previewed(self, message: Opening.Previewed) -> None:
        """Show the first rows."""
        self._asked = self._known = None
        self.rows.preview(message.preview)

    def on_opening_refused(self, message: Opening.Refused) -> None:
        """Say why it cannot be opened; what was open before stays, and what was said is kept."""
        self._refused, self._request = self._request, self._opened
        if self._asked is None:
            said = sign("bad").content(text.plain(message.problem))
            self.query_one("#headline", Static).update(said)
        self.notify(message.problem, severity="error", markup=False)

    def on_opening_opened(self, message: Opening.Opened) -> None:
        """Show the survey."""
        self._opened = self._refused = self._request
        self._asked, self._known = message.asked, None
        self._lens = Lens(message.tokenizer, asked=message.asked)
        self._look()

    def _look(self) -> None:
        if not self.is_current:
            return
        hardware = self.shell.hardware
        self.query_one(TopLine).show(hardware.latest(), self.shell.live_runs())
        if self._asked is not None and not self.is_shown_whole():
            self.read_in_thread(self._read)

    def is_shown_whole(self) -> bool:
        """Return whether nothing more will come of the data set that is open."""
        return self._known is not None and self._known.is_whole

    def _read(self) -> None:
        if self._asked is not None:
            self.post_message(self.Looked(self._asked, look_at(self._asked)))

    def on_data_screen_looked(self, message: Looked) -> None:
        """Show what has been found out since."""
        self.reading = False
        known = message.known
        if known is None or message.asked is not self._asked:
            return
        self._known = known
        self._show_headline()
        self.query_one("#verdict", Static).update(data_text.verdict_line(known.verdict))
        self.rows.know(message.asked.folder, known.summary)
        self._follow_length()

    def _show_headline(self) -> None:
        if self._known is not None:
            said = data_text.headline(self._known, max(1, self.size.width - 2))
            self.query_one("#headline", Static).update(said)

    def on_resize(self) -> None:
        """Lay out anew what depends on the width."""
        self._show_headline()

    def _follow_length(self) -> None:
        """Show rows, figures and findings at the max_length chosen, or recommended by now."""
        known = self._known
        if known is None:
            return
        is_counted = known.tokens is not None and known.tokens.is_over
        length = known.max_length(self._chosen_length) or self._lens.max_length
        lens = replace(self._lens, max_length=length, is_counted=is_counted)
        if lens != self._lens:
            self._lens = lens
            self._show_row()
        self.query_one(LengthsPane).show(known.summary, known.tokens, known.token_folder, length)
        self.query_one(FindingsPane).show(
            known.findings(length), known.quality, known.summary.problem
        )
        self.rows.count_tokens(known.token_folder)

    def on_rows_pane_chosen(self) -> None:
        """Show the row under the cursor."""
        self._show_row()

    def _show_row(self) -> None:
        self.query_one(RowPane).show(self.rows.chosen, self._lens)

    def on_findings_pane_chosen(self, message: FindingsPane.Chosen) -> None:
        """Show only the rows that have it."""
        if self._known is None:
            return
        positions = self._known.positions_of(message.finding, self._lens.max_length)
        if not positions:
            self.notify("this concerns the data set as a whole", markup=False)
            return
        self.rows.show_named(Named(message.finding.title, positions))
        self.rows.table.focus()

    def on_ask_line_closed(self) -> None:
        """Give the keys back to the rows."""
        self.rows.table.focus()

    def on_ask_line_answered(self, message: AskLine.Answered) -> None:
        """Count the model's tokens, search, or cut elsewhere."""
        said = message.said
        match message.asking:
            case "text":
                if not self.rows.search(said):
                    self.notify("the rows are not known yet: search when they are", markup=False)
            case "model":
                self._open(tokens=TokenRequest(said) if said else None)
            case "eval":
                self._open(eval=said or None)
            case "length":
                self._choose_length(said)

    def _choose_length(self, said: str) -> None:
        if said and not (said.isdecimal() and int(said) >= _SHORTEST):
            self.notify(f"a max_length is a number of tokens, {_SHORTEST} or more", markup=False)
            self.query_one(AskLine).ask("length", said)
            return
        self._chosen_length = int(said) if said else None
        self._follow_length()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw."""
        super().on_worker_state_changed(event)
        if event.state is WorkerState.ERROR and event.worker.group == data_opening.GROUP:
            self.notify(repr(event.worker.error), severity="error", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer no question on the last line while one is asked: its key is typed then."""
        return not (action == "ask" and isinstance(self.focused, AskLine))

    def action_ask(self, what: Asking) -> None:
        """Ask for a model, a text or a length, on the line below the first."""
        self.set_class(what == "length", "-lengths")
        self.query_one(AskLine).ask(what, self._said(what))

    def _said(self, what: Asking) -> str:
        """Return what was said last, though it could not be opened: it may only want mending."""
        match what:
            case "model":
                return self._refused.tokens.model if self._refused.tokens is not None else ""
            case "text":
                return self.rows.sought
            case "eval":
                return self._refused.eval or ""
            case "length":
                return str(self._chosen_length or "")

    def action_columns(self) -> None:
        """Choose format and columns by hand."""
        if self._here is None:
            self.notify("no data set is open yet", markup=False)
            return

        def use(chosen: Chosen | None) -> None:
            if chosen is not None:
                self._open(format=chosen.format, columns=chosen.columns)

        so_far = Chosen(self._request.format, self._request.columns)
        self.app.push_screen(MapColumns(self._here, so_far), use)

    def action_deeper(self) -> None:
        """Choose what else is looked for, which takes other libraries or a model."""
        if self._here is None:
            self.notify("no data set is open yet", markup=False)
            return

        def look(wanted: Deeper | None) -> None:
            if wanted is not None:
                self._open(**wanted._asdict())

        self.app.push_screen(LookDeeper(self._request), look)

    def action_stop(self) -> None:
        """End the survey; where more was looked for than usual, go back to what is usual."""
        asked = self._asked
        if asked is None or self.is_shown_whole():
            self.notify("nothing is being looked for", markup=False)
            return

        def stop() -> None:
            self.app.call_from_thread(self._stopped, asked, asked.cancel())

        self.run_worker(stop, thread=True, group="stop", exit_on_error=False)

    def _stopped(self, asked: Asked, was_at_work: bool) -> None:
        went_deeper = bool(asked.request.embed or asked.request.extras)
        if not was_at_work:
            self.notify("it has ended by now, or another ftui looks for it", markup=False)
        elif went_deeper and asked is self._asked:
            self.notify("stopped; what was found before is shown again", markup=False)
            self._open(**Deeper()._asdict())
        else:
            self.notify("stopped; `o` opens it again", markup=False)

    def action_clean(self) -> None:
        """Write the data set anew, without what was found in it; then open it, if wanted."""

        def follow(new: Path | None) -> None:
            if new is not None:
                self._open(path=str(new))

        data = self._surveyed()
        if data is not None:
            self.app.push_screen(CleanData(data), follow)

    def action_split(self) -> None:
        """Write the data set to two files; then open the one to train on, beside the other."""

        def follow(new: SplitReport | None) -> None:
            if new is not None:
                self._open(path=new.train, eval=new.eval)

        data = self._surveyed()
        if data is not None:
            self.app.push_screen(SplitData(data), follow)

    def _surveyed(self) -> Surveyed | None:
        """Return the data set that is open, once it is known to its end; say so if it is not."""
        known = self._known
        if known is None or not known.is_done:
            failed = known is not None and known.summary.problem is not None
            why = "it cannot be read: the findings say why" if failed else _NOT_YET
            self.notify(why, markup=False)
            return None
        return Surveyed(self._request.path, known.asked.folder, known.summary)

    @property
    def _here(self) -> str | None:
        """Where the data set that is open lies on this machine."""
        return self._asked.request.path if self._asked is not None else None

    def action_new(self) -> None:
        """Write a run on this data set, read as it is read here."""
        request = self._request
        draft = Draft.from_preset(FIRST_PRESET).with_value("data.train", request.path)
        for key, value in (
            ("model.name_or_path", request.tokens.model if request.tokens is not None else None),
            ("data.format", request.format if request.format != "auto" else None),
            ("data.columns", dict(request.columns) or None),
            ("data.eval", request.eval),
            ("training.max_length", self._chosen_length),
        ):
            draft = draft if value is None else draft.with_value(key, value)
        self.shell.configure(draft)

    def action_advise(self) -> None:
        """Ask whether and how to fine-tune a model on this data set."""
        request = self._request
        model = request.tokens.model if request.tokens else ""
        self.shell.advise(model, request.path, request.columns)

    def action_open(self) -> None:
        """Choose another data set."""

        def follow(chosen: Request | None) -> None:
            if chosen is not None:
                self._open(
                    path=chosen.path, format=chosen.format, columns=chosen.columns, eval=chosen.eval
                )

        refused = self._refused.path if self._refused.path != self._opened.path else ""
        self.app.push_screen(OpenData(refused), follow)

    def action_view(self) -> None:
        """Show the row in the next way."""
        row = self.query_one(RowPane)
        row.next_view()
        if self.has_class("-narrow"):
            self.add_class("-reading")
            row.focus()

    def on_row_pane_onward(self, message: RowPane.Onward) -> None:
        """Go on to another row, while the pane has the keys."""
        self.rows.table.action_move(message.by)

    def action_findings(self) -> None:
        """Go to the findings, and back."""
        findings = self.query_one(FindingsPane).list
        if findings.has_focus:
            self.rows.table.focus()
            return
        if findings.highlighted is None:
            findings.action_first()
        findings.focus()

    def action_back(self) -> None:
        """Close what is open: the row, the figures, the finding or search."""
        if self.has_class("-reading") and self.has_class("-narrow"):
            self.remove_class("-reading")
        elif self.has_class("-lengths"):
            self.remove_class("-lengths")
        elif self.rows.is_filtered:
            self.rows.show_all()
        self.rows.table.focus()
