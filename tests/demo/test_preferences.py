from __future__ import annotations

import itertools
import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_ft.data import BadLine, detect, read_rows
from tui_ft.demo.preferences import PreferenceFiles, demonstrated, pairs, write_preferences

PAIRS = pairs(800)
TOLD, UNTOLD = PAIRS[::2], PAIRS[1::2]


def _named(values: dict[str, Any], request: str) -> dict[str, bool]:
    """Return for each value of an answer whether the request names it, not as part of a time."""
    written = {key: f"{v:g}" if isinstance(v, float) else str(v) for key, v in values.items()}
    return {
        key: bool(re.search(rf"(?<![\w:]){re.escape(value)}(?![\w:])", request.lower()))
        for key, value in written.items()
        if key not in ("action", "about")
    }


def test_the_chosen_answer_acts_on_what_was_told_and_only_on_that() -> None:
    for pair in TOLD:
        chosen, rejected = json.loads(pair.chosen), json.loads(pair.rejected)
        assert pair.told and chosen["action"] != "ask" and rejected["action"] == "ask"
        assert all(_named(chosen, pair.request).values()), pair
        assert rejected["about"] in chosen


def test_the_chosen_answer_asks_for_what_was_left_out_and_the_other_one_guesses() -> None:
    for pair in UNTOLD:
        chosen, rejected = json.loads(pair.chosen), json.loads(pair.rejected)
        assert not pair.told and chosen["action"] == "ask" and rejected["action"] != "ask"
        assert all(_named(chosen, pair.request).values()), pair
        guessed = [key for key, named in _named(rejected, pair.request).items() if not named]
        assert guessed == [chosen["about"]], pair


def test_a_request_and_its_twin_differ_in_that_value_alone() -> None:
    for told, untold in zip(TOLD, UNTOLD, strict=True):
        about = json.loads(told.ask)["about"]
        act, guess = json.loads(told.act), json.loads(untold.act)
        assert told.ask == untold.ask
        assert act | {about: None} == guess | {about: None} and act != guess
    assert {json.loads(pair.act)["action"] for pair in TOLD} == {
        "switch",
        "heat",
        "light",
        "remind",
    }


def test_a_guess_does_not_vary_so_that_no_answer_is_likelier_by_itself() -> None:
    guesses = {
        (json.loads(p.ask)["about"], json.loads(p.act)[json.loads(p.ask)["about"]]) for p in UNTOLD
    }
    assert len(guesses) == 4


def test_neither_length_nor_a_habit_tells_which_is_chosen() -> None:
    longer = [len(pair.chosen) - len(pair.rejected) for pair in PAIRS]
    assert abs(sum(longer) / len(longer)) < 0.5
    right = sum(one > 0 for one in longer), sum(one < 0 for one in longer)
    assert abs(right[0] - right[1]) < 0.1 * len(PAIRS)
    assert sum('"ask"' in pair.chosen for pair in PAIRS) == len(PAIRS) / 2


def test_both_demonstrators_answer_half_of_each_sort() -> None:
    acts = [(pair.told, acts) for pair, acts in demonstrated(PAIRS)]
    assert Counter(acts) == dict.fromkeys(itertools.product((True, False), repeat=2), 200)
    of_twins = Counter(
        (one, other) for (_, one), (_, other) in zip(acts[::2], acts[1::2], strict=True)
    )
    assert of_twins == dict.fromkeys(itertools.product((True, False), repeat=2), 100)


def test_they_are_the_same_with_one_seed_and_others_with_another(tmp_path: Path) -> None:
    first, again, other = (
        [file.read_bytes() for file in _files(write_preferences(tmp_path / name, 8, 8, 4, seed))]
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert all(one != another for one, another in zip(first, other, strict=True))


def test_nothing_held_out_occurs_in_training_nor_in_the_other_stage(tmp_path: Path) -> None:
    files = write_preferences(tmp_path / "demo", 200, 160, 64)
    requests, commands = [], []
    for file, count in zip(_files(files), (200, 64, 160, 64), strict=True):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        requests.append({_messages(row)[0]["content"] for row in rows})
        assert len(requests[-1]) == len(rows) == count
        said = (message["content"] for row in rows for message in _messages(row)[1:])
        commands.append({text for text in said if '"ask"' not in text})
    for sets in (requests, commands):
        assert not any(one & other for one, other in itertools.combinations(sets, 2))


def test_the_files_are_read_as_messages_and_as_preferences(tmp_path: Path) -> None:
    files = write_preferences(tmp_path, 8, 8, 4)
    found = []
    for file in _files(files):
        rows = [row for row in read_rows(file) if not isinstance(row, BadLine)]
        found.append(detect(rows, format="auto", columns={}).format)
    assert found == ["messages", "messages", "preference", "preference"]


@pytest.mark.parametrize("count", [3, 20_000])
def test_what_cannot_be_made_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"^{count} pairs: "):
        pairs(count)


def _files(files: PreferenceFiles) -> Iterator[Path]:
    yield from (files.chats, files.held_out_chats, files.pairs, files.held_out_pairs)


def _messages(row: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    return row["messages"] if "messages" in row else row["prompt"] + row["chosen"] + row["rejected"]
