"""SFT, a reward model on its output, then RLOO with both: a real model through real processes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from tests.chains.conftest import ended, wait_until
from tests.tiny_model import chat_rows, pair_rows, write_rows
from tui_ft import paths
from tui_ft.chains.check import check_chain
from tui_ft.chains.life import absolute, start
from tui_ft.chains.pipelines import PIPELINES
from tui_ft.spec.chain import load_chain

SMALL = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_length": 64,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "eval_steps": None,
    "save_steps": None,
    "max_steps": 3,
}


def test_rlhf_from_its_pipeline(home: Path, tiny_llama: Path, tmp_path: Path) -> None:
    chats = write_rows(tmp_path / "chats.jsonl", chat_rows(40))
    pairs = write_rows(tmp_path / "pairs.jsonl", pair_rows(40))
    data = {"sft": str(chats), "reward": str(pairs), "rloo": str(chats)}
    values = yaml.safe_load(PIPELINES["rlhf-rloo"].to_yaml(str(tiny_llama), data, "tiny"))
    for stage in values["stages"]:
        stage["run"]["training"] = SMALL
        stage["run"]["hardware"] = {"gpus": "none", "cpu_threads": 1}
        stage["run"]["evaluation"] = {"samples": 0}
    values["stages"][2]["run"]["objective"] |= {"max_completion_length": 8, "num_generations": 2}
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(values))
    chain = absolute(load_chain(file), tmp_path)
    assert not any(one.is_refused for one in check_chain(chain))
    status = wait_until(start(chain), ended, 240)
    assert status.state == "finished", status
    assert status.stages[2].takes == ("sft", "reward")

    sft, rloo = (paths.runs_dir() / f"tiny-{name}" for name in ("sft", "rloo"))
    chained = json.loads((rloo / "report.json").read_text())
    assert [one.get("run") for one in chained["bases"]] == [None, "tiny-sft"]
    assert (rloo / "run.yaml").read_text().count(str(paths.runs_dir() / "tiny-reward")) == 1
    ids = torch.arange(8)[None]
    with torch.no_grad():
        bare = AutoModelForCausalLM.from_pretrained(tiny_llama)(ids).logits
        after_sft = AutoPeftModelForCausalLM.from_pretrained(sft / "adapter")(ids).logits
        last = AutoPeftModelForCausalLM.from_pretrained(rloo / "adapter")
        with last.disable_adapter():
            under = last(ids).logits
    assert torch.allclose(under, after_sft, atol=1e-5)
    assert not torch.allclose(under, bare, atol=1e-3)
