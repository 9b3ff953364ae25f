"""The Data screen: rows, what is wrong with them, how long they are, what the model learns from."""

from __future__ import annotations

from array import array
from functools import partial
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

from tui_ft import text
from tui_ft.data import DataError
from tui_ft.data.chat_tokenizer import LocalChatTokenizer, load_chat_tokenizer
from tui_ft.data.hub_download import Progress, fetch_dataset
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.screens import data_text
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.data_text import View
from tui_ft.screens.top_line import TopLine
from tui_ft.survey.asking import Asked
from tui_ft.survey.browsing import Browsed, Browser, Preview
from tui_ft.survey.folder import rows_to_look_at
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.searching import Found, search_rows
from tui_ft.survey.summary import Finding, Summary
from tui_ft.survey.token_findings import TOKEN_CHECKS, token_findings, token_positions
from tui_ft.survey.tokens import TokenSummary
from tui_ft.widgets.row_table import RowTable

_POLL_SECONDS: Final = 0.5
_MAX_LENGTH: Final = 1_024  # what trl cuts at, as long as no tokens are counted
Asking = Literal["path", "model", "text"]
_VIEWS: Final[tuple[View, ...]] = ("conversation", "learned", "record")
_OPEN: Final = "a file, a folder, or a data set's id on the Hub; enter opens it"
_MODEL: Final = "the folder of a model, whose tokens are counted"
_TEXT: Final = "a text to search the rows for; column:text looks into one column"
_PLACEHOLDERS: Final[dict[Asking, str]] = {"path": _OPEN, "model": _MODEL, "text": _TEXT}


