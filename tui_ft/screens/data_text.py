"""What the Data screen says, as content: a data set, its findings, a row in three views."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from textual.content import Content

from tui_ft import text
from tui_ft.data import ChatTokenizer, Conversation, MaskedRow, Row, RowProblem
from tui_ft.data.counts import histogram, percentiles
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt
from tui_ft.data.loss_mask import mask_each
from tui_ft.data.row_view import view_of
from tui_ft.survey.browsing import Browsed
from tui_ft.survey.searching import Found
from tui_ft.survey.summary import Finding, Summary
from tui_ft.survey.tokens import TokenSummary, packed_sequences
from tui_ft.widgets.signs import ascii_only, sign

View = Literal["conversation", "learned", "record"]
"""How a row is shown: as a dialogue, as the model's tokens, as it stands in the file."""

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = " .:-=+*#"
_LONGEST: Final = 20_000


def headline(summary: Summary, tokens: TokenSummary | None) -> Content:
    """Return what the data set is, in a line."""
    parts = [
        Content.styled(text.one_line(summary.path.rpartition("/")[2], 40), "bold"),
        Content(f"{summary.rows:,} rows"),
        Content(text.size(summary.bytes_total)),
    ]
    if summary.layout is not None:
        sure = text.percent(summary.layout.confidence)
        parts.append(Content(f"{summary.layout.style or summary.layout.format} ({sure} of rows)"))
    if summary.problem is not None:
        parts.append(sign("bad").content(text.plain(summary.problem)))
    elif not summary.is_over:
        share = "" if summary.share is None else f" {text.percent(summary.share)}"
        parts.append(Content(f"{summary.stage}{share}"))
    if tokens is not None and tokens.problem is not None:
        parts.append(sign("bad").content(text.plain(tokens.problem)))
    elif tokens is not None:
        model = text.one_line(tokens.model.rstrip("/").rpartition("/")[2], 30)
        done = tokens.rows / max(1, tokens.rows_total)
        counted = "" if tokens.is_over else f" {text.percent(done)}"
        parts.append(Content(f"tokens: {model}{counted}"))
    return Content("   ").join(parts)


def finding_line(finding: Finding) -> Content:
    """Return a finding in a line: sign, rows, share, what."""
    many = "group" if finding.groups == 1 else "groups"
    groups = f" ({finding.groups:,} {many})" if finding.groups else ""
    line = f"{finding.count:>9,} {text.percent(finding.share):>6}  {finding.title}{groups}"
    return sign(finding.severity).content(line)


def about_finding(finding: Finding) -> Content:
    """Return why a finding matters and what can be done."""
    detail = f"{text.plain(finding.detail)}. " if finding.detail else ""
    source = f" ({finding.source})" if finding.source else ""
    return Content(f"{detail}{finding.why} {finding.advice}{source}")


