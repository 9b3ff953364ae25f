"""The rows of a data set: all of them, those that a finding names, or those that hold a text."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.worker import get_current_worker

from tui_ft.screens.data import text as data_text
from tui_ft.survey.browsing import Browsed, Browser, Preview
from tui_ft.survey.packing import length_of
from tui_ft.survey.searching import Found, search_rows
from tui_ft.survey.summary import Summary
from tui_ft.widgets.row_table import RowTable


@dataclass(frozen=True, slots=True)
class Named:
    """Rows that have something in common, by position, and what it is."""

    title: str
    positions: array[int]


class RowsPane(Vertical):
    """A table of rows, and in its title which rows they are."""

    class Chosen(Message):
        """The cursor stands on another row, or on the first of others."""

    class Matched(Message):
        """A search for a text has got on; without an answer it could not go on."""

        def __init__(self, query: str, found: Found | None) -> None:
            self.query, self.found = query, found
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="box")
        self.border_title = "Rows"
        self._folder: Path | None = None
        self._summary: Summary | None = None
        self._browser: Browser | Preview | None = None
        self._named: Named | None = None
        self._token_folder: Path | None = None
        self.sought = ""

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        yield RowTable(self.line, id="rows")

    @property
    def count(self) -> int:
        """How many rows are shown."""
        return 0 if self._browser is None else len(self._browser)

    @property
    def table(self) -> RowTable:
        """The table itself, which takes the keys."""
        return self.query_one(RowTable)

    @property
    def is_filtered(self) -> bool:
        """Whether only some rows are shown."""
        return self._named is not None or bool(self.sought)

    @property
    def chosen(self) -> Browsed | None:
        """The row under the cursor; None where there is none, or none that can be read."""
        return self.at(self.table.cursor)

    def at(self, index: int) -> Browsed | None:
        """Return the row at ``index`` of those shown."""
        return self._browser.at(index) if self._browser is not None else None

    def line(self, index: int, width: int) -> str:
        """Return what the row at ``index`` says, on one line."""
        found = self.at(index)
        tokens = None
        if found is not None and self._token_folder is not None:
            tokens = length_of(self._token_folder, found.position)
        return data_text.row_line(found, width, tokens)

    def count_tokens(self, folder: Path | None) -> None:
        """Show how many tokens rows have, of those in ``folder``; None for none."""
        if folder != self._token_folder:
            self._token_folder = folder
            self.table.refresh()

    def preview(self, preview: Preview) -> None:
        """Show the first rows of a data set of which nothing is known yet."""
        self._folder = self._summary = self._named = self._token_folder = None
        self._stop_searching()
        self._title()
        self._show(preview, anew=True)

    def know(self, folder: Path, summary: Summary) -> None:
        """Take in what a survey has found since; all rows, if these are shown, are more now.

        Where it finds none, the first ones stay: they show why.
        """
        self._folder, self._summary = folder, summary
        if not self.is_filtered and summary.rows:
            self._browse(None)

    def show_all(self) -> None:
        """Show all rows again."""
        self._named = None
        self._stop_searching()
        self._title()
        self._browse(None, anew=True)

    def show_named(self, named: Named) -> None:
        """Show only the rows at these positions."""
        self._stop_searching()
        self._named = named
        self._title()
        self._browse(named.positions, anew=True)

    def search(self, query: str) -> bool:
        """Show the rows that hold a text, of those named if some are; False before any are known.

        An empty text shows all rows.
        """
        if self._folder is None or self._summary is None:
            return False
        if not query:
            self.show_all()
            return True
        self.sought = query
        self._title()
        self._browse(array("Q"), anew=True)
        among = self._named.positions if self._named is not None else None
        run = partial(self._seek, self._folder, self._summary, query, among)
        self.run_worker(run, thread=True, group="search", exclusive=True)
        return True

    def _seek(self, folder: Path, summary: Summary, query: str, among: array[int] | None) -> None:
        worker = get_current_worker()
        try:
            for found in search_rows(folder, summary, query, among):
                if worker.is_cancelled:
                    return
                self.post_message(self.Matched(query, found))
        except OSError:
            self.post_message(self.Matched(query, None))

    def on_rows_pane_matched(self, message: Matched) -> None:
        """Show what has been found so far."""
        message.stop()
        if message.query != self.sought:
            return
        if message.found is None:
            self.notify("the data set has changed or gone: open it again", severity="error")
            return
        self._title(message.found)
        self._browse(message.found.positions, anew=not self.count)

    def on_row_table_moved(self, message: RowTable.Moved) -> None:
        """Say that another row is chosen."""
        message.stop()
        self.post_message(self.Chosen())

    def _browse(self, positions: array[int] | None, *, anew: bool = False) -> None:
        if self._folder is not None and self._summary is not None:
            self._show(Browser(self._folder, self._summary, positions), anew=anew)

    def _show(self, browser: Browser | Preview, *, anew: bool) -> None:
        had_rows = self.count > 0
        self._browser = browser
        self.table.show(len(browser), anew=anew)
        if anew or not had_rows:
            self.post_message(self.Chosen())

    def _title(self, found: Found | None = None) -> None:
        parts = ["Rows"]
        if self._named is not None:
            parts.append(self._named.title)
        if self.sought:
            parts.append(data_text.search_title(self.sought, found))
        if len(parts) > 1:
            parts.append("esc for all")
        self.border_title = Content(" · ".join(parts))

    def _stop_searching(self) -> None:
        self.sought = ""
        self.workers.cancel_group(self, "search")