class DataScreen(FtuiScreen):
    """One data set at a time. What is found out about it is kept, and shown at once next time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "ask('path')", "Open", id="data.open", tooltip="Look at another data set"),
        Binding("m", "ask('model')", "Model", id="data.model", tooltip="Count a model's tokens"),
        Binding("v", "view", "View", id="data.view", tooltip="The row as dialogue, tokens, record"),
        Binding("f", "findings", "Findings", id="data.findings", tooltip="Go to the findings"),
        Binding(
            "slash", "ask('text')", "Search", id="data.search", tooltip="Search rows for a text"
        ),
        Binding("escape", "back", "All rows", id="data.back", tooltip="Show all rows again"),
        Binding("q", "app.home", "Back", id="data.quit", tooltip="Back to Home"),
        HELP,
    ]

    class Looked(Message):
        """The survey was looked at."""

        def __init__(
            self, asked: Asked, summary: Summary | None, tokens: TokenSummary | None
        ) -> None:
            self.asked, self.summary, self.tokens = asked, summary, tokens
            super().__init__()

    class Opened(Message):
        """A survey was asked for, or could not be."""

        def __init__(self, asked: Asked | None, problem: str = "") -> None:
            self.asked, self.problem = asked, problem
            super().__init__()

    class Previewed(Message):
        """The first rows are there, before anything is known of the others."""

        def __init__(self, preview: Preview) -> None:
            self.preview = preview
            super().__init__()

    class Fetching(Message):
        """A data set comes from the Hub."""

        def __init__(self, progress: Progress) -> None:
            self.progress = progress
            super().__init__()

    class Matched(Message):
        """A search for a text has got on; without an answer it could not go on."""

        def __init__(self, query: str, found: Found | None) -> None:
            self.query, self.found = query, found
            super().__init__()

    class Seen(Message):
        """A row is ready to be shown."""

        def __init__(self, index: int, content: Content) -> None:
            self.index, self.content = index, content
            super().__init__()

    def __init__(self, path: str = "", model: str = "") -> None:
        super().__init__()
        self._path, self._model = path, model
        self._asking: Asking = "path"
        self._sought = ""
        self._asked: Asked | None = None
        self._summary: Summary | None = None
        self._tokens: TokenSummary | None = None
        self._tokenizer: LocalChatTokenizer | None = None
        self._view: View = "conversation"
        self._finding: Finding | None = None
        self._browser: Browser | Preview | None = None

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
            request = self._fetched(request)
            self.post_message(self.Previewed(Preview(request)))
            asked = Asked(request)
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
        return load_chat_tokenizer(request.tokens.folder())

    def on_data_screen_previewed(self, message: Previewed) -> None:
        """Show the first rows."""
        self._asked = self._summary = self._tokens = self._finding = None
        self._stop_searching()
        self._title_rows()
        self._browser = message.preview
        self.query_one(RowTable).show(len(message.preview), anew=True)
        self._show_row(0)

    def on_data_screen_opened(self, message: Opened) -> None:
        """Show the survey, or why there is none."""
        if message.asked is None:
            self.notify(message.problem, severity="error", markup=False)
            return
        self._asked, self._summary, self._tokens = message.asked, None, None
        self._look()

    def _look(self) -> None:
        if not self.is_current:
            return
        hardware = self.shell.hardware
        self.query_one(TopLine).show(hardware.latest(), self.shell.live_runs())
        if self._asked is not None and not self._is_shown_whole():
            self.read_in_thread(self._read)

    def _is_shown_whole(self) -> bool:
        if self._summary is None or not self._summary.is_over:
            return False
        waits = self._asked is not None and self._asked.token_folder is not None
        is_counted = self._tokens is not None and self._tokens.is_over
        return not waits or is_counted or self._summary.stage == "failed"

    def _read(self) -> None:
        if self._asked is not None:
            self.post_message(self.Looked(self._asked, self._asked.summary(), self._asked.tokens()))

    def on_data_screen_looked(self, message: Looked) -> None:
        """Show what has been found out since."""
        self.reading = False
        if message.summary is None or message.asked is not self._asked:
            return
        self._summary, self._tokens = message.summary, message.tokens
        self.query_one("#headline", Static).update(data_text.headline(self._summary, self._tokens))
        is_filtered = self._finding is not None or bool(self._sought)
        if not is_filtered and (self._summary.rows or self._summary.is_over):
            self._browse(None)
        lengths = self.query_one("#lengths", Static)
        lengths.update(data_text.lengths(self._tokens, self._summary, lengths.size.width))
        self._show_findings()

    def _browse(self, positions: array[int] | None, *, anew: bool = False) -> None:
        """Show all rows, or those at ``positions``; ``anew`` from the first on."""
        if self._asked is None or self._summary is None:
            return
        table = self.query_one(RowTable)
        had_rows = self._browser is not None and len(self._browser) > 0
        self._browser = Browser(self._asked.folder, self._summary, positions)
        table.show(len(self._browser), anew=anew)
        if anew or not had_rows:
            self._show_row(table.cursor)

    def _findings(self) -> tuple[Finding, ...]:
        found = self._summary.findings if self._summary else ()
        if self._tokens is None:
            return found
        return (*token_findings(self._tokens, self._max_length), *found)

    @property
    def _max_length(self) -> int:
        return self._tokens.recommended_max_length() if self._tokens else _MAX_LENGTH

    def _show_findings(self) -> None:
        findings = self.query_one("#findings", OptionList)
        options = [Option(data_text.finding_line(f), id=f.id) for f in self._findings()]
        shown = [str(option.prompt) for option in findings.options]
        if shown == [str(option.prompt) for option in options]:
            return
        kept = findings.highlighted
        findings.clear_options()
        findings.add_options(options or [Option("nothing found", disabled=True)])
        findings.highlighted = kept

    def _line(self, index: int, width: int) -> str:
        return data_text.row_line(self._browser.at(index) if self._browser else None, width)

    def on_row_table_moved(self, message: RowTable.Moved) -> None:
        """Show the row under the cursor."""
        self._show_row(message.index)

    def _show_row(self, index: int) -> None:
        self.query_one("#row-box").border_title = f"Row · {self._view}"
        found = self._browser.at(index) if self._browser else None
        if found is None:
            return
        show = partial(self._render_row, index, found, self._view, self._max_length)
        self.run_worker(show, thread=True, group="row", exclusive=True, exit_on_error=False)

    def _render_row(self, index: int, found: Browsed, view: View, max_length: int) -> None:
        content = data_text.row_content(found, view, self._tokenizer, max_length)
        self.post_message(self.Seen(index, content))

    def on_data_screen_seen(self, message: Seen) -> None:
        """Put the row into its pane, unless the cursor has moved on."""
        if message.index == self.query_one(RowTable).cursor:
            self.query_one("#row", Static).update(message.content)
            self.query_one("#row-box").scroll_home(animate=False)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say why the finding matters."""
        found = self._finding_called(event.option_id)
        about = data_text.about_finding(found) if found else Content("")
        self.query_one("#about", Static).update(about)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show only the rows that have it."""
        found = self._finding_called(event.option_id)
        if found is None or self._asked is None:
            return
        positions = self._positions_of(found)
        if not positions:
            self.notify("this concerns the data set as a whole", markup=False)
            return
        self._stop_searching()
        self._finding = found
        self._title_rows()
        self._browse(positions, anew=True)
        self.query_one(RowTable).focus()

    def _positions_of(self, found: Finding) -> array[int]:
        assert self._asked is not None
        folder, tokens = self._asked.token_folder, self._tokens
        if found.id in TOKEN_CHECKS and folder is not None and tokens is not None:
            return token_positions(folder, tokens, found.id, self._max_length)
        return rows_to_look_at(self._asked.folder, found.id)

    def _finding_called(self, name: str | None) -> Finding | None:
        return next((finding for finding in self._findings() if finding.id == name), None)

    def _show_all(self) -> None:
        self._finding = None
        self._stop_searching()
        self._title_rows()
        self._browse(None, anew=True)

    def _title_rows(self, found: Found | None = None) -> None:
        parts = ["Rows"]
        if self._finding is not None:
            parts.append(self._finding.title)
        if self._sought:
            parts.append(data_text.search_title(self._sought, found))
        if len(parts) > 1:
            parts.append("esc for all")
        self.query_one("#rows-box").border_title = Content(" · ".join(parts))

    def _search(self, query: str) -> None:
        """Show the rows that hold a text, of those that the finding names where there is one."""
        if self._asked is None or self._summary is None:
            self.notify("the rows are not known yet: search when they are", markup=False)
            return
        if not query:
            self._show_all()
            return
        self._sought = query
        among = self._positions_of(self._finding) if self._finding is not None else None
        self._title_rows()
        self._browse(array("Q"), anew=True)
        run = partial(self._seek, self._asked, self._summary, query, among)
        self.run_worker(run, thread=True, group="search", exclusive=True)

    def _seek(self, asked: Asked, summary: Summary, query: str, among: array[int] | None) -> None:
        worker = get_current_worker()
        try:
            for found in search_rows(asked.folder, summary, query, among):
                if worker.is_cancelled:
                    return
                self.post_message(self.Matched(query, found))
        except OSError:
            self.post_message(self.Matched(query, None))

    def on_data_screen_matched(self, message: Matched) -> None:
        """Show what has been found so far."""
        if message.query != self._sought:
            return
        if message.found is None:
            self.notify("the data set has changed or gone: open it again", severity="error")
            return
        self._title_rows(message.found)
        first = self._browser is None or len(self._browser) == 0
        self._browse(message.found.positions, anew=first)

    def _stop_searching(self) -> None:
        self._sought = ""
        self.workers.cancel_group(self, "search")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the data set, count the model's tokens, or search."""
        field = self.query_one("#asked", Input)
        field.display = False
        self.query_one(RowTable).focus()
        if self._asking == "text":
            self._search(event.value.strip())
            return
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

    def action_ask(self, what: Asking) -> None:
        """Ask for a path or a text, on the line below the first."""
        self._asking = what
        field = self.query_one("#asked", Input)
        field.placeholder = _PLACEHOLDERS[what]
        field.value = {"path": self._path, "model": self._model, "text": self._sought}[what]
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
        elif self._finding is not None or self._sought:
            self._show_all()
        self.query_one(RowTable).focus()
