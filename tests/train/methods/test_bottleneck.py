"""Bottleneck adapters: where they stand, what they begin with, and that anybody can load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from tests.memory.models import TINY
from tests.tiny_model import labelled_rows, write_rows
from tests.train.running import make_spec, run_worker
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.moments import moments_of
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step
from tui_ft.models import architecture_of
from tui_ft.models.trainable import trainable_parameters
from tui_ft.spec.bottleneck_places import Placement
from tui_ft.spec.methods import BottleneckMethod
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.adapters import refuse_missing_places
from tui_ft.tuners import bottleneck

SMALL: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"intermediate_size": 64, "num_hidden_layers": 3, "num_key_value_heads": 2},
    "qwen3": {"intermediate_size": 64, "num_hidden_layers": 3, "num_key_value_heads": 2},
    "gemma2": {"intermediate_size": 64, "num_hidden_layers": 3, "num_key_value_heads": 2},
    "phi3": {"intermediate_size": 64, "num_hidden_layers": 3, "num_key_value_heads": 2,
             "pad_token_id": 0},
    "gpt2": {"n_embd": 32, "n_head": 4, "n_layer": 3},
    "gpt_neox": {"intermediate_size": 64, "num_hidden_layers": 3},
    "opt": {"ffn_dim": 64, "num_hidden_layers": 3, "word_embed_proj_dim": 32},
    "falcon": {"num_hidden_layers": 3},
    "bloom": {"n_layer": 3, "n_head": 4},
    "phi": {"intermediate_size": 64, "num_hidden_layers": 3},
    "bert": {"intermediate_size": 64, "num_hidden_layers": 3, "is_decoder": True},
    "modernbert": {"intermediate_size": 64, "num_hidden_layers": 3, "pad_token_id": 0,
                   "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 3, "n_heads": 4},
}  # fmt: skip


def _arguments(placement: Placement, size: int = 5) -> dict[str, Any]:
    found = peft_arguments(BottleneckMethod(placement=placement, bottleneck_size=size))
    assert found is not None
    return found


def _on_meta(family: str, **values: Any) -> nn.Module:
    config = AutoConfig.for_model(family, **{**SMALL, **FAMILIES.get(family, {}), **values})
    encoder = family in ("modernbert", "distilbert")
    kind = AutoModelForSequenceClassification if encoder else AutoModelForCausalLM
    with torch.device("meta"):
        model: nn.Module = kind.from_config(config)
    return model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("placement", "each"), [("houlsby", 2), ("pfeiffer", 1)])
def test_each_layer_of_each_family_has_its_places(
    family: str, placement: Placement, each: int
) -> None:
    model = _on_meta(family)
    refuse_missing_places(BottleneckMethod(placement=placement), model)
    with torch.device("meta"):
        adapted = peft.get_peft_model(
            model, peft.PeftConfig.from_peft_type(**_arguments(placement))
        )
    behind = [one for one in adapted.modules() if isinstance(one, bottleneck.BottleneckLayer)]
    assert len(behind) == each * 3
    assert {bottleneck._outputs(one.get_base_layer()) for one in behind} == {32}
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trained == each * 3 * (2 * 5 * 32 + 32 + 5)


def test_a_mixture_of_experts_is_refused_with_a_way_out() -> None:
    sizes = {"intermediate_size": 64, "num_hidden_layers": 2, "num_key_value_heads": 2}
    mixture = _on_meta("mixtral", num_local_experts=4, **sizes)
    with pytest.raises(RunFailure, match="layer 0 of this MixtralForCausalLM has 0 places"):
        refuse_missing_places(BottleneckMethod(placement="pfeiffer"), mixture)
    refuse_missing_places(BottleneckMethod(target_modules=["self_attn.o_proj"]), mixture)


@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
def test_the_parameters_are_counted_before_anything_is_loaded(placement: Placement) -> None:
    arguments = _arguments(placement)
    config = peft.PeftConfig.from_peft_type(**arguments)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**TINY))
        made = peft.get_peft_model(model, config)
    trained = sum(p.numel() for p in made.parameters() if p.requires_grad)
    assert trainable_parameters(architecture_of(TINY), arguments) == trained


def test_its_memory_is_estimated_as_a_dry_run_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    wide = {**TINY, "hidden_size": 512, "intermediate_size": 1376}
    relu = {**_arguments("pfeiffer", 64), "non_linearity": "relu"}
    base: dict[str, Any] = {"config": wide, "batch": 2, "length": 512, "arithmetic": "bfloat16"}
    steps = [
        Step(**base, adapter=_arguments("houlsby", 64), checkpointing=True, padded=True),
        Step(**{**base, "arithmetic": None}, weights="float32", adapter=relu, objective="dpo"),
    ]
    for step, answer in zip(steps, dry_runs([Question(step=s) for s in steps]), strict=True):
        assert answer.replayed is not None, answer.error
        peak = max(moment.total for moment in moments_of(model_of(step)))
        assert peak == pytest.approx(answer.replayed.allocated, rel=0.02)


def test_it_begins_near_identity_and_is_what_the_paper_says(tiny_llama: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).eval()
    ids = torch.arange(5, 25)[None]
    before = base(ids).logits
    adapted = peft.get_peft_model(
        base, peft.PeftConfig.from_peft_type(**_arguments("houlsby", 16))
    ).eval()
    change = (adapted(ids).logits - before).abs().max()
    assert 0 < change < 0.02 * before.abs().max()
    with adapted.disable_adapter():
        torch.testing.assert_close(adapted(ids).logits, before, rtol=0, atol=0)
    layer = adapted.base_model.model.model.layers[0].mlp.down_proj
    hidden = torch.randn(3, 128)
    plain = layer.base_layer(hidden)
    down, up = layer.bottleneck_down["default"], layer.bottleneck_up["default"]
    nn.init.normal_(up.weight)
    narrow = nn.functional.gelu(plain @ down.weight.T + down.bias)
    torch.testing.assert_close(layer(hidden), plain + narrow @ up.weight.T + up.bias)
    with pytest.raises(ValueError, match="cannot be merged"):
        adapted.merge_and_unload()


def test_those_of_an_encoder_are_loaded_outside_of_a_run(tmp_path: Path, tiny_bert: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", labelled_rows(200))
    ran = run_worker(
        make_spec(
            tmp_path,
            tiny_bert,
            objective={"kind": "classification"},
            method={"kind": "bottleneck", "placement": "houlsby", "bottleneck_size": 16},
            training={"learning_rate": 2e-2, "max_steps": 8, "gradient_checkpointing": True},
        ),
        tmp_path / "run",
    )
    assert ran.ended.state == "finished", ran.ended
    output = ran.folder.output_dir()
    assert (output / "adapter_model.safetensors").is_file()
    base = AutoModelForSequenceClassification.from_pretrained(
        tiny_bert, dtype=torch.float32, num_labels=3
    )
    loaded = bottleneck.load(base, output).eval()
    batch = {"input_ids": torch.arange(5, 15)[None], "attention_mask": torch.ones(1, 10)}
    trained = ran.trainer.model.eval()
    torch.testing.assert_close(loaded(**batch).logits, trained(**batch).logits)
    for layer in loaded.modules():
        if isinstance(layer, bottleneck.BottleneckLayer):
            up: Any = layer.bottleneck_up["default"]
            assert up.weight.abs().max() > 2 * bottleneck._SPREAD
    peft.LoraConfig(target_modules=["q_proj"]).save_pretrained(str(tmp_path / "lora"))
    with pytest.raises(ValueError, match="peft loads it by itself"):
        bottleneck.load(base, tmp_path / "lora")
