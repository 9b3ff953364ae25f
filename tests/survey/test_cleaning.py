"""New files out of a surveyed data set, by the commands themselves."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tui_ft.cli import main
from tui_ft.data import DataError
from tui_ft.survey.asking import Asked
from tui_ft.survey.cleaning import Plan
from tui_ft.survey.request import Request
from tui_ft.survey.splitting import share_said


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def _row(number: int, more: str = "") -> dict[str, str]:
    words = " ".join(f"word{number}x{n}" for n in range(12))
    return {"instruction": f"Question {number}?", "output": f"This is {words}.{more}"}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [_row(n) for n in range(20)]
    rows[4] = rows[2]
    rows[6] = {**rows[6], "output": ""}
    rows[8] = _row(8, " Hid\u200bden.")
    return _write(tmp_path / "rows.jsonl", rows)


def test_clean_drops_and_repairs_into_a_new_file(data: Path) -> None:
    before = data.read_bytes()
    result = _run("clean", data, "--json")
    assert result.exit_code == 0, result.output
    assert data.read_bytes() == before
    output = data.with_name("rows-clean.jsonl")
    rows, old = _read(output), _read(data)
    kept = [row for n, row in enumerate(old) if n not in (4, 6)]
    kept[kept.index(old[8])] = _row(8, " Hidden.")
    assert rows == kept
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    report = json.loads(output.with_name("rows-clean.jsonl.report.json").read_bytes())
    assert report == json.loads(result.output)
    done = {entry["check"]: (entry["done"], entry["lines"]) for entry in report["done"]}
    assert done["exact-duplicate"] == ("dropped", [5])
    assert done["unusable-empty-answer"] == ("dropped", [7])
    assert done["invisible-characters"] == ("repaired", [9])
    assert (report["rows"], report["kept"], report["repaired"]) == (20, 18, 1)


def test_a_dry_run_writes_nothing(data: Path) -> None:
    result = _run("clean", data, "--dry-run", "--drop", "exact-duplicate")
    assert "19 of 20 rows kept" in result.output
    assert "nothing was written" in result.output
    assert list(data.parent.glob("rows-clean*")) == []


def test_clean_replaces_no_file_and_knows_its_findings(data: Path) -> None:
    data.with_name("rows-clean.jsonl").write_text("mine")
    result = _run("clean", data)
    assert result.exit_code == 1
    assert "is there already" in result.output
    assert data.with_name("rows-clean.jsonl").read_text() == "mine"
    assert "known: " in _run("clean", data, "--repair", "exact-duplicate").output


def test_a_file_without_rows_is_not_written(tmp_path: Path) -> None:
    rows = [{"instruction": f"Question {n}?", "output": f"Answer {n}."} for n in range(5)]
    data = _write(tmp_path / "short.jsonl", rows)
    result = _run("clean", data, "--drop", "short-answer")
    assert result.exit_code == 1
    assert "none of 5 rows would stay" in result.output
    assert list(tmp_path.glob("*short-clean*")) == []


def _plan(path: Path, drop: Sequence[str], repair: Sequence[str]) -> Plan:
    asked = Asked(Request(str(path)))
    *_, summary = asked.follow()
    return Plan(asked.folder, summary, drop, repair)


def test_what_would_change_is_known_before_anything_is_written(data: Path) -> None:
    plan = _plan(data, ["exact-duplicate", "unusable-empty-answer"], ["invisible-characters"])
    changes = plan.changes()
    assert (changes.rows, changes.kept, changes.dropped, changes.repaired) == (20, 18, 2, 1)
    (dropped,) = plan.examples("unusable-empty-answer")
    assert (dropped.line, dropped.after) == (7, None)
    assert '"output":""' in dropped.before.replace(" ", "")
    (repaired,) = plan.examples("invisible-characters")
    assert repaired.line == 9
    assert repaired.before.endswith(r"Hid\u200bden.")
    assert (repaired.after or "").endswith("Hidden.")
    assert plan.examples("near-duplicate") == ()
    report = plan.carry_out(None)
    assert (report.kept, report.repaired) == (changes.kept, changes.repaired)


def test_a_row_that_goes_is_not_repaired(data: Path) -> None:
    plan = _plan(data, ["invisible-characters"], ["invisible-characters"])
    assert (plan.changes().dropped, plan.changes().repaired) == (1, 0)


def test_nothing_is_written_in_place_whatever_its_name(data: Path) -> None:
    before = data.read_bytes()
    link = data.with_name("link.jsonl")
    link.symlink_to(data)
    for command in (
        ("clean", data, "--out", data, "--force"),
        ("clean", data, "--out", link, "--force"),
    ):
        result = _run(*command)
        assert result.exit_code == 1
        assert "is the data set itself" in result.output
    assert data.read_bytes() == before


def test_work_that_is_given_up_leaves_no_file(data: Path) -> None:
    class StopError(Exception): ...

    def stop(_: int) -> None:
        raise StopError

    plan = _plan(data, ["exact-duplicate"], [])
    output = data.with_name("new.jsonl")
    with pytest.raises(StopError):
        plan.carry_out(output, tell=stop)
    assert sorted(file.name for file in data.parent.iterdir()) == ["home", "rows.jsonl"]


@pytest.mark.parametrize(
    ("said", "rows", "share"),
    [("5 %", 100, 0.05), ("0.25", 8, 0.25), ("200", 1_000, 0.2), (" 12.5% ", 8, 0.125)],
)
def test_a_share_is_understood_as_people_say_it(said: str, rows: int, share: float) -> None:
    assert share_said(said, rows) == pytest.approx(share)


@pytest.mark.parametrize("said", ["", "x", "0", "100 %", "500", "-1", "nan", "inf"])
def test_what_is_no_share_is_refused(said: str) -> None:
    with pytest.raises(DataError):
        share_said(said, 500)


def test_so_many_rows_are_held_out(data: Path) -> None:
    result = _run("split", data, "--rows", "3", "--by", "row", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["eval_rows"] == 3


def test_the_same_split_twice_is_the_same_to_the_byte(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        result = _run("split", data, "--fraction", "0.2", "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    for file in ("rows-train.jsonl", "rows-eval.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    train = _read(tmp_path / "one" / "rows-train.jsonl")
    held = _read(tmp_path / "one" / "rows-eval.jsonl")
    assert len(held) == 4
    assert sorted(map(json.dumps, train + held)) == sorted(map(json.dumps, _read(data)))
    assert not any(row in train for row in held)


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    rows = [_row(n // 3, " Again" * (n % 3) + "!") for n in range(60)]
    data = _write(tmp_path / "rows.jsonl", rows)
    assert _run("split", data, "--fraction", "0.3").exit_code == 0
    held = {row["instruction"] for row in _read(tmp_path / "rows-eval.jsonl")}
    train = {row["instruction"] for row in _read(tmp_path / "rows-train.jsonl")}
    assert held
    assert not held & train


def test_each_class_is_held_out_in_the_same_share(tmp_path: Path) -> None:
    rows = [
        {"text": _row(n)["output"], "label": "rare" if n % 5 == 0 else "usual"} for n in range(100)
    ]
    data = _write(tmp_path / "rows.jsonl", rows)
    assert _run("split", data, "--fraction", "0.1", "--by", "label").exit_code == 0
    labels = [row["label"] for row in _read(tmp_path / "rows-eval.jsonl")]
    assert (labels.count("rare"), labels.count("usual")) == (2, 8)
    plain = _write(tmp_path / "plain.jsonl", [_row(n) for n in range(5)])
    assert "has no labels" in _run("split", plain, "--by", "label").output
