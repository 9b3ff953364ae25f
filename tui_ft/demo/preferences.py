"""Preferences for the demonstration's task: the right command over one that is nearly right.

Of the wrong one a single value is off, and off by little: the next number, another room, two counts
that changed places. It is as valid and as long, so neither form nor length tells which is better.
"""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any, Final

from tui_ft import paths
from tui_ft.demo.task import SEED, Command, as_json, commands

_SEED: Final = SEED + 1
_HOURS: Final = 24


def pairs(count: int, seed: int = _SEED) -> list[tuple[Command, str]]:
    """Return ``count`` commands, each with a wrong answer to it."""
    chance = random.Random(seed)  # noqa: S311 - a data set, not a secret
    return [(command, as_json(nearly(command.answer, chance))) for command in commands(count, seed)]


def nearly(answer: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return ``answer`` with one of its values off."""
    wrong = copy.deepcopy(answer)
    key = chance.choice([key for key in answer if key != "action"])
    wrong[key] = _off(key, answer[key], chance)
    return wrong


def write_pairs(folder: Path, train: int, held_out: int) -> tuple[Path, Path]:
    """Write pairs to train on and to be held out as JSONL; return the two paths.

    Raises:
        OSError: the folder cannot be written.
    """
    paths.make_private_dir(folder)
    made = [_row(command, wrong) for command, wrong in pairs(train + held_out)]
    files = folder / "pairs.jsonl", folder / "held_out_pairs.jsonl"
    for file, rows in zip(files, (made[:train], made[train:]), strict=True):
        paths.write_atomically(file, "".join(rows))
    return files


def _row(command: Command, wrong: str) -> str:
    def said(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    row = {
        "prompt": said("user", command.request),
        "chosen": said("assistant", as_json(command.answer)),
        "rejected": said("assistant", wrong),
    }
    return json.dumps(row) + "\n"


def _off(key: str, value: Any, chance: random.Random) -> Any:  # noqa: ANN401 - a value of JSON
    """Return another value that could stand in the place of ``value``."""
    if key == "items":
        return _other_items(value, chance)
    if key == "at":
        hour, minute = str(value).split(":")
        return f"{(int(hour) + chance.choice((1, 12))) % _HOURS:02d}:{minute}"
    if key == "state":
        return "off" if value == "on" else "on"
    if isinstance(value, int | float):
        return value + chance.choice((-1, 1))
    return chance.choice(sorted(_seen(key) - {value}))


def _other_items(items: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """Return the items with their counts in other places, or one count off."""
    wrong = copy.deepcopy(items)
    counts = [item["count"] for item in items]
    turned = counts[1:] + counts[:1]
    if turned == counts:
        wrong[0]["count"] += chance.choice((1, 2))
        return wrong
    for item, count in zip(wrong, turned, strict=True):
        item["count"] = count
    return wrong


def _seen(key: str) -> set[str]:
    """Return the values that a text of a command has."""
    if key not in _VALUES:
        answers = [command.answer for command in commands(300)]
        _VALUES[key] = {answer[key] for answer in answers if key in answer}
    return _VALUES[key]


_VALUES: Final[dict[str, set[str]]] = {}
