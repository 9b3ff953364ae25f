from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from tests.cli.conftest import Ftui, MakeRun
from tui_ft.commands.demo import tell_scores
from tui_ft.runs import events as ev
from tui_ft.spec.chain import load_chain


def test_without_the_model_it_says_how_to_get_it(
    ftui: Ftui, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    done = ftui("demo")
    assert done.exit_code == 1
    assert "`make demo` installs it" in done.stderr
    assert done.stdout == ""


def test_the_rates_before_and_after_stand_side_by_side(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    example = ev.Example(
        prompt="Heat the attic\x1b[2J", answer='{"a":1}', reference="", correct=True
    )
    folder = make_run(
        "demo",
        ev.Score(when="before", rows=64, values={"exact_match": 0.0, "valid_json": 0.25}),
        ev.Score(
            when="after",
            rows=64,
            values={"exact_match": 0.984375, "valid_json": 1.0},
            examples=(example,),
        ),
        ev.Ended(state="finished", reason="done"),
    )
    tell_scores(folder)
    said = capsys.readouterr().out
    rates = [line.split() for line in said.splitlines() if "%" in line]
    assert rates == [
        ["exact", "match", "0", "%", "98", "%"],
        ["valid", "json", "25", "%", "100", "%"],
    ]
    assert f"adapter  {folder.path / 'adapter'}" in said
    assert "\x1b" not in said


def test_a_run_without_rates_tells_none(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_scores(make_run("demo", ev.Ended(state="stopped", reason="as asked")))
    assert capsys.readouterr().out == ""


def test_its_rows_are_written_for_runs_of_ones_own(ftui: Ftui, home: Path) -> None:
    told = json.loads(ftui("demo", "--write-data", "rows", "--json").stdout)
    written = {Path(one["file"]).name: one["rows"] for one in told["files"]}
    assert written == {
        "train.jsonl": 2000,
        "held_out.jsonl": 200,
        "chats.jsonl": 320,
        "held_out_chats.jsonl": 128,
        "pairs.jsonl": 320,
        "held_out_pairs.jsonl": 128,
    }
    assert {name: len(Path("rows", name).read_text().splitlines()) for name in written} == written
    assert "nothing is replaced" in ftui("demo", "--write-data", "rows").stderr
    assert "is a file: name a folder" in ftui("demo", "--write-data", "rows/pairs.jsonl").stderr
    said = ftui("demo", "--write-data", "more").stdout
    asked = said[said.index("`ftui chain new") + 1 : said.index("chain.yaml`")] + "chain.yaml"
    assert ftui(*asked.replace("\\\n", "").split()[1:]).exit_code == 0
    stages = load_chain(Path("chain.yaml")).stages
    assert [Path(one.run.data.train).name for one in stages] == ["chats.jsonl", "pairs.jsonl"]
    assert not (home / "runs").exists()
