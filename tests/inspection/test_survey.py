"""Data sets surveyed by the real process."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tests.runs.conftest import ROOT
from tui_ft import paths
from tui_ft.data import DataError, Row
from tui_ft.survey.asking import ERRNO_EXIT, Asked
from tui_ft.survey.browsing import Browser
from tui_ft.survey.folder import found_groups, found_positions, remove_old, rows_to_look_at
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.summary import Finding, Summary
from tui_ft.survey.token_findings import token_findings, token_positions


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def _survey(request: Request) -> tuple[Asked, Summary]:
    asked = Asked(request)
    *_, summary = asked.follow()
    return asked, summary


def _read(asked: Asked, summary: Summary, positions: list[int]) -> list[Row | None]:
    browser = Browser(asked.folder, summary)
    return [found.row if (found := browser.at(at)) else None for at in positions]


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
    assert list(rows_to_look_at(asked.folder, "exact-duplicate")) == [3, 7]
    assert _read(asked, summary, [7, 19, 20]) == [Row(8, rows[7]), Row(20, rows[19]), None]


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
    assert _read(asked, summary, [8]) == [Row(9, rows[8])]
    for file in asked.folder.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


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
    assert Asked(request)._process is None
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
    from tui_ft.data.chat.loss_mask import MaskedRow
    from tui_ft.data.chat.tokenizer import load_chat_tokenizer

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


def test_what_a_max_length_and_a_template_do_is_among_the_findings(
    tmp_path: Path, tiny_llama: Path
) -> None:
    rows = [_row(n) for n in range(12)]
    rows[5] = _row(5, "Short.")
    path = _write(tmp_path / "rows.jsonl", rows)
    asked, _ = _survey(Request(path, tokens=TokenRequest(str(tiny_llama))))
    tokens, folder = asked.tokens(), asked.token_folder
    assert tokens is not None
    assert folder is not None
    assert token_findings(tokens, max(tokens.lengths)) == ()
    longest = max(tokens.lengths) - 1
    found = {finding.id: finding.count for finding in token_findings(tokens, longest)}
    assert found["cut-by-max-length"] == tokens.lengths[longest + 1]
    cut = token_positions(folder, tokens, "cut-by-max-length", min(tokens.lengths))
    assert list(cut) == [n for n in range(12) if n != 5]
    ends = token_positions(folder, tokens, "turn-never-ends", min(tokens.lengths))
    assert set(ends) <= set(cut)


def test_a_survey_that_is_killed_says_so_leaves_nobody_behind_and_can_be_asked_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for number in range(120_000):
            file.write(json.dumps(_row(number)) + "\n")
    asked = Asked(Request(str(path), near=False))
    process = asked._process
    assert process is not None
    children = _children_once_there(process.pid)
    process.kill()
    *_, summary = asked.follow()
    assert summary.stage == "failed"
    assert "it was killed" in (summary.problem or "")
    _, left = psutil.wait_procs(children, timeout=120)
    assert left == []
    _, summary = _survey(Request(str(path), near=False))
    assert (summary.stage, summary.rows) == ("done", 120_000)


def _children_once_there(pid: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 120
    while not (children := psutil.Process(pid).children(recursive=True)):
        assert time.monotonic() < deadline, "the survey started no processes"
        time.sleep(0.02)
    return children


def test_a_process_that_begins_when_its_survey_is_dead_ends_too() -> None:
    """It was forked just before: its parent is another by the time that it looks."""
    program = "import time; from tui_ft.inspection.pool import _begin; _begin({}, None, ()); "
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    late = [sys.executable, "-c", program.format(nobody.pid) + "time.sleep(120)"]
    assert subprocess.run(late, cwd=ROOT, timeout=110, check=False).returncode == 1
    early = [sys.executable, "-c", program.format(os.getpid()) + "time.sleep(1)"]
    assert subprocess.run(early, cwd=ROOT, timeout=110, check=False).returncode == 0


def test_one_who_asks_for_tokens_while_another_surveys_gets_both(
    tmp_path: Path, tiny_llama: Path
) -> None:
    path = _write(tmp_path / "rows.jsonl", [_row(n) for n in range(3_000)])
    first = Asked(Request(path))
    second = Asked(Request(path, tokens=TokenRequest(str(tiny_llama))))
    assert first.folder == second.folder
    *_, summary = second.follow()
    tokens = second.tokens()
    assert tokens is not None
    assert (summary.stage, tokens.stage, tokens.rows) == ("done", "done", 3_000)
    *_, summary = first.follow()
    assert summary.rows == 3_000


def test_a_full_disk_is_said_though_nothing_can_be_written(tmp_path: Path) -> None:
    path = _write(tmp_path / "rows.jsonl", [_row(n) for n in range(3_000)])
    request = Request(path)
    folder = paths.make_private_dir(request.folder())
    limited = (
        "import resource, signal, runpy, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
        f"sys.argv = ['x', {str(folder)!r}]; "
        "runpy.run_module('tui_ft.inspection', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited], input=msgspec.json.encode(request), check=False
    )
    assert done.returncode == ERRNO_EXIT + errno.EFBIG


def test_only_the_surveys_used_last_are_kept(tmp_path: Path) -> None:
    asked = [_survey(Request(_write(tmp_path / f"{n}.jsonl", [_row(n)] * 3)))[0] for n in range(3)]
    for age, one in enumerate(reversed(asked)):
        os.utime(one.folder / "lock", (1e9 - age, 1e9 - age))
    remove_old(kept=2)
    assert [one.folder.exists() for one in asked] == [False, True, True]


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "rows.jsonl", [_row(1)])
    (tmp_path / "bare").mkdir()
    for model, said in (("no/such", "no/such"), (str(tmp_path / "bare"), "has no tokenizer.json")):
        with pytest.raises(DataError, match=said):
            Asked(Request(path, tokens=TokenRequest(model)))
