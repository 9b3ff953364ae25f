"""`ftui model`, offline: folders, the catalogue, and what cannot be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.hub.conftest import Hub
from tests.memory.models import LLAMA_8B, TINY
from tui_ft.cli import main


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def _model(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["model", *arguments])


def _folder(tmp_path: Path, config: dict[str, Any]) -> str:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


def _lines(shown: str) -> dict[str, str]:
    split = (line.split(None, 1) for line in shown.splitlines()[1:])
    return {name: value for name, value in split}


def test_a_well_known_model_needs_no_hub() -> None:
    done = _model("mistralai/Mixtral-8x7B-v0.1")
    assert done.exit_code == 0
    assert "ftui's own catalogue" in done.stderr
    lines = _lines(done.stdout)
    assert lines["parameters"] == "46,702,792,704, of which a token passes 12.9 G"
    assert lines["MLP"] == "8 experts of 14,336 in 32 layers, 2 for a token"
    assert lines["attention"] == "32 heads of 128, 8 for keys and values"
    assert lines["cache"] == "128 KiB a token when it generates (16 bits)"
    assert lines["licence"] == "apache-2.0, a base model, without a chat template"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("google/gemma-2-2b-it", "13 of 26 layers see the last 4,096"),
        ("google/gemma-2-2b-it", "tied to the head"),
        ("google/gemma-2-2b-it", "access has to be asked for"),
        ("deepseek-ai/DeepSeek-V3", "latent keys and values of 512 numbers"),
        ("deepseek-ai/DeepSeek-V3", "2,048 wide for all beside them; 3 layers without"),
        ("EleutherAI/pythia-160m", "attention and MLP side by side"),
        ("Qwen/Qwen3-8B", "queries and keys normalised"),
        ("bert-base-uncased", "BERT (encoder)"),
        ("microsoft/phi-4", "at r 16: all-linear 55.7 M"),
    ],
)
def test_what_is_particular_is_said(name: str, said: str) -> None:
    assert said in _model(name).stdout


def test_as_json(tmp_path: Path) -> None:
    done = _model(_folder(tmp_path, LLAMA_8B), "--json")
    found = json.loads(done.stdout)
    assert found["parameters"] == 8_030_261_248 == sum(found["by_part"].values())
    assert found["lora"] == {
        "r": 16,
        "default_targets": ["q_proj", "v_proj"],
        "default": 6_815_744,
        "all_linear": 41_943_040,
    }
    assert (found["where"], found["gated"], found["gated_mlp"]) == ("folder", None, True)
    assert found["kv_cache_bytes_per_token"] == 131_072


def test_the_catalogue_names_its_source() -> None:
    found = json.loads(_model("gpt2", "--json").stdout)
    assert found["source"] == "https://huggingface.co/gpt2/blob/main/config.json"
    assert (found["parameters"], found["licence"]) == (124_439_808, "mit")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"torch_dtype": "bfloat16"}, "bfloat16, 14.2 MB"),
        ({"dtype": "float32", "torch_dtype": "float16"}, "float32, 28.4 MB"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "quantised by gptq: they cannot",
        ),
    ],
)
def test_how_the_weights_are_stored(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    shown = _lines(_model(_folder(tmp_path, {**TINY, **more})).stdout)
    assert shown["weights"].startswith(said)
    assert "weights" not in _lines(_model(_folder(tmp_path, TINY)).stdout)


def test_a_guess_is_called_one(tmp_path: Path) -> None:
    done = _model(_folder(tmp_path, {**TINY, "model_type": "newllama"}))
    assert "not known here and is counted as a Llama" in done.stdout


def test_what_can_still_be_said_of_an_unknown_model(tmp_path: Path) -> None:
    done = _model(_folder(tmp_path, {"model_type": "vit\x1b[2J", "hidden_size": 768}))
    assert done.exit_code == 1
    assert done.stdout == "model_type: vit\nhidden_size: 768\n"
    assert "not known here" in done.stderr
    left = _model(str(tmp_path), "--json")
    assert left.exit_code == 1
    assert json.loads(left.stdout)["parameters"] is None


def test_the_page_of_a_model_tells_its_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    files = [{"rfilename": "model.safetensors", "size": 10}]
    page = {"tags": ["license:mit", "conversational"], "gated": "auto"}
    hub.answer("/api/models/org/name", {"id": "org/name", "siblings": files, **page})
    hub.answer("/org/name/resolve/main/config.json", TINY)
    done = _model("org/name")
    hub.close()
    assert "org/name: Llama (decoder), found on the Hub" in done.stdout
    terms = "mit, access has to be asked for, has a chat template"
    assert _lines(done.stdout)["licence"] == terms


def test_no_model(tmp_path: Path) -> None:
    done = _model("org/name")
    assert done.exit_code == 1
    assert "HF_HUB_OFFLINE" in done.stderr
    assert "there is no folder" in _model(str(tmp_path / "nope")).stderr
