"""Pairs as Axolotl reads them; each of its trainers asks for a form of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from tui_ft.data import Conversation, Message
from tui_ft.data.items import AnyItem, Pair

PAIRED: Final = ("dpo", "orpo", "cpo", "reward")
_ASSISTANT: Final = "assistant"


def pair_line(item: AnyItem, kind: str) -> bytes | None:
    """Return the line of a pair for an objective's trainer; None where it has no form there."""
    if not isinstance(item, Pair):
        return None
    chosen, rejected = item.chosen, item.rejected
    if not isinstance(chosen, Conversation) or not isinstance(rejected, Conversation):
        return None  # plain texts: its types all put a template around them
    row = _of_messages(chosen.messages, rejected.messages, kind)
    return None if row is None else orjson.dumps(row) + b"\n"


def _of_messages(
    chosen: Sequence[Message], rejected: Sequence[Message], kind: str
) -> dict[str, Any] | None:
    """Return the row where both are one answer to the same dialogue."""
    asked = list(chosen[:-1])
    if asked != list(rejected[:-1]) or not asked:
        return None
    if any(side[-1].get("role") != _ASSISTANT for side in (chosen, rejected)):
        return None
    if kind in ("dpo", "cpo"):  # chat_template.default
        return {"messages": asked, "chosen": chosen[-1], "rejected": rejected[-1]}
    if kind == "orpo":  # chat_template.argilla
        return {"chosen": list(chosen), "rejected": list(rejected)}
    system = asked[0]["content"] if asked[0].get("role") == "system" else ""
    turns = asked[1:] if system else asked
    if len(turns) != 1 or turns[0].get("role") != "user":
        return None  # bradley_terry.chat_template takes a single turn
    return {
        "system": system,
        "input": turns[0]["content"],
        "chosen": chosen[-1]["content"],
        "rejected": rejected[-1]["content"],
    }
