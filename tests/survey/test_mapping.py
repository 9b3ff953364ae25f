"""Formats and columns chosen by hand: what comes of them, and how a run says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars
import pytest
from click.testing import CliRunner, Result

from tui_ft.cli import main
from tui_ft.data import Completion, DataError, Row, RowProblem
from tui_ft.spec import resolve_spec
from tui_ft.survey.asking import Asked
from tui_ft.survey.first_rows import first_rows
from tui_ft.survey.mapping import as_yaml, columns_of, mapped, parts_of
from tui_ft.survey.request import Request


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def _rows(*values: dict[str, Any]) -> list[Row]:
    return [Row(number, each) for number, each in enumerate(values, 1)]


STRANGE = _rows(
    {"frage": "Wie spät ist es?", "antwort": "Zwölf.", "id": 1},
    {"frage": "Und jetzt?", "antwort": "", "id": 2},
    {"frage": "Wer?", "antwort": "\x1b[31mIch.", "more": ["x", 1]},
)


def test_columns_are_listed_with_types_share_and_harmless_samples() -> None:
    columns = {column.name: column for column in columns_of(STRANGE)}
    assert list(columns) == ["frage", "antwort", "id", "more"]
    assert columns["antwort"].samples == ("Zwölf.", "Ich.")
    assert columns["antwort"].filled == pytest.approx(2 / 3)
    assert columns["id"].types == ("a number",)
    assert columns["more"].samples == ('["x", 1]',)


def test_what_nothing_fits_says_why_and_a_mapping_makes_it_fit() -> None:
    outcome = mapped(STRANGE, "auto", {})
    assert outcome.format is None
    assert "of no known format" in outcome.reason
    outcome = mapped(STRANGE, "auto", {"prompt": "frage", "completion": "antwort"})
    assert (outcome.format, outcome.usable, outcome.rows) == ("prompt_completion", 2, 3)
    assert outcome.first == Completion("Wie spät ist es?", "Zwölf.")
    wrong = mapped(STRANGE, "messages", {"messages": "frage"})
    assert isinstance(wrong.first, RowProblem)
    assert "no list of messages" in wrong.first.reason
    assert mapped(STRANGE, "auto", {"prompt": "gone"}).format is None
    assert mapped([], "auto", {}).format is None


def test_parts_are_those_of_the_format() -> None:
    parts = ("prompt", "completion", "system", "tools", "reference")
    assert parts_of("prompt_completion") == parts
    assert {"messages", "chosen", "label", "text"} <= set(parts_of("auto"))


@pytest.mark.parametrize("column", ["frage", "a: b", 'ein "Wort"', "日本語", "{x}", "1e5", "#"])
def test_a_mapping_comes_back_from_the_yaml(column: str, tmp_path: Path) -> None:
    columns = {"prompt": column, "completion": "antwort"}
    file = tmp_path / "run.yaml"
    lines = as_yaml("prompt_completion", columns)
    file.write_text(f"model: {{name_or_path: m}}\n{lines}\n  train: d.jsonl\n", encoding="utf-8")
    spec = resolve_spec(str(file), [])
    assert (spec.data.format, spec.data.columns) == ("prompt_completion", columns)


def test_first_rows_of_tables_and_folders_come_from_a_process(tmp_path: Path) -> None:
    table = tmp_path / "rows.parquet"
    polars.DataFrame({"frage": ["a", "b"], "n": [1, 2]}).write_parquet(table)
    assert [row.values for row in first_rows(str(table))] == [
        {"frage": "a", "n": 1},
        {"frage": "b", "n": 2},
    ]
    assert len(first_rows(str(tmp_path), most=1)) == 1
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"bad\.parquet"):
        first_rows(str(tmp_path / "bad.parquet"))


def _file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [
        {"frage": f"Was ist {n}?", "antwort": f"Die Zahl {n}.", "label": "a" if n % 4 else "b"}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


BY_HAND = ("--column", "prompt=frage", "--column", "completion=antwort")


def test_the_command_says_what_comes_of_a_mapping(tmp_path: Path) -> None:
    path = _file(tmp_path)
    result = _run("inspect", path, "--mapping", *BY_HAND)
    assert result.exit_code == 0, result.output
    assert "40 of 40 rows can be used as prompt_completion" in result.output
    assert "completion: antwort" in result.output
    assert "Was ist 0?" in result.output
    said = json.loads(_run("inspect", path, "--mapping", "--json", *BY_HAND).output)
    assert said["mapped"]["columns"] == {"prompt": "frage", "completion": "antwort"}
    assert [column["name"] for column in said["columns"]] == ["frage", "antwort", "label"]
    refused = _run("inspect", path, "--mapping", "--column", "messages=frage")
    assert refused.exit_code == 1
    none = _run("inspect", path, "--mapping", "--format", "messages", "--column", "messages=frage")
    assert none.exit_code == 1
    assert "0 of 40 rows can be used" in none.output


def test_clean_and_split_read_rows_by_a_mapping(tmp_path: Path) -> None:
    path = _file(tmp_path)
    assert _run("clean", path).exit_code == 1  # of no known format
    result = _run("clean", path, *BY_HAND)
    assert "40 of 40 rows kept" in result.output
    by_label = ("--format", "text_label", "--column", "text=frage", "--column", "label=label")
    result = _run("split", path, "--rows", "8", "--by", "label", *by_label)
    assert result.exit_code == 0, result.output
    held = (tmp_path / "rows-eval.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["label"] for line in held) == ["a"] * 6 + ["b"] * 2


def test_a_survey_remembers_how_it_was_asked_for(tmp_path: Path) -> None:
    from tui_ft.survey.at_hand import recent_data

    path = str(_file(tmp_path))
    request = Request(path, "prompt_completion", {"prompt": "frage", "completion": "antwort"})
    for _ in Asked(request).follow():
        pass
    (recent,) = recent_data()
    assert (recent.request, recent.rows, recent.format) == (request, 40, "prompt_completion")
    Path(path).unlink()
    assert recent_data() == ()
