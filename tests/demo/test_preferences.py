from __future__ import annotations

import json
import stat
from pathlib import Path

from tui_ft.demo.preferences import pairs, write_pairs
from tui_ft.demo.task import as_json


def test_the_wrong_answer_is_off_in_one_value() -> None:
    for command, wrong in pairs(500):
        other = json.loads(wrong)
        assert list(other) == list(command.answer)
        differing = [key for key in other if other[key] != command.answer[key]]
        assert len(differing) == 1 and differing != ["action"], (command, wrong)
        assert type(other[differing[0]]) is type(command.answer[differing[0]])


def test_they_are_the_same_every_time_and_of_one_length() -> None:
    assert pairs(50) == pairs(50)
    lengths = [len(wrong) - len(as_json(command.answer)) for command, wrong in pairs(500)]
    assert abs(sum(lengths) / len(lengths)) < 0.5
    assert max(map(abs, lengths)) <= 12


def test_held_out_pairs_are_others(tmp_path: Path) -> None:
    train, held_out = write_pairs(tmp_path / "demo", 40, 10)
    asked = [
        {json.loads(line)["prompt"][0]["content"] for line in file.read_text().splitlines()}
        for file in (train, held_out)
    ]
    assert (len(asked[0]), len(asked[1])) == (40, 10) and not asked[0] & asked[1]
    assert stat.S_IMODE(train.stat().st_mode) == 0o600
