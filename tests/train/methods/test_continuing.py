"""A run that trains an earlier run's adapter further, on the same base."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, load_peft_weights
from transformers import AutoModelForCausalLM

from tests.tiny_model import judged_rows, labelled_rows, pair_rows, write_rows
from tests.train.methods.test_bases import logits_of
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.hub.outputs import bases_of
from tui_ft.runs.checks import preflight
from tui_ft.spec import RunSpec
from tui_ft.train.model import load_model
from tui_ft.train.precision import Precision
from tui_ft.tuners import bottleneck

LORA = {"kind": "lora", "r": 8, "lora_alpha": 16}
QLORA = {**LORA, "kind": "qlora"}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {**LORA, "use_dora": True, "modules_to_save": ["embed_tokens"]},
    "qlora": QLORA,
    "ia3": {"kind": "ia3"},
    "bottleneck": {"kind": "bottleneck", "bottleneck_size": 8},
    "ln_tuning": {"kind": "ln_tuning"},
    "peft": {"kind": "peft", "peft_type": "LOHA", "arguments": {"r": 4, "alpha": 8,
             "target_modules": ["q_proj", "v_proj"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def sft(own_home: Path, tiny_llama: Path) -> dict[str, Ran]:
    """Return for each method a run of SFT."""
    found: dict[str, Ran] = {}
    for name, method in METHODS.items():
        training = {"learning_rate": 1e-2, "max_steps": 8, "eval_steps": None, "save_steps": None}
        spec = make_spec(own_home, tiny_llama, method=method, training=training)
        found[name] = run_worker(spec, own_home / "runs" / f"sft-{name}")
        assert found[name].ended.state == "finished", found[name].ended
    return found


def _further(own_home: Path, tiny: Path, name: str, **groups: Any) -> RunSpec:
    kind = METHODS[name]["kind"]
    method = {"kind": kind} if kind != "peft" else {"kind": kind, "peft_type": "LOHA"}
    return make_spec(
        own_home,
        tiny,
        **{
            "model": {"name_or_path": f"run:sft-{name}", "adapter": "continue"},
            "method": method,
            "training": {"learning_rate": 1e-2, "max_steps": 2, "eval_steps": None,
                         "save_steps": None},
            **groups,
        },
    )  # fmt: skip


def _pairs(own_home: Path, **objective: Any) -> dict[str, Any]:
    rows = own_home / "pairs.jsonl"
    if not rows.exists():
        write_rows(rows, pair_rows(40))
    return {"data": {"train": str(rows)}, "objective": {"kind": "dpo", **objective}}


def _left(run: Ran, base: Any) -> Any:
    """Return the model that a run left, its adapter put on as people do."""
    bottleneck.register()
    return PeftModel.from_pretrained(base, str(run.folder.path / "adapter"))


def _base(spec: RunSpec) -> Any:
    return load_model(spec, Precision("fp32", torch.float32), False)


@pytest.mark.parametrize("name", list(METHODS))
def test_dpo_begins_at_the_adapter_that_sft_left_and_is_compared_with_it(
    sft: dict[str, Ran], own_home: Path, tiny_llama: Path, name: str
) -> None:
    spec = _further(own_home, tiny_llama, name, **_pairs(own_home))
    run = run_worker(spec, own_home / "runs" / f"dpo-{name}")
    assert run.ended.state == "finished", run.ended
    assert run.losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert run.losses[1] != pytest.approx(math.log(2), abs=1e-4)
    model = run.trainer.model
    with torch.no_grad():
        trained = logits_of(model, tiny_llama)
        model.set_adapter("ref")
        reference = logits_of(model, tiny_llama)
        model.set_adapter("default")
    first = sft[name].trainer.model
    assert torch.allclose(reference, logits_of(first, tiny_llama), atol=1e-5)
    assert (trained - reference).abs().max() > 1e-3

    output = run.folder.path / "adapter"
    assert not (output / "ref").exists()
    config = json.loads((output / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_llama)
    assert bases_of(str(output))[0] == {"kind": "model", "name": str(tiny_llama)}
    assert not (own_home / "models").exists()  # nothing was merged
    loaded = _left(run, _base(sft[name].folder.spec()))
    assert torch.allclose(logits_of(loaded, tiny_llama), trained, atol=1e-5)


def test_sft_goes_on_where_it_was(sft: dict[str, Ran], own_home: Path, tiny_llama: Path) -> None:
    run = run_worker(_further(own_home, tiny_llama, "lora"), own_home / "runs" / "more")
    assert run.ended.state == "finished", run.ended
    before, begun = sft["lora"].losses, run.losses[0]
    assert before[0] is not None and before[-1] is not None and begun is not None
    assert abs(begun - before[-1]) < (before[0] - before[-1]) / 5
    assert list(run.trainer.model.peft_config) == ["default"]
    plan = [sft["lora"], run]
    first, second = (one.history.plan for one in plan)
    assert first is not None and second is not None
    assert first.trainable_parameters == second.trainable_parameters
    assert run.trainer.model.peft_config["default"].r == 8


def test_resumed_it_comes_to_the_same_and_keeps_its_reference(
    sft: dict[str, Ran], own_home: Path, tiny_llama: Path
) -> None:
    training = {"learning_rate": 1e-2, "max_steps": 4, "eval_steps": None, "save_steps": 2}
    spec = _further(own_home, tiny_llama, "qlora", training=training, **_pairs(own_home))
    whole = run_worker(spec, own_home / "runs" / "whole")
    (own_home / "runs" / "torn").mkdir()
    torn = own_home / "runs" / "torn" / "checkpoints"
    torn.mkdir()
    (whole.folder.checkpoints_dir / "checkpoint-2").rename(torn / "checkpoint-2")
    assert not (torn / "checkpoint-2" / "ref").exists()
    again = run_worker(spec, own_home / "runs" / "torn", resume=True)
    assert again.ended.state == "finished", again.ended
    assert again.losses[-2:] == pytest.approx(whole.losses[-2:], abs=1e-6)
    one, other = (load_peft_weights(str(r.folder.path / "adapter")) for r in (whole, again))
    assert all(torch.allclose(one[key], other[key], atol=1e-6) for key in one)


ONLINE: dict[str, Any] = {"max_completion_length": 8, "rewards": [{"kind": "length", "most": 4}]}
OTHERS: dict[str, dict[str, Any]] = {
    "kto": {"kind": "kto"},
    "dpo asked beforehand": {"kind": "dpo", "precompute_ref_log_probs": True},
    "orpo": {"kind": "orpo"},
    "grpo": {"kind": "grpo", "beta": 0.1, "num_generations": 4, **ONLINE},
    "rloo": {"kind": "rloo", "num_generations": 4, **ONLINE},
    "ppo": {"kind": "ppo", "num_ppo_epochs": 1, **ONLINE},
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_every_objective_is_compared_with_the_adapter_as_it_was(
    sft: dict[str, Ran], own_home: Path, tiny_llama: Path, name: str
) -> None:
    rows = write_rows(own_home / "judged.jsonl", judged_rows(40))
    judged = {"data": {"train": str(rows)}} if name == "kto" else {}
    groups = {**_pairs(own_home), **judged, "objective": OTHERS[name]}
    if "rewards" in OTHERS[name]:
        groups["data"] = {"train": str(own_home / "rows.jsonl")}
    training = {"learning_rate": 1e-6, "max_steps": 1, "eval_steps": None, "save_steps": None}
    spec = _further(own_home, tiny_llama, "qlora", training=training, **groups)
    run = run_worker(spec, own_home / "runs" / name.replace(" ", "-"))
    assert run.ended.state == "finished", run.ended
    logged = {k: v for one in run.trainer.state.log_history for k, v in one.items()}
    compares = name != "orpo"
    assert ("ref" in run.trainer.model.peft_config) == compares
    if name.startswith("dpo"):
        assert run.losses[0] == pytest.approx(math.log(2), abs=1e-5)
    if "kl" in logged:
        assert logged["kl"] == pytest.approx(0, abs=1e-5)
    if name == "kto":
        assert run.losses[0] == pytest.approx(0.5, abs=1e-4)


def test_a_classifier_goes_on_with_its_head(own_home: Path, tiny_bert: Path) -> None:
    rows = write_rows(own_home / "labelled.jsonl", labelled_rows(200))
    group = {"data": {"train": str(rows)}, "objective": {"kind": "classification"}}
    training = {"learning_rate": 1e-2, "max_steps": 4, "eval_steps": None, "save_steps": None}
    spec = make_spec(own_home, tiny_bert, method=LORA, training=training, **group)
    first = run_worker(spec, own_home / "runs" / "classify")
    model = {"name_or_path": "run:classify", "adapter": "continue"}
    barely = {**training, "learning_rate": 1e-9, "max_steps": 1}
    second = run_worker(
        make_spec(
            own_home, tiny_bert, model=model, method={"kind": "lora"}, training=barely, **group
        ),
        own_home / "runs" / "classify-more",
    )
    assert second.ended.state == "finished", second.ended
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        one, other = (run.trainer.model.eval()(input_ids=ids).logits for run in (first, second))
    assert torch.allclose(one, other, atol=1e-5)
    loaded = load_peft_weights(str(second.folder.path / "adapter"))
    assert any("classifier" in name for name in loaded)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"method": {"kind": "lora", "r": 4}}, "method.r is 4, and 8 in the adapter"),
        ({"method": {"kind": "lora", "target_modules": ["q_proj"]}}, "method.target_modules is"),
        ({"method": {"kind": "lora", "extra": {"alpha_pattern": {"q": 1}}}}, "method.extra.alpha"),
        ({"method": {"kind": "ia3"}}, "method.kind is ia3, and the adapter"),
        ({"method": {"kind": "full"}}, "trains weights of the model itself"),
        ({"method": {"kind": "lora", "init_lora_weights": "pissa"}}, "where a new adapter begins"),
        ({"objective": {"kind": "reward"}}, "generates text"),
        ({"model": {"name_or_path": "TINY", "adapter": "continue"}}, "is no adapter"),
    ],
)
def test_what_contradicts_the_adapter_is_told_with_its_key(
    sft: dict[str, Ran], own_home: Path, tiny_llama: Path, groups: dict[str, Any], said: str
) -> None:
    if "model" in groups:
        groups = {"model": {**groups["model"], "name_or_path": str(tiny_llama)}}
    pairs = _pairs(own_home)
    spec = _further(own_home, tiny_llama, "lora", **{**pairs, **groups})
    bad = [one.text for one in preflight.check(spec, own_home) if one.severity == "bad"]
    assert any(said in text for text in bad), bad


def test_the_preflight_says_what_is_trained_further(
    sft: dict[str, Ran], own_home: Path, tiny_llama: Path
) -> None:
    spec = _further(own_home, tiny_llama, "qlora", **_pairs(own_home))
    found = preflight.check(spec, own_home)
    assert not [one for one in found if one.severity == "bad"], found
    (note,) = [one.text for one in found if "trained further" in one.text]
    assert "LORA r 8, lora_alpha 16" in note


def test_an_adapter_of_another_base_is_told_by_name(
    sft: dict[str, Ran], own_home: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    source = sft["peft"].folder.path / "adapter"
    config = json.loads((source / "adapter_config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model.config.intermediate_size = 128
    wrong = {**config, "r": 2}
    (tmp_path / "adapter_config.json").write_text(json.dumps(wrong))
    (tmp_path / "adapter_model.safetensors").write_bytes(
        (source / "adapter_model.safetensors").read_bytes()
    )
    spec = _further(own_home, tiny_llama, "peft", model={"name_or_path": str(tmp_path),
                    "adapter": "continue"})  # fmt: skip
    run = run_worker(spec, own_home / "runs" / "unfit")
    assert run.ended.state == "failed"
    assert "does not fit its base" in run.ended.reason
