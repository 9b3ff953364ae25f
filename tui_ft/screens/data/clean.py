"""A data set cleaned into a new file: what goes, what is mended, and what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tui_ft import paths, text
from tui_ft.screens.boxes.dialog import Dialog
from tui_ft.screens.data.surveyed import Surveyed
from tui_ft.screens.data.writing import Writing
from tui_ft.survey.cleaning import (
    Changes,
    CleaningReport,
    Example,
    Plan,
    Remedy,
    remedies_of,
    usual_remedies,
)
from tui_ft.survey.new_files import beside
from tui_ft.survey.summary import Finding
from tui_ft.widgets.signs import sign


class CleanData(Dialog[Path | None]):
    """Dismisses with the new file, if it is to be opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="clean.mark", tooltip="Drop, repair, or leave alone"),
        Binding("u", "usual", "Usual", id="clean.usual", tooltip="What is plainly wrong, no more"),
        Binding("j", "move(1)", "Down", show=False, id="clean.down", tooltip="One finding down"),
        Binding("k", "move(-1)", "Up", show=False, id="clean.up", tooltip="One finding up"),
        Binding("ctrl+s", "write", "Write", id="clean.write", tooltip="Write the new file"),
        Binding("escape", "back", "Back", id="clean.back", tooltip="Stop writing; else close"),
    ]

    class Looked(Message):
        """What the rows of a finding look like, before and after."""

        def __init__(self, finding: str, examples: Sequence[Example]) -> None:
            self.finding, self.examples = finding, examples
            super().__init__()

    class Planned(Message):
        """How many rows a choice concerns."""

        def __init__(self, chosen: dict[str, Remedy], changes: Changes) -> None:
            self.chosen, self.changes = chosen, changes
            super().__init__()

    def __init__(self, data: Surveyed) -> None:
        super().__init__()
        self._data = data
        self._findings = [f for f in data.summary.findings if remedies_of(f)]
        self._chosen: dict[str, Remedy] = {}
        self._written: Path | None = None

    def compose(self) -> ComposeResult:
        """Lay out findings, changes, name."""
        with Vertical(classes="dialog") as box:
            box.border_title = Content(f"Clean {text.ending(self._data.name, 50)}")
            box.border_subtitle = "space mark  u usual  ctrl+s write  esc back"
            yield OptionList(id="remedies")
            yield Static(id="changes")
            with VerticalScroll(id="examples"):
                yield Static(id="example-rows")
            yield Label("the new file; the old one stays as it is")
            yield Input(str(beside(self._data.name, "clean")), id="output")
            yield Writing(id="writing")

    def on_mount(self) -> None:
        """Begin with what is plainly wrong."""
        findings = self.query_one("#remedies", OptionList)
        findings.focus()
        if not self._findings:
            findings.add_option(Option("nothing was found that can be dropped or repaired"))
        self.action_usual()
        findings.highlighted = 0

    def action_usual(self) -> None:
        """Choose what is chosen when nobody does."""
        drop, repair = usual_remedies(self._data.summary)
        self._chosen = {**dict.fromkeys(drop, "drop"), **dict.fromkeys(repair, "repair")}
        self._fill()

    def _fill(self) -> None:
        findings = self.query_one("#remedies", OptionList)
        for at, finding in enumerate(self._findings):
            line = remedy_line(finding, self._chosen.get(finding.id))
            if findings.option_count > at:
                findings.replace_option_prompt_at_index(at, line)
            else:
                findings.add_option(Option(line, id=finding.id))
        self._count()

    def _count(self) -> None:
        """Say how many rows go and are repaired, and show some of the finding under the cursor."""
        at = self.query_one("#remedies", OptionList).highlighted or 0
        looked_at = self._findings[at].id if self._findings else ""
        run = partial(self._plan, dict(self._chosen), looked_at)
        self.run_worker(run, thread=True, group="plan", exclusive=True, exit_on_error=False)

    def _plan(self, chosen: dict[str, Remedy], looked_at: str) -> None:
        plan = self._plan_of(chosen)
        self.post_message(self.Planned(chosen, plan.changes()))
        try:
            examples = plan.examples(looked_at)
        except OSError:
            examples = ()
        if not get_current_worker().is_cancelled:
            self.post_message(self.Looked(looked_at, examples))

    def _plan_of(self, chosen: dict[str, Remedy]) -> Plan:
        drop = [name for name, remedy in chosen.items() if remedy == "drop"]
        repair = [name for name, remedy in chosen.items() if remedy == "repair"]
        return Plan(self._data.folder, self._data.summary, drop, repair)

    def on_clean_data_planned(self, message: Planned) -> None:
        """Say how many rows stay."""
        if message.chosen == self._chosen:
            self.query_one("#changes", Static).update(changes_line(message.changes))

    def on_clean_data_looked(self, message: Looked) -> None:
        """Show rows before and after."""
        finding = next((f for f in self._findings if f.id == message.finding), None)
        remedy = self._chosen.get(message.finding)
        shown = Content("") if finding is None else examples_of(finding, remedy, message.examples)
        self.query_one("#example-rows", Static).update(shown)

    def on_option_list_option_highlighted(self) -> None:
        """Show what would happen to its rows."""
        self._count()

    def on_option_list_option_selected(self) -> None:
        """Mark with enter, too."""
        self.action_mark()

    def action_mark(self) -> None:
        """Drop, repair where that can be done, or leave alone."""
        at = self.query_one("#remedies", OptionList).highlighted
        if at is None or not self._findings:
            return
        finding = self._findings[at]
        ways: list[Remedy | None] = [None, *remedies_of(finding)]
        then = ways[(ways.index(self._chosen.get(finding.id)) + 1) % len(ways)]
        self._chosen.pop(finding.id, None)
        if then is not None:
            self._chosen[finding.id] = then
        self._fill()

    def action_move(self, by: int) -> None:
        """Go to another finding."""
        findings = self.query_one("#remedies", OptionList)
        findings.action_cursor_down() if by > 0 else findings.action_cursor_up()

    def on_button_pressed(self) -> None:
        """Open the new file."""
        self.dismiss(self._written)

    def on_input_submitted(self) -> None:
        """Write on enter in the name."""
        self.action_write()

    def action_write(self) -> None:
        """Write the new file; once it is there, open it."""
        writing = self.query_one(Writing)
        if writing.is_over:
            self.dismiss(self._written)
            return
        output = paths.expand(self.query_one("#output", Input).value.strip())
        chosen, rows = dict(self._chosen), self._data.summary.rows

        def work() -> tuple[CleaningReport, Path]:
            plan = self._plan_of(chosen)
            return plan.carry_out(output, tell=writing.teller(rows)), output

        writing.begin(work)

    def on_writing_done(self, message: Writing.Done) -> None:
        """Say what was done, and offer to open it."""
        report, self._written = message.result
        self.query_one(Writing).say(written_line(report))

    def action_back(self) -> None:
        """Stop writing; else close without opening anything."""
        if not self.query_one(Writing).stop():
            self.dismiss(None)


