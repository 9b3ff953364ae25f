"""What the Data screen says of a data set, as content: what it is, its findings, its lengths."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.data import RowProblem
from tui_ft.data.files.hub_download import Progress
from tui_ft.data.row_view import view_of
from tui_ft.screens.flow import flow
from tui_ft.survey.browsing import Browsed
from tui_ft.survey.known import Known
from tui_ft.survey.searching import Found
from tui_ft.survey.summary import Finding
from tui_ft.survey.verdict import Quality, Verdict
from tui_ft.widgets.signs import sign

_WITH_TOKENS: Final = 50
"""Cells that a row needs before there is room for the number of its tokens."""


_DEEPER: Final[dict[str, str]] = {
    "overlap": "overlap",
    "semantic duplicates": "like meanings",
    "personal data": "personal data",
    "toxicity": "offensive language",
}
"""What is looked for only when asked, by the stage that does it."""


def headline(known: Known, width: int) -> Content:
    """Return what the data set is, in lines of ``width`` cells, and how far one is with it."""
    summary, tokens = known.summary, known.tokens
    parts = [
        Content.styled(text.one_line(summary.path.rpartition("/")[2], 40), "bold"),
        Content(f"{summary.rows:,} row{'' if summary.rows == 1 else 's'}"),
        Content(text.size(summary.bytes_total)),
    ]
    if summary.layout is not None:
        sure = text.percent(summary.layout.confidence)
        parts.append(Content(f"{summary.layout.style or summary.layout.format} ({sure} of rows)"))
    if known.quality is not None:
        parts.append(Content(f"quality {known.quality.score} of 100"))
    if summary.problem is not None:
        parts.append(sign("bad").content(text.plain(summary.problem)))
    elif not summary.is_over:
        share = "" if summary.share is None else f" {text.percent(summary.share)}"
        parts.append(Content(f"{summary.stage}{share}  (S stops)"))
    deeper = [_DEEPER[stage] for stage in summary.looked_for if stage in _DEEPER]
    if deeper:  # what was not found of it is not there
        parts.append(Content(f"looked for {', '.join(deeper)}"))
    if tokens is not None and tokens.problem is not None:
        parts.append(sign("bad").content(text.plain(tokens.problem)))
    elif tokens is not None:
        model = text.one_line(tokens.model.rstrip("/").rpartition("/")[2], 30)
        done = tokens.rows / max(1, tokens.rows_total)
        counted = "" if tokens.is_over else f" {text.percent(done)}"
        parts.append(Content(f"tokens: {model}{counted}"))
    elif known.counts_tokens and summary.stage != "failed":
        parts.append(sign("waiting").content("tokens are counted"))
    return flow(parts, width)


def download(name: str, progress: Progress) -> Content:
    """Return how far a data set's way from the Hub is."""
    size = f"{text.size(progress.bytes)} of {text.size(progress.total)}"
    return Content(f"{text.one_line(name, 60)}: {text.one_line(progress.what, 60)} {size}")


def verdict_line(verdict: Verdict | None) -> Content:
    """Return all of a verdict in a sentence; nothing before there is one."""
    return Content("" if verdict is None else text.plain(verdict.sentence))


def findings_title(quality: Quality | None) -> str:
    """Return what the list of findings is called: what they cost stands in it, once known."""
    if quality is None:
        return "Findings"
    return f"Findings · quality {quality.score} of 100, and the points that each costs"


def finding_line(finding: Finding, points: float | None = None) -> Content:
    """Return a finding in a line: sign, rows, share, points of quality that it costs, what."""
    many = "group" if finding.groups == 1 else "groups"
    groups = f" ({finding.groups:,} {many})" if finding.groups else ""
    cost = "" if points is None else f"-{points:.1f}"
    line = (
        f"{finding.count:>9,} {text.percent(finding.share):>6} {cost:>6}  {finding.title}{groups}"
    )
    return sign(finding.severity).content(line)


def about_finding(finding: Finding) -> Content:
    """Return why a finding matters and what can be done."""
    detail = f"{text.plain(finding.detail)}. " if finding.detail else ""
    source = f" ({finding.source})" if finding.source else ""
    return Content(f"{detail}{finding.why} {finding.advice}{source}")


def row_line(found: Browsed | None, width: int, tokens: int | None = None) -> str:
    """Return a row in a line: its number, what is asked, what is answered, its tokens."""
    if found is None:
        return " …"
    number = f"{found.row.line:>9,} "
    counted = f" {tokens:>7,}" if tokens and width >= _WITH_TOKENS else ""
    room = max(10, width - len(number) - len(counted) - 1)
    if isinstance(found.item, RowProblem):
        return f"{number}{sign('bad').text()} {text.one_line(found.item.reason, room - 2)}"
    view = view_of(found.item)
    if not (view.prompt and view.answer):
        return number + text.fitted(view.prompt or view.answer, room) + counted
    asked = room // 2
    left, right = text.fitted(view.prompt, asked), text.fitted(view.answer, room - asked - 2)
    return f"{number}{left}  {right}{counted}"


def search_title(sought: str, found: Found | None) -> str:
    """Return what a search is for, and how far it is."""
    shown = f"/{text.one_line(sought, 24)}"
    if found is None:
        return f"{shown} …"
    count = f"{len(found.positions):,} found"
    if found.is_over:
        return f"{shown} {count}"
    return f"{shown} {count}, {text.percent(found.looked_at / found.total)} …"
