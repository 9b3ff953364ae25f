"""Texts that share a row are kept apart, or the run is refused: no loss would show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BloomConfig, OPTConfig

from tests.train.running import make_spec, run_worker
from tui_ft.runs import events as ev

ONE_STEP = {"max_steps": 1, "eval_steps": None, "save_steps": None}
MODELS: dict[str, Any] = {
    "bloom": BloomConfig(vocab_size=512, hidden_size=32, n_layer=1, n_head=2),
    "opt": OPTConfig(
        vocab_size=512,
        hidden_size=32,
        ffn_dim=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        word_embed_proj_dim=32,
        max_position_embeddings=64,
    ),
}


def _random_model(kind: str) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(MODELS[kind])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("kind", MODELS)
def test_these_models_read_across_texts_whose_positions_begin_anew(kind: str) -> None:
    model = _random_model(kind)
    behind, positions = torch.arange(10, 18), torch.arange(8).repeat(2)
    logits = [
        model(
            input_ids=torch.cat([torch.arange(begin, begin + 8), behind])[None],
            position_ids=positions[None],
            use_cache=False,
        ).logits[0, 8:]
        for begin in (20, 40)
    ]
    assert (logits[0] - logits[1]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("kind", "asked", "loaded"),
    [
        ("bloom", {"packing": True}, False),
        ("opt", {"packing": True}, True),
        ("opt", {"packing": True, "packing_strategy": "wrapped"}, None),
    ],
)
def test_a_model_that_reads_across_the_texts_of_a_row_is_refused(
    tmp_path: Path, tiny_llama: Path, kind: str, asked: dict[str, Any], loaded: bool | None
) -> None:
    _random_model(kind).save_pretrained(tmp_path / kind)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path / kind)
    spec = make_spec(tmp_path, tmp_path / kind, training={**ONE_STEP, **asked})
    ran = run_worker(spec, tmp_path / "run")
    if loaded is None:
        assert ran.ended.state == "finished", ran.ended
        return
    assert ran.ended.state == "failed"
    assert f"{kind} does not keep them apart" in ran.ended.reason
    assert ran.ended.advice[0] == "set training.packing to false"
    assert any(phase.text.startswith("loads /") for phase in ran.of(ev.Phase)) == loaded


@pytest.mark.parametrize("method", [{"kind": "full"}, {"kind": "lora"}])
def test_a_model_that_keeps_them_apart_is_trained_on_packs(
    tmp_path: Path, tiny_llama: Path, method: dict[str, Any]
) -> None:
    spec = make_spec(tmp_path, tiny_llama, method=method, training={**ONE_STEP, "packing": True})
    assert run_worker(spec, tmp_path / "run").ended.state == "finished"
