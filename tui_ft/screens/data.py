"""The Data screen: rows, what is wrong with them, how long they are, what the model learns from."""

from __future__ import annotations

from array import array
from functools import lru_cache, partial
from typing import ClassVar, Final, Literal

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState, get_current_worker

from tui_ft import paths, text
from tui_ft.data import DataError, MaskedRow, Row, RowProblem, convert, mask_row
from tui_ft.data.chat_tokenizer import LocalChatTokenizer, load_chat_tokenizer
from tui_ft.data.hub_download import Progress, fetch_dataset
from tui_ft.data.items import AnyItem, taught
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.screens import data_text
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.top_line import TopLine
from tui_ft.survey.asking import Asked
from tui_ft.survey.folder import SurveyedRows, detection_of, found_positions
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.summary import Finding, Summary
from tui_ft.survey.tokens import TokenSummary
from tui_ft.widgets.row_table import RowTable

_POLL_SECONDS: Final = 0.5
_PAGE: Final = 64
View = Literal["conversation", "learned", "record"]
_VIEWS: Final[tuple[View, ...]] = ("conversation", "learned", "record")
_OPEN: Final = "a file, a folder, or a data set's id on the Hub; enter opens it"
_MODEL: Final = "the folder of a model, whose tokens are counted"


class DataScreen(FtuiScreen):
    """One data set at a time. What is found out about it is kept, and shown at once next time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "ask('path')", "Open", id="data.open", tooltip="Look at another data set"),
        Binding("m", "ask('model')", "Model", id="data.model", tooltip="Count a model's tokens"),
        Binding("v", "view", "View", id="data.view", tooltip="The row as dialogue, tokens, record"),
        Binding("f", "findings", "Findings", id="data.findings", tooltip="Go to the findings"),
        Binding("escape", "back", "All rows", id="data.back", tooltip="Show all rows again"),
        Binding("q", "app.home", "Back", id="data.quit", tooltip="Back to Home"),
        HELP,
    ]

    class Looked(Message):
        """The survey was looked at."""

        def __init__(self, summary: Summary | None, tokens: TokenSummary | None) -> None:
            self.summary, self.tokens = summary, tokens
            super().__init__()

    class Opened(Message):
        """A survey was asked for, or could not be."""

        def __init__(self, asked: Asked | None, problem: str = "") -> None:
            self.asked, self.problem = asked, problem
            super().__init__()

    class Fetching(Message):
        """A data set comes from the Hub."""

        def __init__(self, progress: Progress) -> None:
            self.progress = progress
            super().__init__()

    class Seen(Message):
        """A row is ready to be shown."""

        def __init__(self, index: int, content: Content) -> None:
            self.index, self.content = index, content
            super().__init__()

    def __init__(self, path: str = "", model: str = "") -> None:
        super().__init__()
        self._path, self._model = path, model
        self._asking: Literal["path", "model"] = "path"
        self._asked: Asked | None = None
        self._summary: Summary | None = None
        self._tokens: TokenSummary | None = None
        self._tokenizer: LocalChatTokenizer | None = None
        self._view: View = "conversation"
        self._positions: array[int] | None = None
        self._page = lru_cache(maxsize=8)(self._read_page)

    def compose_content(self) -> ComposeResult:
        """Lay out rows, row, findings, lengths."""
        yield Static("no data set is open: `o` opens one", id="headline")
        yield Input(id="asked")
        with Horizontal(id="data-panes"):
            with Vertical(id="rows-box", classes="box") as box:
                box.border_title = "Rows"
                yield RowTable(self._line, id="rows")
            with VerticalScroll(id="row-box", classes="box") as box:
                box.border_title = "Row"
                yield Static(id="row")
        with Horizontal(id="data-below"):
            with Vertical(id="findings-box", classes="box") as box:
                box.border_title = "Findings"
                yield OptionList(id="findings")
                yield Static(id="about")
            with Vertical(id="lengths-box", classes="box") as box:
                box.border_title = "Length"
                yield Static(id="lengths")

    def on_mount(self) -> None:
        """Open what was named, else ask for it."""
        self.query_one("#asked").display = False
        self.query_one(RowTable).focus()
        self.set_interval(_POLL_SECONDS, self._look)
        self._look()
        if self._path:
            self._open()
        else:
            self.action_ask("path")

    def _open(self) -> None:
        tokens = TokenRequest(self._model) if self._model else None
        request = Request(self._path, tokens=tokens)
        self.run_worker(partial(self._begin, request), thread=True, group="open", exclusive=True)

    def _begin(self, request: Request) -> None:
        try:
            tokenizer = self._tokenizer_of(request)
            asked = Asked(self._fetched(request))
        except DataError as error:
            self.post_message(self.Opened(None, str(error)))
        else:
            self._tokenizer = tokenizer
            self.post_message(self.Opened(asked))

    def _fetched(self, request: Request) -> Request:
        """Return the request for a local file, a data set on the Hub having been fetched."""
        if not is_dataset_id(request.path):
            return request
        worker = get_current_worker()

        def tell(progress: Progress) -> None:
            self.post_message(self.Fetching(progress))

        rows = fetch_dataset(request.path, progress=tell, cancelled=lambda: worker.is_cancelled)
        return msgspec.structs.replace(request, path=str(rows))

    def on_data_screen_fetching(self, message: Fetching) -> None:
        """Say how far the download is."""
        progress = message.progress
        size = f"{text.size(progress.bytes)} of {text.size(progress.total)}"
        said = f"{text.one_line(self._path, 60)}: {text.one_line(progress.what, 60)} {size}"
        self.query_one("#headline", Static).update(Content(said))

    @staticmethod
    def _tokenizer_of(request: Request) -> LocalChatTokenizer | None:
        if request.tokens is None:
            return None
        return load_chat_tokenizer(paths.expand(request.tokens.model))

    def on_data_screen_opened(self, message: Opened) -> None:
        """Show the survey, or why there is none."""
        if message.asked is None:
            self.notify(message.problem, severity="error", markup=False)
            return
        self._asked, self._positions, self._summary = message.asked, None, None
        self._page.cache_clear()
        self.query_one(RowTable).show(0, anew=True)
        self._look()

    def _look(self) -> None:
        if not self.is_current:
            return
        hardware = self.shell.hardware
        self.query_one(TopLine).show(hardware.latest(), self.shell.live_runs())
        over = self._summary is not None and self._asked is not None and self._asked.is_over()
        if self._asked is not None and not (over and self._showed()):
            self.read_in_thread(self._read)

    def _showed(self) -> bool:
        wanted = self._asked is not None and self._asked.request.tokens is not None
        return not wanted or (self._tokens is not None and self._tokens.is_over)

    def _read(self) -> None:
        if self._asked is not None:
            self.post_message(self.Looked(self._asked.summary(), self._asked.tokens()))

    def on_data_screen_looked(self, message: Looked) -> None:
        """Show what has been found out since."""
        self.reading = False
        first = self._summary is None
        if message.summary is None:
            return
        self._summary, self._tokens = message.summary, message.tokens
        self.query_one("#headline", Static).update(data_text.headline(self._summary, self._tokens))
        if self._positions is None:
            self.query_one(RowTable).show(self._summary.rows, anew=first)
        lengths = self.query_one("#lengths", Static)
        lengths.update(data_text.lengths(self._tokens, self._summary, lengths.size.width))
        self._show_findings(self._summary)
        if first:
            self._show_row(0)

    def _show_findings(self, summary: Summary) -> None:
        findings = self.query_one("#findings", OptionList)
        options = [Option(data_text.finding_line(f), id=f.id) for f in summary.findings]
        shown = [str(option.prompt) for option in findings.options]
        if shown == [str(option.prompt) for option in options]:
            return
        kept = findings.highlighted
        findings.clear_options()
        findings.add_options(options or [Option("nothing found", disabled=True)])
        findings.highlighted = kept

    def _rows(self, index: int) -> int:
        """Return the position of the row at ``index`` of the list."""
        return index if self._positions is None else self._positions[index]

    def _line(self, index: int, width: int) -> str:
        page = self._page(index // _PAGE)
        at = index % _PAGE
        row, item = page[at] if at < len(page) else (None, None)
        return data_text.row_line(row, item, width)

    def _read_page(self, page: int) -> list[tuple[Row | None, AnyItem | RowProblem | None]]:
        if self._asked is None or self._summary is None:
            return []
        count = self._summary.rows if self._positions is None else len(self._positions)
        indices = range(page * _PAGE, min(count, (page + 1) * _PAGE))
        detection = detection_of(self._summary)
        surveyed = SurveyedRows(self._asked.folder, self._summary)
        try:
            rows = surveyed.rows([self._rows(index) for index in indices])
        except OSError:
            return []
        return [
            (row, convert(row, detection)) if isinstance(row, Row) and detection else (None, None)
            for row in rows
        ]

    def on_row_table_moved(self, message: RowTable.Moved) -> None:
        """Show the row under the cursor."""
        self._show_row(message.index)

    def _show_row(self, index: int) -> None:
        page = self._page(index // _PAGE)
        if index % _PAGE >= len(page):
            return
        row, item = page[index % _PAGE]
        self.query_one("#row-box").border_title = f"Row · {self._view}"
        if row is None or item is None:
            return
        show = partial(self._render_row, index, row, item, self._view)
        self.run_worker(show, thread=True, group="row", exclusive=True, exit_on_error=False)

    def _render_row(self, index: int, row: Row, item: AnyItem | RowProblem, view: View) -> None:
        self.post_message(self.Seen(index, self._row_content(row, item, view)))

    def _row_content(self, row: Row, item: AnyItem | RowProblem, view: View) -> Content:
        if view == "record" or isinstance(item, RowProblem):
            return data_text.raw(row)
        if view == "conversation":
            return data_text.conversation(item)
        if self._tokenizer is None:
            return Content("`m` names the model whose tokens are shown")
        shown = []
        for part in taught(item):
            mask = mask_row(part, self._tokenizer)
            length = self._tokens.recommended_max_length() if self._tokens else 1024
            shown.append(
                data_text.learned(mask, self._tokenizer, length)
                if isinstance(mask, MaskedRow)
                else Content(text.plain(mask))
            )
        return Content("\n\n").join(shown or [Content("nothing is learned from a prompt alone")])

    def on_data_screen_seen(self, message: Seen) -> None:
        """Put the row into its pane, unless the cursor has moved on."""
        if message.index == self.query_one(RowTable).cursor:
            self.query_one("#row", Static).update(message.content)
            self.query_one("#row-box").scroll_home(animate=False)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say why the finding matters."""
        found = self._finding(event.option_id)
        about = data_text.about_finding(found) if found else Content("")
        self.query_one("#about", Static).update(about)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show only the rows that have it."""
        found = self._finding(event.option_id)
        if found is None or self._asked is None:
            return
        positions = found_positions(self._asked.folder, found.id)
        if not positions:
            self.notify("this concerns the data set as a whole", markup=False)
            return
        self._positions = positions
        self.query_one("#rows-box").border_title = f"Rows · {found.title} · esc for all"
        self._show_anew(len(positions))

    def _finding(self, name: str | None) -> Finding | None:
        findings = self._summary.findings if self._summary else ()
        return next((finding for finding in findings if finding.id == name), None)

    def _show_anew(self, rows: int) -> None:
        self._page.cache_clear()
        table = self.query_one(RowTable)
        table.show(rows, anew=True)
        table.focus()
        self._show_row(0)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the data set, or count the model's tokens."""
        field = self.query_one("#asked", Input)
        field.display = False
        self.query_one(RowTable).focus()
        if self._asking == "path":
            self._path = event.value.strip() or self._path
        else:
            self._model = event.value.strip()
        if self._path:
            self._open()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw."""
        super().on_worker_state_changed(event)
        if event.state is WorkerState.ERROR and event.worker.group == "open":
            self.notify(repr(event.worker.error), severity="error", markup=False)

    def action_ask(self, what: Literal["path", "model"]) -> None:
        """Ask for a path, on the line below the first."""
        self._asking = what
        field = self.query_one("#asked", Input)
        field.placeholder = _OPEN if what == "path" else _MODEL
        field.value = self._path if what == "path" else self._model
        field.display = True
        field.focus()

    def action_view(self) -> None:
        """Show the row in the next way."""
        self._view = _VIEWS[(_VIEWS.index(self._view) + 1) % len(_VIEWS)]
        self.add_class("-reading")
        self._show_row(self.query_one(RowTable).cursor)

    def action_findings(self) -> None:
        """Go to the findings, and back."""
        findings = self.query_one("#findings", OptionList)
        (self.query_one(RowTable) if findings.has_focus else findings).focus()

    def action_back(self) -> None:
        """Close what is open: the question, the row, the finding."""
        field = self.query_one("#asked", Input)
        if field.display:
            field.display = False
        elif self.has_class("-reading") and self.has_class("-narrow"):
            self.remove_class("-reading")
        elif self._positions is not None and self._summary is not None:
            self._positions = None
            self.query_one("#rows-box").border_title = "Rows"
            self._show_anew(self._summary.rows)
        self.query_one(RowTable).focus()
