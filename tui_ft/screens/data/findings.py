"""What was found in a data set, worst first, and of the one under the cursor why it matters."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui_ft import text
from tui_ft.screens.data import text as data_text
from tui_ft.survey.summary import Finding
from tui_ft.survey.verdict import Quality
from tui_ft.widgets.signs import sign


class FindingsPane(Vertical):
    """A list of findings; enter asks for the rows that have one."""

    class Chosen(Message):
        """The rows of a finding are wanted."""

        def __init__(self, finding: Finding) -> None:
            self.finding = finding
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="box")
        self.border_title = "Findings"
        self.border_subtitle = "f goes here  enter its rows  d deeper  m model"
        self._findings: tuple[Finding, ...] = ()
        self._lines: list[Content] = []
        self._problem: str | None = None

    def compose(self) -> ComposeResult:
        """Lay out the list, and what is said of a finding."""
        yield OptionList(id="findings")
        yield Static(id="about")

    @property
    def list(self) -> OptionList:
        """The list itself, which takes the keys."""
        return self.query_one("#findings", OptionList)

    def show(
        self, findings: Sequence[Finding], quality: Quality | None, problem: str | None = None
    ) -> None:
        """Show these findings and what each costs; what has not changed is not drawn again.

        Args:
            findings: worst first.
            quality: what each costs; None when that is not known.
            problem: why the data cannot be read, all of it: the first line has no room for that.
        """
        lost = {part.finding: part.points for part in quality.parts} if quality else {}
        lines = [data_text.finding_line(finding, lost.get(finding.id)) for finding in findings]
        self.border_title = data_text.findings_title(quality)
        if (lines, problem) == (self._lines, self._problem) and self.list.option_count:
            return
        self._findings, self._lines, self._problem = tuple(findings), lines, problem
        at = self.list.highlighted
        kept = self.list.get_option_at_index(at).id if at is not None else None
        self.list.clear_options()
        options = [Option(line, id=f.id) for line, f in zip(lines, findings, strict=True)]
        nothing = sign("bad").content(text.plain(problem)) if problem else "nothing found"
        self.list.add_options(options or [Option(nothing, disabled=True)])
        ids = [finding.id for finding in findings]
        self.list.highlighted = ids.index(kept) if kept in ids else None

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say why the finding matters."""
        event.stop()
        found = self._called(event.option_id)
        about = data_text.about_finding(found) if found else Content("")
        self.query_one("#about", Static).update(about)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Ask for the rows that have it."""
        event.stop()
        found = self._called(event.option_id)
        if found is not None:
            self.post_message(self.Chosen(found))

    def _called(self, name: str | None) -> Finding | None:
        return next((finding for finding in self._findings if finding.id == name), None)