def remedy_line(finding: Finding, remedy: Remedy | None) -> Content:
    """Return a finding in a line, and what is done about it."""
    mark = f"{sign('marked').text()} {remedy:<6}" if remedy else f"{'':<8}"
    can = " or ".join(remedies_of(finding))
    line = f"{mark} {finding.count:>9,} {text.percent(finding.share):>6}  {finding.title}"
    return Content.assemble(line, Content.styled(f"  ({can})", "$text-muted"))


def changes_line(changes: Changes) -> Content:
    """Return how many rows stay, go, and are mended."""
    return Content(
        f"of {changes.rows:,} rows {changes.kept:,} stay and {changes.dropped:,} go; "
        f"repaired of those that stay: {changes.repaired:,}"
    )


def examples_of(finding: Finding, remedy: Remedy | None, examples: Sequence[Example]) -> Content:
    """Return some rows of a finding before and after, or why nothing happens to them."""
    if remedy is None:
        return Content(f"{finding.title}: left as it is. {finding.why} {finding.advice}")
    lines = [Content(f"{finding.title}: {finding.count:,} in all, the first of them")]
    for example in examples:
        gone = sign("bad").content("goes") if example.after is None else Content("before")
        lines.append(Content.assemble(f"{example.line:>9,} ", gone, f"  {example.before}"))
        if example.after is not None:
            lines.append(Content(f"{'':>10}after   {example.after}"))
    return Content("\n").join(lines)


def written_line(report: CleaningReport) -> Content:
    """Return what was written, and where it says what was done to which row."""
    said = (
        f"{report.kept:,} of {report.rows:,} rows written to {report.output}, {report.repaired:,} "
        "of them repaired; what was done to which line is in the .report.json beside it"
    )
    return sign("good").content(text.plain(said))
