from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.memory.models import TINY
from tui_ft.cli import main


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY))
    return str(folder)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["estimate", *arguments])


def test_every_method_against_a_card(model: str) -> None:
    result = _run(model, "--seq", "128", "--batch", "2", "--gpu", "24")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    (header,) = (line for line in lines if line.startswith("method"))
    assert header.split() == ["method", "trained", "low", "expected", "high", "24", "GB"]
    rows = {line.split()[0]: line.split() for line in lines if line.endswith("fits")}
    assert set(rows) == {"full", "lora", "qlora"}
    assert "2 rows of 128 tokens" in result.output
    assert "CUDA context 0.44" in result.output


def test_as_json_with_the_largest_batch(model: str) -> None:
    arguments = ("--method", "lora", "--seq", "256", "--gpu", "1", "--largest-batch", "--json")
    result = _run(model, *arguments)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["method"] == "lora"
    assert found["length"] == 256
    assert found["expected"] == sum(term["size"] for term in found["terms"])
    assert found["low"] < found["expected"] < found["high"]
    assert found["largest_batch"] >= 1
    assert found["fits"] == {"1 GB": "fits"}


def test_any_field_of_a_run_can_be_set(model: str) -> None:
    plain = _run(model, "--method", "full", "--seq", "64", "--gpu", "24", "--json")
    halves = _run(
        model, "--method", "full", "--seq", "64", "--gpu", "24", "--json", "--set",
        "model.dtype=bfloat16",
    )  # fmt: skip
    weights = [
        next(t["size"] for t in json.loads(one.stdout)[0]["terms"] if t["name"] == "weights")
        for one in (plain, halves)
    ]
    assert weights[0] == pytest.approx(2 * weights[1], rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such/folder",), "there is no folder /no/such/folder"),
        (("MODEL", "--gpu", "big"), "--gpu big: write its memory in GB"),
        (("MODEL", "--set", "training.optim=magic", "--gpu", "8"), "magic is not known"),
        (("MODEL", "--set", "training.max_length=no"), "training.max_length"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    model: str, arguments: tuple[str, ...], said: str
) -> None:
    result = _run(*(model if argument == "MODEL" else argument for argument in arguments))
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_folder_whose_configuration_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert "is no JSON" in _run(str(tmp_path)).output
    (tmp_path / "config.json").write_text("[]")
    result = _run(str(tmp_path))
    assert "no `model_type`" in result.output
    assert result.exit_code == 1


def test_the_rows_of_the_data_decide_how_long_a_step_is(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"question": "Say it.", "answer": "word " * count} for count in (3, 40, 5)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (str(tiny_llama), "--data", str(data), "--method", "lora", "--gpu", "8", "--json")
    result = _run(*arguments)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert 40 <= found["length"] < 400  # not the default of 1,024
    assert 0.3 < found["supervised"] < 1
    cut = json.loads(_run(*arguments, "--seq", "16").stdout)
    assert cut[0]["length"] == 16
    missing = _run(str(tiny_llama), "--data", "/nowhere.jsonl")
    assert "/nowhere.jsonl" in missing.output
    assert missing.exit_code == 1


def test_a_well_known_model_is_estimated_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    arguments = ("--method", "lora", "--seq", "64", "--batch", "1", "--gpu", "24", "--json")
    result = _run("HuggingFaceTB/SmolLM2-135M-Instruct", *arguments)
    assert result.exit_code == 0, result.output
    assert "ftui's own catalogue" in result.stderr
    (found,) = json.loads(result.stdout)
    assert found["fits"] == {"24 GB": "fits"}
