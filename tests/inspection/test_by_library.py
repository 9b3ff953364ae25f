"""What the libraries of the extras find, through the real libraries."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tui_ft.cli import main
from tui_ft.data import DataError
from tui_ft.survey import helpers
from tui_ft.survey.asking import Asked
from tui_ft.survey.folder import found_positions
from tui_ft.survey.request import Request

CLEAN = [
    "There are 12 apples in 3 baskets, and 536 more in the barn of 1997.",
    "Call the function with version 4.2.1 and a list of 40 numbers.",
    "The mice ran up the clock at five, and then came down again.",
    "He was killed in the war of 1812, which is sad; the hospital treats breast cancer.",
]
PERSONAL = [
    "My SSN is 536-90-4399, please write it down.",
    "The NHS number of the patient is 943 476 5919.",
    "Send it to the bitcoin wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa.",
]
OFFENSIVE = [
    "It is late. You are a fucking idiot and I hate you. Good night.",
    "Shut up you stupid bitch",
]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    texts = [*CLEAN, *PERSONAL, *OFFENSIVE]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_planted_rows_are_found_and_clean_ones_are_not(data: str) -> None:
    asked = Asked(Request(data, pii=True, toxicity=True))
    *_, summary = asked.follow()
    assert summary.problem is None
    found = {finding.id: finding for finding in summary.findings}
    assert list(found_positions(asked.folder, "personal-data")) == [4, 5, 6]
    assert found["personal-data"].detail == "crypto 1, uk nhs 1, us ssn 1"
    assert found["personal-data"].share == pytest.approx(3 / 9)
    assert list(found_positions(asked.folder, "toxic-text")) == [7, 8]
    assert summary.looked_for == ("near duplicates", "personal data", "toxicity")
    # What was not asked for is another question, with another answer.
    plain = Asked(Request(data))
    *_, summary = plain.follow()
    assert plain.folder != asked.folder
    assert not {"personal-data", "toxic-text"} & {finding.id for finding in summary.findings}


def test_rows_found_so_are_dropped(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["clean", data, "--drop", "toxic-text", "--out", str(out)]
    refused = CliRunner().invoke(main, arguments)
    assert (refused.exit_code, out.exists()) == (1, False)
    assert "`toxic-text` was not looked for; ask for it with --toxicity" in refused.output
    done = CliRunner().invoke(main, [*arguments, "--toxicity"])
    assert done.exit_code == 0, done.output
    texts = [json.loads(line)["text"] for line in out.read_text().splitlines()]
    assert texts == [*CLEAN, *PERSONAL]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "--pii",
            "looking for personal data takes presidio-analyzer, which is not installed: "
            "`pip install 'tui-ft[pii]'`",
        ),
        ("--toxicity", "`pip install 'tui-ft[toxicity]'`"),
    ],
)
def test_what_is_not_installed_is_said_with_the_way_to_get_it(
    option: str, said: str, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    absent = {"presidio_analyzer", "profanity_check"}
    monkeypatch.setattr(helpers, "find_spec", lambda name: None if name in absent else there(name))
    result = CliRunner().invoke(main, ["inspect", data, option])
    assert result.exit_code == 1
    assert said in result.output
    with pytest.raises(DataError, match="not installed"):
        Request(data, pii=True).folder()
