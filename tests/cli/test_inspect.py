from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.inspection.data_hub import DataHub, Repository, in_the_hubs_place
from tui_ft.cli import main


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def _rows(
    path: Path, answer: str = "Paris is the capital of France, and has been for long."
) -> str:
    lines = [json.dumps({"question": f"Number {n}?", "answer": f"{n}: {answer}"}) for n in range(9)]
    path.write_text("\n".join(lines))
    return str(path)


def test_inspect_says_what_is_in_a_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", _rows(tmp_path / "rows.jsonl")])
    assert result.exit_code == 0, result.output
    assert "9 rows (9 usable)" in result.output
    assert "question and answer: 100 % of rows" in result.output


def test_inspect_as_json_with_tokens(tmp_path: Path, tiny_llama: Path) -> None:
    path = _rows(tmp_path / "rows.jsonl")
    args = ["inspect", path, "--model", str(tiny_llama), "--max-length", "8", "--json"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["data"]["layout"]["format"] == "alpaca"
    assert found["tokens"]["rows"] == 9
    assert found["tokens"]["at_max_length"]["rows_cut"] == 9
    assert found["tokens"]["findings"][0]["id"] == "no-token-learned"


def test_terminal_escapes_in_a_row_arrive_harmless(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"\\u001b[2Jevil": 1}\n')
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 1
    assert "\x1b" not in result.output


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    file = tmp_path / "served.jsonl"
    _rows(file)
    rows = file.read_bytes() + b"\n"
    files = {"train.jsonl": rows, "test.jsonl": rows * 2}
    with in_the_hubs_place(tmp_path / "hf", monkeypatch) as hub:
        hub.repositories["org/rows"] = Repository(files)
        yield hub


def test_a_data_set_on_the_hub_is_fetched_first(hub: DataHub) -> None:
    result = CliRunner().invoke(main, ["inspect", "org/rows", "--json"])
    missing = CliRunner().invoke(main, ["inspect", "org/none"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["data"]["rows"] == 9
    assert missing.exit_code == 1
    assert "org/none" in missing.output


def test_a_data_set_on_the_hub_is_cleaned_and_split_into_this_folder(
    hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    cleaned = CliRunner().invoke(main, ["clean", "org/rows", "--split", "test", "--json"])
    assert cleaned.exit_code == 0, cleaned.output
    assert (json.loads(cleaned.stdout)["rows"], json.loads(cleaned.stdout)["kept"]) == (18, 9)
    assert len((here / "rows-clean.jsonl").read_text().splitlines()) == 9
    divided = CliRunner().invoke(main, ["split", "org/rows", "--fraction", "0.3", "--by", "row"])
    assert divided.exit_code == 0, divided.output
    counts = [len((here / f"rows-{it}.jsonl").read_text().splitlines()) for it in ("train", "eval")]
    assert sum(counts) == 9


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["none.jsonl"], "cannot be read"),
        (["x.jsonl", "--column", "prompt"], "is not PART=NAME"),
    ],
)
def test_bad_input_is_a_sentence(args: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["inspect", *args])
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output


def test_inspect_prints_the_rows_that_hold_a_text(tmp_path: Path) -> None:
    path = _rows(tmp_path / "rows.jsonl")
    result = CliRunner().invoke(main, ["inspect", path, "--search", "number 3"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith('4: {"question":"Number 3?"')
    assert "1 of 9 rows hold it" in result.stdout
    as_json = CliRunner().invoke(main, ["inspect", path, "--search", "question:3", "--json"])
    assert json.loads(as_json.stdout)["line"] == 4
    none = CliRunner().invoke(main, ["inspect", path, "--search", "nowhere"])
    assert (none.exit_code, none.stdout) == (1, "0 of 9 rows hold it\n")


def test_inspect_ends_with_a_verdict(tmp_path: Path, tiny_llama: Path) -> None:
    path = tmp_path / "rows.jsonl"
    _rows(path)
    clean = CliRunner().invoke(main, ["inspect", str(path), "--model", str(tiny_llama), "--json"])
    verdict = json.loads(clean.stdout)["verdict"]
    assert (verdict["rows"], verdict["near_duplicates"]) == (9, 0.0)
    assert verdict["candidates"][0]["objective"] == "sft"
    assert verdict["tokens"] > verdict["supervised_tokens"] > 0
    assert verdict["length"]["max_length"] >= 128
    path.write_text(path.read_text() + '\n{"question": "Cut o')
    worse = CliRunner().invoke(main, ["inspect", str(path)])
    broken = json.loads(CliRunner().invoke(main, ["inspect", str(path), "--json"]).stdout)
    assert broken["verdict"]["quality"]["score"] < verdict["quality"]["score"]
    assert f"quality         {broken['verdict']['quality']['score']} of 100" in worse.stdout
    assert "line cannot be read, 10 % of rows" in worse.stdout


@pytest.mark.parametrize(
    ("rows", "said", "written"),
    [
        (['{"text": "one"}'], "no row would be left to train on", []),
        (['{"text": "one"}'] * 40, "no group is small enough", ["few-eval.jsonl"]),
    ],
)
def test_a_split_that_leaves_a_side_empty_fails(
    tmp_path: Path, rows: list[str], said: str, written: list[str]
) -> None:
    (tmp_path / "few.jsonl").write_text("\n".join(rows))
    done = CliRunner().invoke(main, ["split", str(tmp_path / "few.jsonl"), "--json"])
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert [file.name for file in tmp_path.glob("few-eval.jsonl")] == written
