"""AdaLoRA's pull towards orthogonal updates, in the loss of every objective, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.tiny_model import (
    chat_rows,
    judged_rows,
    labelled_rows,
    pair_rows,
    text_rows,
    write_rows,
)
from tests.train.running import make_spec, run_worker
from tui_ft.train.methods.ranks import Orthogonality

ROWS: dict[str, Any] = {
    "sft": chat_rows,
    "pretraining": text_rows,
    "dpo": pair_rows,
    "kto": judged_rows,
    "orpo": pair_rows,
    "cpo": pair_rows,
    "reward": pair_rows,
    "classification": labelled_rows,
}


def test_it_is_what_peft_adds_where_it_does(tiny_llama: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    config = AdaLoraConfig(
        task_type="CAUSAL_LM",
        init_r=4,
        target_r=2,
        total_step=100,
        orth_reg_weight=0.5,
        target_modules=["q_proj"],
    )
    model = get_peft_model(base, config).eval()
    ids = torch.arange(5, 25)[None]
    with_term = model(input_ids=ids, labels=ids).loss
    with_term.backward()
    theirs = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.peft_config["default"].orth_reg_weight = 0.0
    without = model(input_ids=ids, labels=ids).loss
    without.backward()
    value = Orthogonality(model, 0.5).add_gradients(1.0)
    assert float(value) == pytest.approx(float(with_term - without), rel=1e-4)
    for name, parameter in model.named_parameters():
        if name in theirs:
            torch.testing.assert_close(parameter.grad, theirs[name])


@pytest.mark.parametrize("kind", ROWS)
def test_it_pulls_in_every_objective(tmp_path: Path, tiny_llama: Path, kind: str) -> None:
    write_rows(tmp_path / "rows.jsonl", ROWS[kind](24))
    method = {"kind": "adalora", "init_r": 8, "target_r": 4, "orth_reg_weight": 10.0}
    steps = {"learning_rate": 1e-2, "max_steps": 4, "eval_steps": None, "save_steps": None}
    ran = run_worker(
        make_spec(
            tmp_path,
            tiny_llama,
            objective={"kind": kind},
            method=method,
            training={**steps, "per_device_train_batch_size": 4},
            data={"eval_fraction": 0},
            hardware={"gpus": "none", "cpu_threads": 1},
        ),
        tmp_path / "run",
    )
    assert ran.ended.state == "finished", ran.ended
    shown = [value or 0.0 for value in ran.history.metrics["orth_penalty"].y]
    assert shown[-1] < 0.99 * shown[0]
    first, task = ran.losses[0] or 0.0, {"dpo": 0.6931}
    if kind in task:  # once, and not twice: it is part of the loss shown
        assert first == pytest.approx(shown[0] + task[kind], rel=1e-3)
    if kind == "classification":
        assert first < shown[0] + 3
    config = json.loads((ran.folder.output_dir() / "adapter_config.json").read_text())
    assert config["orth_reg_weight"] == 10.0
