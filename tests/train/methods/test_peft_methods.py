"""Methods of peft's that are passed on: each trains, is saved, loaded and resumed as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import AutoModelForCausalLM

from tests.tiny_model import pair_rows, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.spec import peft_configs
from tui_ft.spec.methods import PeftMethod
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods import peft_signatures
from tui_ft.train.methods.adapters import adapter_config

QV: Final = {"target_modules": ["q_proj", "v_proj", "down_proj"]}
STEPS: Final = 8

# Arguments, learning rate, and how far the loss falls at least.
CELLS: Final[dict[str, tuple[dict[str, Any], float, float]]] = {
    "LOHA": ({**QV, "r": 8, "alpha": 16}, 2e-2, 0.1),
    "LOKR": ({**QV, "r": 8, "alpha": 16}, 2e-2, 0.1),
    "OFT": ({**QV, "oft_block_size": 16}, 2e-2, 0.1),
    "BOFT": ({**QV, "boft_block_size": 8}, 2e-2, 0.1),
    "VERA": ({**QV, "r": 64}, 5e-2, 0.02),
    "FOURIERFT": ({**QV, "n_frequency": 200, "random_loc_seed": 1}, 0.2, 0.02),
    "CARTRIDGE": ({"num_virtual_tokens": 8}, 0.1, 0.02),
}


def test_the_facts_that_are_shipped_are_pefts_own() -> None:
    for name, facts in peft_configs.shipped().items():
        assert peft_signatures.facts_of(PEFT_TYPE_TO_CONFIG_MAPPING[name]) == facts, name
    known = {*get_args(peft_configs.PeftTypeName), *peft_configs.OWN_KIND, *peft_configs.CANNOT}
    assert {str(getattr(n, "value", n)) for n in PEFT_TYPE_TO_CONFIG_MAPPING} - {
        "BOTTLENECK"
    } == known
    shipped = Path(peft_configs.__file__).with_name("peft_configs.json").read_text()
    assert peft_signatures.as_shipped(peft_configs.shipped()) == shipped


def _spec(folder: Path, model: Path, name: str, **groups: Any) -> Any:
    arguments, rate, _ = CELLS[name]
    steps: dict[str, Any] = {
        **{"max_steps": STEPS, "eval_steps": STEPS // 2, "save_steps": STEPS // 2},
        **groups.pop("training", {}),
    }
    return make_spec(
        folder,
        model,
        method={"kind": "peft", "peft_type": name, "arguments": arguments},
        training={"learning_rate": rate, **steps},
        hardware={"gpus": "none", "cpu_threads": 1},
        **groups,
    )


def _logits(model: Any) -> torch.Tensor:
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits[:, -20:].clone()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CELLS)
def test_it_trains_and_is_loaded_and_resumed(tmp_path: Path, tiny_llama: Path, name: str) -> None:
    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == STEPS // 2:
            send("stop")

    spec = _spec(tmp_path, tiny_llama, name, training={"load_best_model_at_end": False})
    whole = run_worker(spec, tmp_path / "whole")
    assert whole.ended.state == "finished", whole.ended
    losses = [loss for loss in whole.losses if loss is not None]
    assert sum(losses[-2:]) / 2 < losses[0] - CELLS[name][2]
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    before = _logits(base)
    loaded = PeftModel.from_pretrained(base, whole.folder.output_dir())
    torch.testing.assert_close(_logits(loaded), _logits(whole.trainer.model), rtol=0, atol=1e-4)
    with loaded.disable_adapter():
        torch.testing.assert_close(_logits(loaded), before, rtol=0, atol=1e-6)
    run_worker(spec, tmp_path / "halves", on_event=stop)
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-5)


# What those ask for on a model this small that do not go with peft's own defaults.
SMALL: Final[dict[str, dict[str, Any]]] = {
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1},
    "C3A": {"block_size": 16},
    "CARTRIDGE": {"num_virtual_tokens": 4},
    "FOURIERFT": {"n_frequency": 50},
    "ROAD": {"group_size": 16},
    "SHIRA": {"r": 4},
    "TRAINABLE_TOKENS": {"token_indices": [5, 6, 7]},
    "VBLORA": {"vector_length": 16, "num_vectors": 8},
    "WAVEFT": {"n_frequency": 50},
}


@pytest.mark.parametrize("name", get_args(peft_configs.PeftTypeName))
def test_every_one_that_is_passed_on_takes_a_step(tiny_llama: Path, name: Any) -> None:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    where = {"target_modules": ["q_proj", "v_proj"]}
    if "target_modules" not in peft_configs.shipped()[name] or name in _OWN_PLACES:
        where = {}
    method = PeftMethod(peft_type=name, arguments={**where, **SMALL.get(name, {})})
    model = get_peft_model(base, adapter_config(method)).train()
    ids = torch.arange(5, 25)[None]
    model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    assert sum(p.numel() for p in trained) < 0.5 * sum(p.numel() for p in base.parameters())


_OWN_PLACES: Final = ("ADAPTION_PROMPT", "TRAINABLE_TOKENS")


def test_preferences_are_learned_with_it_switched_off_as_reference(
    tmp_path: Path, tiny_llama: Path
) -> None:
    write_rows(tmp_path / "rows.jsonl", pair_rows(60))
    ran = run_worker(
        _spec(tmp_path, tiny_llama, "LOHA", objective={"kind": "dpo"}), tmp_path / "run"
    )
    assert ran.ended.state == "finished", ran.ended
    assert ran.losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert (ran.history.metrics["rewards/margins"].y[-1] or 0) > 0.05


def _failed(folder: Path, model: Path, peft_type: str, arguments: dict[str, Any]) -> Ran:
    method = {"kind": "peft", "peft_type": peft_type, "arguments": arguments}
    return run_worker(make_spec(folder, model, method=method), folder / "run")


def test_what_does_not_fit_the_model_is_said_in_pefts_words(
    tmp_path: Path, tiny_llama: Path
) -> None:
    ran = _failed(tmp_path, tiny_llama, "OFT", {**QV, "oft_block_size": 7, "r": 3})
    assert ran.ended.state == "failed"
    assert "peft" in ran.ended.reason
    ran = _failed(tmp_path, tiny_llama, "ROAD", {**QV, "group_size": 60})
    assert ran.ended.reason.startswith("peft cannot put ROAD onto this model: ")
    assert "group_size" in ran.ended.reason
    assert ran.ended.advice == ("mend method.arguments",)


def test_another_peft_may_take_other_arguments(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclasses.dataclass
    class Older:
        rank: int = 8

    spec = _spec(tmp_path, tiny_llama, "LOHA")
    monkeypatch.setitem(PEFT_TYPE_TO_CONFIG_MAPPING, "LOHA", Older)
    with pytest.raises(RunFailure, match="LOHA has no argument") as caught:
        adapter_config(spec.method)
    assert "peft 0." in caught.value.reason
    monkeypatch.delitem(PEFT_TYPE_TO_CONFIG_MAPPING, "LOHA")
    with pytest.raises(RunFailure, match="has no such method"):
        adapter_config(spec.method)
