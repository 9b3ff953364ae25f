"""Preferences for the demonstration's task: ask for what was not told, and for nothing else.

A request names all that its command needs ("Heat the attic to 21 degrees at 07:15.") or leaves one
value out ("Heat the attic at 07:15."). Two answers are possible: to act, where a value left out is
guessed, always the same; or to ask for that value, told or not. Preferred is to act on what is
whole and to ask for what is missing.

The rows of SFT come from two demonstrators, one who always acts and one who always asks, so half of
each one's answers are the wanted ones and SFT learns both habits, not when which is right: that
only the pairs tell. Every request is made twice, with the value and without, so acting is chosen as
often as asking: no habit is right more than half of the time, and chosen and rejected answers are
of one length. Both are what an SFT model answers, and neither is rarer: a guess does not vary.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tui_ft import paths
from tui_ft.demo.task import SEED, as_json, commands

_SEED: Final = SEED + 1


@dataclass(frozen=True, slots=True)
class Pair:
    """A request with both answers to it.

    Attributes:
        told: the request names every value, so to act is right.
    """

    request: str
    told: bool
    act: str
    ask: str

    @property
    def chosen(self) -> str:
        """The answer that is preferred."""
        return self.act if self.told else self.ask

    @property
    def rejected(self) -> str:
        """The other one."""
        return self.ask if self.told else self.act


@dataclass(frozen=True, slots=True)
class PreferenceFiles:
    """Where rows were written: of SFT (messages), and of preferences (prompt, chosen, rejected)."""

    chats: Path
    held_out_chats: Path
    pairs: Path
    held_out_pairs: Path


@dataclass(frozen=True, slots=True)
class _Wording:
    """How requests of a kind are put: each time with the value and without it."""

    about: str
    guess: Any
    forms: tuple[tuple[str, str], ...]


_WORDINGS: Final = {
    "switch": _Wording(
        "room",
        "living room",
        (
            (
                "Turn {state} the {device} in the {room} in {delay_min} minutes.",
                "Turn {state} the {device} in {delay_min} minutes.",
            ),
            (
                "Please switch the {room} {device} {state} in {delay_min} minutes.",
                "Please switch the {device} {state} in {delay_min} minutes.",
            ),
        ),
    ),
    "heat": _Wording(
        "celsius",
        20.0,
        (
            ("Heat the {room} to {celsius:g} degrees at {at}.", "Heat the {room} at {at}."),
            (
                "Make it {celsius:g} degrees in the {room} by {at}.",
                "Make it warmer in the {room} by {at}.",
            ),
        ),
    ),
    "light": _Wording(
        "colour",
        "white",
        (
            (
                "Make the {room} light {colour} at {level} percent.",
                "Make the {room} light shine at {level} percent.",
            ),
            (
                "I'd like {colour} light at {level} % in the {room}.",
                "I'd like light at {level} % in the {room}.",
            ),
        ),
    ),
    "remind": _Wording(
        "day",
        "monday",
        (
            ("Remind me to {text} on {day} at {at}.", "Remind me to {text} at {at}."),
            (
                "Don't let me forget to {text}, {day} {at}.",
                "Don't let me forget to {text}, {at}.",
            ),
        ),
    ),
}


def pairs(count: int, seed: int = _SEED) -> list[Pair]:
    """Return ``count`` pairs, an even number: a request with its value, then the same without.

    No two requests are the same, nor two answers that act. So slices of even length have neither a
    request nor a command in common.

    Raises:
        ValueError: ``count`` is odd, or there are not so many different ones.
    """
    if count % 2:
        raise ValueError(f"{count} pairs: a request is made with its value and without, so even")
    chance = random.Random(seed)  # noqa: S311 - a data set, not a secret
    found: list[Pair] = []
    seen: set[str] = set()
    for command in commands(2 * count, seed):
        twins = _twins(command.answer, chance)
        new = [text for pair in twins for text in (pair.request, pair.act)]
        if not twins or len(set(new)) < len(new) or not seen.isdisjoint(new):
            continue
        seen.update(new)
        found += twins
        if len(found) == count:
            return found
    if count:
        raise ValueError(f"{count} pairs: only {len(found)} are different enough")
    return found


def write_preferences(
    folder: Path, chats: int, train: int, held_out: int, seed: int = _SEED
) -> PreferenceFiles:
    """Write rows of SFT and pairs as JSONL, and as many held out of each; return the paths.

    Args:
        folder: made when it is not there.
        chats: rows of SFT, an even number.
        train: pairs to train on, an even number.
        held_out: rows, and other pairs, to be held out, an even number.
        seed: other rows with another one.

    Raises:
        OSError: the folder cannot be written.
        ValueError: see `pairs`.
    """
    paths.make_private_dir(folder)
    files = PreferenceFiles(
        folder / "chats.jsonl",
        folder / "held_out_chats.jsonl",
        folder / "pairs.jsonl",
        folder / "held_out_pairs.jsonl",
    )
    made = iter(pairs(chats + held_out + train + held_out, seed))
    for file, count in ((files.chats, chats), (files.held_out_chats, held_out)):
        rows = [_chat(pair, acts) for pair, acts in demonstrated([*islice(made, count)])]
        paths.write_atomically(file, "".join(rows))
    for file, count in ((files.pairs, train), (files.held_out_pairs, held_out)):
        paths.write_atomically(file, "".join(map(_preference, islice(made, count))))
    return files


def demonstrated(found: Sequence[Pair]) -> list[tuple[Pair, bool]]:
    """Return the pairs, each with whether its demonstrator acts.

    Of the requests with their value and of those without, half are answered by each, and of the
    two of a kind the one says nothing about the other.
    """
    both = ((True, True), (True, False), (False, True), (False, False))
    return [(pair, both[place // 2 % len(both)][place % 2]) for place, pair in enumerate(found)]


def _twins(answer: dict[str, Any], chance: random.Random) -> list[Pair]:
    """Return the request for ``answer`` and the one that leaves a value out, where there is one."""
    wording = _WORDINGS.get(answer["action"])
    values = {key: str(value).title() if key == "day" else value for key, value in answer.items()}
    if wording is None or (answer["action"] == "switch" and "delay_min" not in answer):
        return []
    rest = {key: value for key, value in answer.items() if key not in ("action", wording.about)}
    ask = as_json({"action": "ask", "about": wording.about, **rest})
    guess = {**answer, wording.about: wording.guess}
    with_value, without = (form.format(**values) for form in chance.choice(wording.forms))
    return [
        Pair(with_value, told=True, act=as_json(answer), ask=ask),
        Pair(without, told=False, act=as_json(guess), ask=ask),
    ]


def _chat(pair: Pair, acts: bool) -> str:
    said = [_said("user", pair.request), _said("assistant", pair.act if acts else pair.ask)]
    return json.dumps({"messages": said}) + "\n"


def _preference(pair: Pair) -> str:
    row = {
        "prompt": [_said("user", pair.request)],
        "chosen": [_said("assistant", pair.chosen)],
        "rejected": [_said("assistant", pair.rejected)],
    }
    return json.dumps(row) + "\n"


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