def lengths(tokens: TokenSummary | None, summary: Summary, width: int) -> Content:
    """Return how long rows are: a histogram, percentiles, what a max_length cuts."""
    if tokens is None or not tokens.lengths:
        at = summary.numbers.words_at
        return Content(
            f"words  p50 {at.get(50, 0):,}  p95 {at.get(95, 0):,}  p99 {at.get(99, 0):,}  "
            f"max {at.get(100, 0):,}\n`m` names a model, whose tokens are counted then"
        )
    bins, step = histogram(tokens.lengths, max(10, min(60, width - 4)))
    top = max(bins)
    blocks = _ASCII_BLOCKS if ascii_only() else _BLOCKS
    bars = "".join(blocks[-(-rows * (len(blocks) - 1) // top)] for rows in bins)
    p50, _, p95, p99, longest = percentiles(tokens.lengths)
    cut = tokens.at(tokens.recommended_max_length())
    packed = packed_sequences(tokens.lengths, cut.max_length)
    saved = text.percent(1 - packed / max(1, tokens.rows))
    return Content(
        f"{bars}\n0{f'{step * len(bins):,}':>{len(bins) - 1}}\n"
        f"p50 {p50:,}  p95 {p95:,}  p99 {p99:,}  max {longest:,}\n"
        f"max_length {cut.max_length:,} cuts {text.percent(cut.rows_share)} of rows, "
        f"{text.percent(cut.tokens_share)} of tokens\n"
        f"packing saves {saved} of the sequences; {text.percent(tokens.supervised_share)} of "
        "tokens learned"
    )


def row_line(found: Browsed | None, width: int) -> str:
    """Return a row in a line: its number, what is asked, what is answered."""
    if found is None:
        return " …"
    number = f"{found.row.line:>9,} "
    if isinstance(found.item, RowProblem):
        reason = text.one_line(found.item.reason, max(10, width - len(number) - 2))
        return f"{number}{sign('bad').text()} {reason}"
    view = view_of(found.item)
    room = max(10, width - len(number) - 2)
    asked = room // 2 if view.answer and view.prompt else room
    left = text.fitted(view.prompt or view.answer, asked)
    if not (view.prompt and view.answer):
        return number + left
    return f"{number}{left}  {text.one_line(view.answer, room - asked)}"


def conversation(item: AnyItem) -> Content:
    """Return what a row says, turn by turn."""
    match item:
        case Pair(chosen, rejected):
            return Content("\n\n").join(
                [
                    _titled("chosen", conversation(chosen)),
                    _titled("rejected", conversation(rejected)),
                ]
            )
        case Judged(answer, good):
            return _titled("good" if good else "bad", conversation(answer))
        case Conversation(messages):
            return _turns(messages)
        case Prompt(messages) if not isinstance(messages, str):
            return _turns(messages)
        case Labelled(said, label):
            return _titled(f"label: {text.one_line(label, 60)}", _said(said))
        case _:
            view = view_of(item)
            parts = [_titled("prompt", _said(view.prompt))] if view.prompt else []
            return Content("\n\n").join([*parts, _titled("answer", _said(view.answer))])


def _turns(messages: Sequence[Any]) -> Content:
    return Content("\n\n").join(
        _titled(str(message["role"]), _said(_whole_turn(message))) for message in messages
    )


def _whole_turn(message: Any) -> str:  # noqa: ANN401 - any message
    more = {name: value for name, value in message.items() if name not in ("role", "content")}
    rest = json.dumps(more, ensure_ascii=False, default=str) if any(more.values()) else ""
    return "\n".join(part for part in (str(message.get("content") or ""), rest) if part)


def _titled(title: str, body: Content) -> Content:
    return Content.assemble(Content.styled(title, "bold"), "\n", body)


def _said(said: str) -> Content:
    return Content(text.plain(said[:_LONGEST], keep_newlines=True))


def raw(row: Row) -> Content:
    """Return the record as it stands in the file."""
    return _said(json.dumps(row.values, ensure_ascii=False, indent=2, default=str))


def row_content(
    found: Browsed, view: View, tokenizer: ChatTokenizer | None, max_length: int
) -> Content:
    """Return a row in the view wanted; a row that teaches nothing as it stands in the file."""
    if view == "record" or isinstance(found.item, RowProblem):
        return raw(found.row)
    if view == "conversation":
        return conversation(found.item)
    if tokenizer is None:
        return Content("`m` names the model whose tokens are shown")
    return Content("\n\n").join(
        learned(mask, tokenizer, max_length)
        if isinstance(mask, MaskedRow)
        else Content(text.plain(mask))
        for mask in mask_each(found.item, tokenizer)
    )


def learned(mask: MaskedRow, tokenizer: ChatTokenizer, max_length: int) -> Content:
    """Return a row as the model sees it, with what it learns from marked.

    Learned tokens are underlined, and lines with any begin with `▌`; special tokens are bold; what
    `max_length` cuts is struck out and named.
    """
    bar = "|" if ascii_only() else "▌"
    encoded = tokenizer.encode(mask.text[:_LONGEST])
    offsets = encoded.offsets or []
    lines: list[list[tuple[str, str]]] = [[]]
    marked: list[bool] = [False]
    reached = 0
    for number, (_, end) in enumerate(offsets[: len(mask.supervised)]):
        piece, reached = mask.text[reached:end], max(reached, end)
        is_learned = mask.supervised[number]
        style = _style(piece, tokenizer, is_learned, number >= max_length)
        for at, part in enumerate(piece.split("\n")):
            if at:
                lines.append([])
                marked.append(False)
            if part:
                lines[-1].append((text.plain(part), style))
            marked[-1] |= is_learned and bool(part)
    head = Content(
        f"learned: {mask.full_supervised:,} of {mask.full_length:,} tokens (underlined, {bar})"
        + (
            f"; max_length {max_length:,} cuts {mask.full_length - max_length:,}"
            if mask.full_length > max_length
            else ""
        )
        + ("" if mask.ends_turn else "; no end of turn is learned")
    )
    body = [
        Content.assemble(f"{bar} " if flag else "  ", *pieces)
        for pieces, flag in zip(lines, marked, strict=True)
    ]
    return Content("\n").join([head, Content(""), *body])


def _style(piece: str, tokenizer: ChatTokenizer, is_learned: bool, is_cut: bool) -> str:
    styles = [
        "underline" if is_learned else "",
        "bold" if piece.strip() in tokenizer.special_tokens else "",
        "strike dim" if is_cut else "",
    ]
    return " ".join(filter(None, styles))


def search_title(sought: str, found: Found | None) -> str:
    """Return what a search is for, and how far it is."""
    shown = f"/{text.one_line(sought, 24)}"
    if found is None:
        return f"{shown} …"
    count = f"{len(found.positions):,} found"
    if found.is_over:
        return f"{shown} {count}"
    return f"{shown} {count}, {text.percent(found.looked_at / found.total)} …"
