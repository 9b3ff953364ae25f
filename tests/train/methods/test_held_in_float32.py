"""All that is trained beside a base in 16 bits is held in 32, and the model answers nevertheless.

At a learning rate of 1e-5 an update of a weight near 0.02 is lost in the rounding of bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from tests.tiny_model import chat_rows, pair_rows, write_rows
from tests.train.ppo.answering import COLOUR, LORA
from tests.train.running import make_spec, run_worker
from tui_ft.runs import events as ev

GRPO: Final = {
    "kind": "grpo",
    "rewards": [COLOUR],
    "num_generations": 4,
    "max_completion_length": 4,
}
HEAD: Final = {**LORA, "modules_to_save": ["lm_head"]}
SHOWN: Final = {"samples": 1, "sample_max_new_tokens": 2}
CELLS: Final[dict[str, tuple[dict[str, Any], Callable[[int], Any], dict[str, Any]]]] = {
    "sft": ({"kind": "sft"}, chat_rows, {**LORA, "modules_to_save": ["embed_tokens", "lm_head"]}),
    "dpo": ({"kind": "dpo"}, pair_rows, HEAD),
    "grpo": (GRPO, chat_rows, HEAD),
    "biases": ({"kind": "sft"}, chat_rows, {**LORA, "bias": "lora_only"}),
    "norms": ({"kind": "sft"}, chat_rows, {"kind": "ln_tuning"}),
    "qlora": ({"kind": "sft"}, chat_rows, {**HEAD, "kind": "qlora"}),
    "bottleneck": (
        {"kind": "sft"},
        chat_rows,
        {"kind": "bottleneck", "modules_to_save": ["input_layernorm"]},
    ),
}


@pytest.fixture(scope="module")
def tiny_qwen2(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A model with biases, which has the tokenizer of the other."""
    folder = tmp_path_factory.mktemp("qwen2")
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", CELLS)
def test_what_is_trained_beside_a_base_in_16_bits_is_held_in_32(
    tmp_path: Path, tiny_qwen2: Path, name: str
) -> None:
    objective, rows, method = CELLS[name]
    write_rows(tmp_path / "rows.jsonl", rows(20))
    spec = make_spec(
        tmp_path,
        tiny_qwen2,
        objective=objective,
        method=method,
        training={
            "precision": "bf16",
            "max_steps": 2,
            "eval_steps": 2,
            "save_steps": 2,
        },
        evaluation=SHOWN,
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert len(ran.of(ev.Sample)) == 1  # answered outside of the trainer's autocast
    trained = {n: p for n, p in ran.trainer.model.named_parameters() if p.requires_grad}
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    assert any(".lora_" not in one and ".bottleneck_" not in one for one in trained)
    frozen = [p for p in ran.trainer.model.parameters() if not p.requires_grad]
    assert torch.bfloat16 in {parameter.dtype for parameter in frozen}


def test_a_copy_in_float32_learns_what_16_bits_would_lose(tmp_path: Path, tiny_qwen2: Path) -> None:
    """Two steps at 1e-5 move every row of the head by less than bfloat16 can tell."""
    write_rows(tmp_path / "rows.jsonl", chat_rows(20))
    training = {
        "precision": "bf16",
        "max_steps": 2,
        "learning_rate": 1e-5,
        "eval_steps": None,
        "save_steps": None,
    }
    spec = make_spec(tmp_path, tiny_qwen2, method=HEAD, training=training)
    model = run_worker(spec, tmp_path / "run").trainer.model
    head = model.get_base_model().lm_head
    before = head.original_module.weight.detach().float()
    moved = (head.modules_to_save["default"].weight.detach() - before).abs()
    assert (moved > 0).float().mean() > 0.5
    assert moved.max() < 1e-4
