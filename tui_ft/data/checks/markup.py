"""Markup that does not belong to what is said: HTML left by a scraper, tokens of a template."""

from __future__ import annotations

import html
import re
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import residue
from tui_ft.data.checks.glance import Glance
from tui_ft.data.row_view import RowView

_ENTITY: Final = (
    r"&(?:amp|lt|gt|quot|apos|nbsp|[lr][sd]quo|[mn]dash|hellip|bull|eacute|agrave|egrave|uuml|ouml|auml"
    r"|#(?:3[49]|0?39|60|62|160|8[12]\d\d)|#x(?:27|22|2f|3c|3e|a0|20[12]\d));"
)
_BREAK: Final = r"<br ?/?>"
_LEFTOVER: Final = re.compile(f"{_ENTITY}|{_BREAK}", re.IGNORECASE)
_ENTITIES: Final = re.compile(_ENTITY, re.IGNORECASE)
_BREAKS: Final = re.compile(rf"[ \t]*{_BREAK}[ \t]*\n?", re.IGNORECASE)
# A row that shows or speaks of code has its markup on purpose, as a Markdown table has `<br>`.
_ABOUT_MARKUP: Final = re.compile(
    r"html|xml|css\b|script\b|markdown|jsx|\bphp|react|\bweb ?(?:page|site)|escape|entit|encod"
    r"|```|`[^`\n]*[<&]|<!--|</?(?!br\b)[a-z][a-z0-9]*(?:\s[^<>\n]*)?/?>|&lt;/?[a-z]|\|[^\n]*<br",
    re.IGNORECASE,
)

# What the marks of a row have at the least where it holds markup, its small letters gone.
_HTML_MARKS: Final = re.compile(rb"&|<B?R?/?>")
_TOKEN_MARKS: Final = re.compile(rb"<\||INST|SYS|<[UA]?>|<__>|</>")

_BRACKETED: Final = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|python_tag|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|endofprompt|>",
    "<|startoftext|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|USER_TOKEN|>",
)
_OTHER: Final = (
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<eos>",
    "<s>[INST",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
)


def repair_html(text: str) -> str:
    """Return ``text`` with `<br>` as newlines and entities as characters, however often escaped."""
    while (mended := _BREAKS.sub("\n", _ENTITIES.sub(_character, text))) != text:
        text = mended
    return text


def _character(match: re.Match[str]) -> str:
    # Entities are told by their case, so `&NBSP;` is none; what scrapers do with it varies.
    return html.unescape(match[0].lower()).replace("\xa0", " ")


def _has_html(view: RowView) -> bool:
    text, marks = view.whole, residue(view.whole)
    if b"&" not in marks and b"<" not in marks:
        return False
    if "&" not in text and "<br" not in text and "<BR" not in text:
        return False
    return _LEFTOVER.search(text) is not None and not _ABOUT_MARKUP.search(text)


def _may_have_html(glance: Glance) -> list[int]:
    return glance.matching(_HTML_MARKS)


def _has_special_tokens(view: RowView) -> bool:
    text, marks = view.whole, residue(view.whole)
    # A plain text or prompt goes to the model as it stands, and has its tokens in it on purpose.
    if not view.roles or (b"<" not in marks and b"INST" not in marks):
        return False
    if "<|" in text and any(token in text for token in _BRACKETED):
        return True
    return any(token in text for token in _OTHER) or ("</s>" in text and "<s>" not in text)


def _may_have_special_tokens(glance: Glance) -> list[int]:
    return glance.matching(_TOKEN_MARKS)


HTML_LEFTOVERS: Final = RowCheck(
    CheckAbout(
        id="html-leftovers",
        title="HTML left in the text",
        severity="warning",
        why="`<br>` and `&nbsp;` in prose come from a scraper: the model learns to write them.",
        advice="Repair: entities become characters, `<br>` becomes a newline. Rows that show or "
        "mention code or HTML are passed over.",
    ),
    _has_html,
    _may_have_html,
    remedy="repair",
    repaired=repair_html,
)
SPECIAL_TOKENS: Final = RowCheck(
    CheckAbout(
        id="special-tokens",
        title="template tokens in a message",
        severity="bad",
        why="`<|im_start|>` or `[INST]` inside a message ends the turn in its middle: a template "
        "was applied already, or somebody injects a prompt.",
        advice="Take the template's tokens out of the messages, or train on the whole as text.",
    ),
    _has_special_tokens,
    _may_have_special_tokens,
)
CHECKS: Final = (HTML_LEFTOVERS, SPECIAL_TOKENS)
