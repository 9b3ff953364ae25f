from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

from tui_ft.data import BadLine, detect, read_rows
from tui_ft.demo.task import HELD_OUT_ROWS, TRAIN_ROWS, as_json, commands, write_rows

DIGEST = "f3638959998252e8641611eeb10a9dab3704cdb13bed8d3a181054833a60b73e"


def _pairs(file: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line)["messages"] for line in file.read_text().splitlines()]
    assert all([m["role"] for m in row] == ["user", "assistant"] for row in rows)
    return [(user["content"], assistant["content"]) for user, assistant in rows]


def test_the_rows_are_the_same_to_the_byte_everywhere(tmp_path: Path) -> None:
    train, held_out = write_rows(tmp_path / "demo")
    assert hashlib.sha256(train.read_bytes() + held_out.read_bytes()).hexdigest() == DIGEST
    assert stat.S_IMODE(train.stat().st_mode) == 0o600


def test_nothing_held_out_occurs_in_training(tmp_path: Path) -> None:
    train, held_out = map(_pairs, write_rows(tmp_path))
    assert (len(train), len(held_out)) == (TRAIN_ROWS, HELD_OUT_ROWS) == (2_000, 200)
    for column in (0, 1):
        seen, unseen = ({row[column] for row in rows} for rows in (train, held_out))
        assert len(seen) == TRAIN_ROWS
        assert len(unseen) == HELD_OUT_ROWS
        assert not seen & unseen


def test_every_answer_is_compact_json_that_follows_from_the_request() -> None:
    for command in commands(500):
        answer = json.loads(as_json(command.answer))
        assert as_json(answer) == as_json(command.answer)
        request = command.request.lower()
        for value in _leaves(answer):
            assert value.lower() in request, (command.request, value)


def _leaves(answer: dict[str, object]) -> list[str]:
    """Return the values that the request has to name; numbers as it writes them."""
    values: list[object] = []
    for key, value in answer.items():
        if isinstance(value, list):
            values += [leaf for item in value for leaf in item.values()]
        elif key != "action":
            values.append(value)
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values]


def test_every_kind_of_command_is_held_out() -> None:
    held_out = commands(TRAIN_ROWS + HELD_OUT_ROWS)[TRAIN_ROWS:]
    actions = {command.answer["action"] for command in held_out[:64]}
    assert actions == {"switch", "heat", "light", "buy", "remind"}


def test_another_seed_gives_other_rows() -> None:
    assert commands(20, seed=1) != commands(20, seed=2)


def test_the_rows_are_read_as_messages(tmp_path: Path) -> None:
    rows = [row for row in read_rows(write_rows(tmp_path)[0]) if not isinstance(row, BadLine)]
    assert detect(rows, format="auto", columns={}).format == "messages"
