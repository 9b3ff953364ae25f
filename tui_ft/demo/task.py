"""The demonstration's task: plain requests for a house, answered by strict JSON commands.

Everything comes from a seed, so the rows are the same to the byte everywhere. No request of the
held-out rows occurs in training, nor does its command: the model has to generalise over
combinations of room, device and value.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tui_ft import paths

TRAIN_ROWS: Final = 2_000
HELD_OUT_ROWS: Final = 200
SEED: Final = 20_240

_ROOMS: Final = (
    "kitchen", "bedroom", "bathroom", "hallway", "office", "garage", "attic", "cellar",
    "living room", "dining room", "nursery", "guest room", "balcony", "studio", "laundry room",
)  # fmt: skip
_SWITCHED: Final = ("light", "lamp", "fan", "heater", "radio", "humidifier", "coffee machine")
_COLOURS: Final = ("red", "green", "blue", "white", "warm white", "orange", "purple", "pink")
_THINGS: Final = (
    "milk", "bread", "eggs", "butter", "rice", "apples", "onions", "coffee", "tea", "pasta",
    "tomatoes", "cheese", "bananas", "flour", "sugar", "yoghurt",
)  # fmt: skip
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CHORES: Final = (
    "call the dentist", "water the plants", "pay the rent", "feed the cat", "pick up the parcel",
    "clean the windows", "send the report", "take out the bins", "book the train", "wash the car",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """A request in words, and the command that it means."""

    request: str
    answer: dict[str, Any]


def commands(count: int, seed: int = SEED) -> list[Command]:
    """Return ``count`` commands with all requests different and all answers different.

    So any two slices of the list have neither a request nor an answer in common.
    """
    chance = random.Random(seed)  # noqa: S311 - a data set, not a secret
    found: list[Command] = []
    requests: set[str] = set()
    answers: set[str] = set()
    while len(found) < count:
        command = chance.choice(_KINDS)(chance)
        answer = as_json(command.answer)
        if command.request in requests or answer in answers:
            continue
        requests.add(command.request)
        answers.add(answer)
        found.append(command)
    return found


def as_json(answer: dict[str, Any]) -> str:
    """Return the command as the model has to write it: compact JSON, keys in a fixed order."""
    return json.dumps(answer, separators=(",", ":"))


def write_rows(folder: Path) -> tuple[Path, Path]:
    """Write the training rows and the held-out rows as JSONL; return the two paths.

    Raises:
        OSError: the folder cannot be written.
    """
    paths.make_private_dir(folder)
    rows = commands(TRAIN_ROWS + HELD_OUT_ROWS)
    train, held_out = folder / "train.jsonl", folder / "held_out.jsonl"
    paths.write_atomically(train, "".join(map(_row, rows[:TRAIN_ROWS])))
    paths.write_atomically(held_out, "".join(map(_row, rows[TRAIN_ROWS:])))
    return train, held_out


def _row(command: Command) -> str:
    messages = [
        {"role": "user", "content": command.request},
        {"role": "assistant", "content": as_json(command.answer)},
    ]
    return json.dumps({"messages": messages}) + "\n"


def _switch(chance: random.Random) -> Command:
    device, room = chance.choice(_SWITCHED), chance.choice(_ROOMS)
    state = chance.choice(("on", "off"))
    minutes = chance.choice((None, chance.randrange(2, 60)))
    after = f" in {minutes} minutes" if minutes else ""
    request = chance.choice(
        (
            f"Turn {state} the {device} in the {room}{after}.",
            f"Please switch the {room} {device} {state}{after}.",
            f"I want the {device} in the {room} {state}{after}.",
        )
    )
    answer: dict[str, Any] = {"action": "switch", "device": device, "room": room, "state": state}
    return Command(request, answer | ({"delay_min": minutes} if minutes else {}))


def _temperature(chance: random.Random) -> Command:
    room, value = chance.choice(_ROOMS), chance.randrange(32, 54) / 2
    hour, minute = chance.randrange(24), chance.choice((0, 15, 30, 45))
    at = f"{hour:02d}:{minute:02d}"
    request = chance.choice(
        (
            f"Heat the {room} to {value:g} degrees at {at}.",
            f"At {at}, set the {room} to {value:g} degrees.",
            f"Make it {value:g} degrees in the {room} by {at}.",
        )
    )
    return Command(request, {"action": "heat", "room": room, "celsius": value, "at": at})


def _colour(chance: random.Random) -> Command:
    room, colour, level = chance.choice(_ROOMS), chance.choice(_COLOURS), chance.randrange(5, 100)
    request = chance.choice(
        (
            f"Make the {room} light {colour} at {level} percent.",
            f"Set the light in the {room} to {colour}, {level} percent bright.",
            f"I'd like {colour} light at {level} % in the {room}.",
        )
    )
    return Command(request, {"action": "light", "room": room, "colour": colour, "level": level})


def _shopping(chance: random.Random) -> Command:
    things = chance.sample(_THINGS, chance.randrange(1, 4))
    amounts = [chance.randrange(1, 13) for _ in things]
    listed = [f"{n} {thing}" for n, thing in zip(amounts, things, strict=True)]
    spoken = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    request = chance.choice(
        (
            f"Put {spoken} on the shopping list.",
            f"We need {spoken}.",
            f"Add {spoken} to my groceries.",
        )
    )
    items = [{"item": thing, "count": n} for n, thing in zip(amounts, things, strict=True)]
    return Command(request, {"action": "buy", "items": items})


def _reminder(chance: random.Random) -> Command:
    chore, day = chance.choice(_CHORES), chance.choice(_DAYS)
    hour, minute = chance.randrange(24), chance.choice((0, 10, 20, 30, 40, 50))
    at = f"{hour:02d}:{minute:02d}"
    request = chance.choice(
        (
            f"Remind me to {chore} on {day.title()} at {at}.",
            f"On {day.title()} at {at} I have to {chore}.",
            f"Don't let me forget to {chore}, {day.title()} {at}.",
        )
    )
    return Command(request, {"action": "remind", "text": chore, "day": day, "at": at})


_KINDS: Final[tuple[Callable[[random.Random], Command], ...]] = (
    _switch,
    _temperature,
    _colour,
    _shopping,
    _reminder,
)
