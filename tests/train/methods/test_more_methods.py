"""Methods beside full, LoRA and QLoRA: each trains for real, and loads on the base as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import safetensors.torch
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from tests.tiny_model import pair_rows, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.train.model import _keep_as_quantised

TASK: Final = "What colour is it?"


@dataclass(frozen=True)
class Cell:
    """A method, its learning rate, and how far the loss falls at least in 20 steps."""

    method: dict[str, Any]
    rate: float
    falls: float
    checkpointing: bool = False


LORA: Final = {"kind": "lora", "r": 8, "lora_alpha": 16}
BOTTLENECK: Final = {"kind": "bottleneck", "bottleneck_size": 16}
CELLS: Final = {
    "gaussian": Cell({**LORA, "init_lora_weights": "gaussian"}, 2e-2, 0.3),
    "pissa": Cell({**LORA, "init_lora_weights": "pissa"}, 1e-2, 0.3),
    "pissa with a quick svd": Cell({**LORA, "init_lora_weights": "pissa_niter_4"}, 1e-2, 0.3),
    "olora": Cell({**LORA, "init_lora_weights": "olora"}, 1e-2, 0.3),
    "loftq": Cell({**LORA, "kind": "qlora", "init_lora_weights": "loftq"}, 2e-2, 0.3),
    "8 bits": Cell({**LORA, "kind": "qlora", "bits": 8}, 2e-2, 0.3),
    "adalora": Cell({"kind": "adalora", "init_r": 8, "target_r": 4}, 5e-2, 0.3),
    "freeze": Cell({"kind": "freeze", "num_trainable_layers": 1}, 1e-2, 0.3),
    "ia3": Cell({"kind": "ia3"}, 0.1, 0.01),
    "ln tuning": Cell({"kind": "ln_tuning"}, 5e-2, 0.3),
    "houlsby": Cell({**BOTTLENECK, "placement": "houlsby"}, 1e-2, 0.3, checkpointing=True),
    "pfeiffer": Cell({**BOTTLENECK, "non_linearity": "relu"}, 1e-2, 0.3),
    "prompt tuning": Cell({"kind": "prompt_tuning", "prompt_tuning_init_text": TASK}, 0.3, 0.05),
    "prefix tuning": Cell({"kind": "prefix_tuning"}, 0.3, 0.02, checkpointing=True),
    "p-tuning": Cell({"kind": "p_tuning", "encoder_hidden_size": 64}, 1e-2, 0.05),
}


QUANTISED: Final = {
    "8 bits": BitsAndBytesConfig(load_in_8bit=True),
    "loftq": BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    ),
}


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Any:
    """Return a function that trains a cell once and keeps its run and its logits."""
    done: dict[str, tuple[Ran, torch.Tensor]] = {}

    def train_once(name: str) -> tuple[Ran, torch.Tensor]:
        if name not in done:
            folder = tmp_path_factory.mktemp("method")
            ran = _run(CELLS[name], folder, tiny_llama)
            assert ran.ended.state == "finished", ran.ended
            done[name] = ran, _logits(ran.trainer.model, tiny_llama)
        return done[name]

    return train_once


def _run(cell: Cell, folder: Path, model: Path, **groups: Any) -> Ran:
    training = {"learning_rate": cell.rate, "gradient_checkpointing": cell.checkpointing}
    spec = make_spec(
        folder,
        model,
        method=cell.method,
        training={**training, **groups.pop("training", {})},
        hardware={"gpus": "none", "cpu_threads": 1},
        **groups,
    )
    return run_worker(spec, folder / "run")


def _logits(model: Any, base: Path) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        batch = AutoTokenizer.from_pretrained(base)("erin has a red carrot", return_tensors="pt")
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits[:, -batch["input_ids"].shape[1] :].float().clone()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CELLS)
def test_the_loss_falls(train: Any, name: str) -> None:
    losses = [loss for loss in train(name)[0].losses if loss is not None]
    assert len(losses) == 20
    assert sum(losses[-3:]) / 3 < losses[0] - CELLS[name].falls


@pytest.mark.parametrize("name", CELLS)
def test_on_its_base_it_gives_the_same_logits(train: Any, name: str, tiny_llama: Path) -> None:
    ran, expected = train(name)
    output = ran.folder.output_dir()
    if name == "freeze":
        loaded = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
    else:
        base = AutoModelForCausalLM.from_pretrained(
            tiny_llama, dtype=torch.float32, quantization_config=QUANTISED.get(name)
        )
        _keep_as_quantised(base)
        loaded = PeftModel.from_pretrained(base, output)
    torch.testing.assert_close(_logits(loaded, tiny_llama), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["pissa", "olora"])
def test_what_took_from_the_base_is_saved_as_a_plain_lora(train: Any, name: str) -> None:
    config = json.loads((train(name)[0].folder.output_dir() / "adapter_config.json").read_text())
    assert config["init_lora_weights"] is True
    assert config["r"] == 16  # the trained update and the one it began with


def test_adalora_takes_ranks_where_they_matter_least(train: Any) -> None:
    output = train("adalora")[0].folder.output_dir()
    pattern = json.loads((output / "adapter_config.json").read_text())["rank_pattern"]
    ranks = [sum(kept) for kept in pattern.values()]
    assert len(ranks) == 14  # seven linear layers in each of two blocks
    assert sum(ranks) == 4 * 14
    assert len(set(ranks)) > 1


def test_only_the_last_layer_and_what_follows_is_changed(train: Any, tiny_llama: Path) -> None:
    before = safetensors.torch.load_file(tiny_llama / "model.safetensors")
    output = train("freeze")[0].folder.output_dir()
    after = safetensors.torch.load_file(output / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("model.layers.1.", "model.norm")) for name in changed)


def test_more_layers_than_there_are_is_refused(tmp_path: Path, tiny_llama: Path) -> None:
    ran = _run(Cell({"kind": "freeze", "num_trainable_layers": 9}, 1e-3, 0), tmp_path, tiny_llama)
    assert "the model has 2 layers" in ran.ended.reason


def test_prefix_tuning_turns_checkpointing_off_with_a_word(train: Any) -> None:
    notes = [alert.text for alert in train("prefix tuning")[0].of(ev.Alert)]
    assert any("checkpointing, which is turned off" in note for note in notes)


@pytest.mark.parametrize(
    "method",
    [
        {"kind": "p_tuning", "encoder_hidden_size": 64},
        {"kind": "prefix_tuning", "prefix_projection": True, "encoder_hidden_size": 32},
        {"kind": "prompt_tuning"},
        {"kind": "adalora", "init_r": 8, "target_r": 4},
        {"kind": "lora", "init_lora_weights": "olora"},
        {**BOTTLENECK, "placement": "houlsby"},
    ],
    ids=lambda method: str(method["kind"]),
)
def test_it_resumes_to_the_same_curve_and_its_best_is_kept(
    tmp_path: Path, tiny_llama: Path, method: dict[str, Any]
) -> None:
    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == 7:
            send("stop")

    training = {"learning_rate": 1e-2, "max_steps": 14, "eval_steps": 7, "save_steps": 7}
    hardware = {"gpus": "none", "cpu_threads": 1}
    spec = make_spec(tmp_path, tiny_llama, method=method, training=training, hardware=hardware)
    whole = run_worker(spec, tmp_path / "whole")
    assert whole.ended.state == "finished", whole.ended
    report = json.loads(whole.folder.report_file.read_text())
    assert whole.trainer.evaluate()["eval_loss"] == pytest.approx(report["eval_loss"], abs=1e-4)
    stopped = run_worker(spec, tmp_path / "halves", on_event=stop)
    assert stopped.ended.state == "stopped"
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)


def test_a_prompt_begins_with_the_tokens_of_its_text(train: Any, tiny_llama: Path) -> None:
    config = json.loads(
        (train("prompt tuning")[0].folder.output_dir() / "adapter_config.json").read_text()
    )
    assert (config["prompt_tuning_init"], config["prompt_tuning_init_text"]) == ("TEXT", TASK)
    assert config["num_virtual_tokens"] == 8


@pytest.mark.parametrize("name", ["prompt tuning", "ia3", "freeze", "houlsby"])
def test_preferences_are_learned_by_them_as_well(
    tmp_path: Path, tiny_llama: Path, name: str
) -> None:
    write_rows(tmp_path / "rows.jsonl", pair_rows(80))
    ran = _run(
        CELLS[name], tmp_path, tiny_llama, objective={"kind": "dpo"}, training={"max_steps": 10}
    )
    assert ran.ended.state == "finished", ran.ended
    assert ran.losses[0] == pytest.approx(0.6931, abs=1e-3)
    margins = ran.history.metrics["rewards/margins"].y
    assert margins[-1] is not None
    assert margins[-1] > 0.05


def test_what_cannot_go_together_is_refused_before_anything_is_loaded(
    tmp_path: Path, tiny_llama: Path
) -> None:
    write_rows(tmp_path / "rows.jsonl", pair_rows(20))
    ran = _run(CELLS["pissa"], tmp_path, tiny_llama, objective={"kind": "dpo"})
    assert ran.ended.state == "failed"
    assert "no reference for dpo" in ran.ended.reason
    assert ran.ended.advice == ("set method.init_lora_weights to default",)
    assert not [phase for phase in ran.of(ev.Phase) if phase.phase == "tokenise"]
