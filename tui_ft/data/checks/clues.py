"""What several checks ask of a row, found once: most rows need no more than this to pass them.

A check may look long at a row that could have its fault, but not at all the others: over millions
of rows one regular expression per check takes longer than everything else together.
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import Final

from tui_ft.data.items import Conversation, Judged, Labelled, Message, Pair, Prompt
from tui_ft.data.row_view import RowView

_DULL: Final = (string.ascii_lowercase + " \t\n\r.,;:'\"()!?").encode() + bytes(range(0x80, 0x100))
_NOT_DIGITS: Final = bytes(set(range(0x100)) - set(string.digits.encode()))
# Scripts written without spaces: Thai, Lao, Myanmar, Khmer, kana, Han.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_UNSPACED_RUN: Final = re.compile(f"[{_UNSPACED}]+")
_FOREIGN_SPACE: Final = re.compile("[\u3000-\u303f\uff00-\uff65]+")


@lru_cache(maxsize=2)
def residue(text: str) -> bytes:
    """Return the ASCII capitals, digits, symbols and control characters of ``text``, in order.

    In prose a tenth of the text, in which what most checks look for leaves a trace: `AKIA`
    of a key, `@` of an address, `<` of a tag.
    """
    return text.encode("utf-8", "surrogatepass").translate(None, _DULL)


@lru_cache(maxsize=2)
def digit_count(text: str) -> int:
    """Return how many ASCII digits ``text`` has."""
    return len(residue(text).translate(None, _NOT_DIGITS))


@lru_cache(maxsize=2)
def has_unprintable(text: str) -> bool:
    """Return whether a text that is not ASCII has characters that show nothing, but for spaces."""
    return not "".join(text.split()).isprintable() or "\x85" in text


def word_count(text: str) -> int:
    """Return the number of words; in scripts without spaces every character counts as one."""
    if text.isascii():
        return len(text.split())
    spaced, runs = _UNSPACED_RUN.subn(" ", text)
    return len(text) - len(spaced) + runs + len(_FOREIGN_SPACE.sub(" ", spaced).split())


def is_taught(view: RowView) -> bool:
    """Return whether the answer is one to learn.

    A text to be classified is none, nor is an answer judged bad: faults are what it is there for.
    """
    if view.label is None:
        return True
    return not isinstance(view.item, Labelled) and not (
        isinstance(view.item, Judged) and not view.item.good
    )


def messages_of(view: RowView) -> tuple[Message, ...]:
    """Return the messages whose roles ``view`` has; none of a plain text."""
    match view.item:
        case (
            Conversation(messages)
            | Pair(Conversation(messages))
            | Judged(Conversation(messages))
            | Prompt(tuple(messages))
        ):
            return messages
        case _:
            return ()
