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
