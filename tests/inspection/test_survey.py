"""Data sets surveyed by the real process."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tui_ft.data import DataError, Row
from tui_ft.survey.asking import Asked
from tui_ft.survey.folder import SurveyedRows, found_groups, found_positions
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.summary import Finding, Summary


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def _survey(request: Request) -> tuple[Asked, Summary]:
    asked = Asked(request)
    for summary in asked.follow():
        last = summary
    assert last is not None
    return asked, last


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _found(summary: Summary) -> dict[str, Finding]:
    return {finding.id: finding for finding in summary.findings}


def _row(number: int, answer: str = "") -> dict[str, str]:
    words = " ".join(f"word{number}x{n}" for n in range(12))
    return {"instruction": f"Question {number}?", "output": answer or f"This is {words}."}


def test_rows_duplicates_and_broken_lines_are_found(tmp_path: Path) -> None:
    rows = [_row(n) for n in range(20)]
    rows[7] = rows[3]
    rows[9] = {**_row(5), "output": _row(5)["output"] + " Indeed."}
    rows[11] = {**rows[11], "output": " "}
    path = tmp_path / "rows.jsonl"
    _write(path, rows)
    with path.open("a") as file:
        file.write('\n{"instruction": "cut o')
    asked, summary = _survey(Request(str(path)))
    assert (summary.stage, summary.rows, summary.usable, summary.broken_lines) == (
        "done",
        20,
        19,
        1,
    )
    found = _found(summary)
    assert summary.broken[0].line == 22
    assert list(found_positions(asked.folder, "exact-duplicate")) == [7]
    assert found_groups(asked.folder, "exact-duplicate") == [[3, 7]]
    assert list(found_positions(asked.folder, "near-duplicate")) == [9]
    assert list(found_positions(asked.folder, "conflicting-answers")) == [5, 9]
    assert found["unusable-empty-answer"].examples == (11,)
    assert found["broken-line"].count == 1
    read = SurveyedRows(asked.folder, summary).rows([7, 19, 20])
    assert read == [Row(8, rows[7]), Row(20, rows[19]), None]


def test_a_clean_data_set_has_no_findings_that_harm(tmp_path: Path) -> None:
    _, summary = _survey(Request(_write(tmp_path / "rows.jsonl", [_row(n) for n in range(30)])))
    assert [finding.id for finding in summary.findings if finding.severity != "note"] == []
    assert summary.layout is not None
    assert (summary.layout.format, summary.layout.objectives) == ("alpaca", ("sft",))


def test_compressed_rows_are_laid_out_privately_and_found_again(tmp_path: Path) -> None:
    rows = [_row(n) for n in range(9)]
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    asked, summary = _survey(Request(str(path)))
    assert SurveyedRows(asked.folder, summary).rows([8]) == [Row(9, rows[8])]
    for file in asked.folder.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 or file.name == "log"


def test_overlap_with_the_evaluation_data_is_found(tmp_path: Path) -> None:
    rows = [_row(n) for n in range(12)]
    passage = rows[5]["output"]
    evaluated = [rows[2], {"instruction": "Something else altogether, please?", "output": passage}]
    train = _write(tmp_path / "train.jsonl", rows)
    asked, _summary = _survey(Request(train, eval=_write(tmp_path / "eval.jsonl", evaluated)))
    assert list(found_positions(asked.folder, "eval-overlap")) == [2]
    assert list(found_positions(asked.folder, "eval-overlap-ngram")) == [5]


def test_the_answer_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    request = Request(_write(path, [_row(n) for n in range(5)]))
    asked, _ = _survey(request)
    assert Asked(request).is_over()
    _write(path, [_row(n) for n in range(6)])
    again, summary = _survey(request)
    assert again.folder != asked.folder
    assert summary.rows == 6


def test_what_cannot_be_read_ends_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    _, summary = _survey(Request(str(path)))
    assert summary.stage == "failed"
    assert "of no known format" in (summary.problem or "")
    with pytest.raises(DataError, match="cannot be read"):
        Request(str(tmp_path / "none.jsonl")).folder()


def test_tokens_are_those_of_the_trainers_mask(tmp_path: Path, tiny_llama: Path) -> None:
    from tui_ft.data import convert, detect, mask_row, read_rows
    from tui_ft.data.chat_tokenizer import load_chat_tokenizer
    from tui_ft.data.loss_mask import MaskedRow

    path = _write(tmp_path / "rows.jsonl", [_row(n) for n in range(40)])
    asked, _ = _survey(Request(path, tokens=TokenRequest(str(tiny_llama))))
    counted = asked.tokens()
    assert counted is not None
    assert (counted.stage, counted.problem, counted.rows) == ("done", None, 40)
    tokenizer = load_chat_tokenizer(tiny_llama)
    rows = [row for row in read_rows(path) if isinstance(row, Row)]
    detection = detect(rows)
    masks = [mask_row(convert(row, detection), tokenizer) for row in rows]  # type: ignore[arg-type]
    lengths = [mask.full_length for mask in masks if isinstance(mask, MaskedRow)]
    learned = [mask.full_supervised for mask in masks if isinstance(mask, MaskedRow)]
    assert counted.tokens == sum(lengths)
    assert counted.supervised_share == sum(learned) / sum(lengths)
    assert sum(counted.first_end.values()) == 40
