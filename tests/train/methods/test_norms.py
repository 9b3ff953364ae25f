"""Layer-norm tuning on models some of whose norms, or all, have no weights to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import peft
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Llama4TextConfig,
    ModernBertConfig,
    OlmoConfig,
    StableLmConfig,
)

from tui_ft.eject.adapter_lines import adapter_of
from tui_ft.models import architecture_of
from tui_ft.models.targets import AdapterError
from tui_ft.models.trainable import trainable_parameters
from tui_ft.spec.methods import LnTuningMethod
from tui_ft.spec.norm_places import NORMS
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.adapters import leave_out_weightless_norms, norms_of_checkpoint

SMALL: Final[dict[str, Any]] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize(
    ("config", "trained"),
    [
        (StableLmConfig(**SMALL, num_key_value_heads=2, qk_layernorm=True), 2 * (48 + 128) + 64),
        (
            Llama4TextConfig(
                **SMALL,
                num_key_value_heads=2,
                head_dim=8,
                num_local_experts=2,
                intermediate_size_mlp=64,
            ),
            160,
        ),
    ],
    ids=["a norm for each head", "no weights in one of each layer"],
)
def test_what_has_no_weights_is_left_out(config: Any, trained: int) -> None:
    model = AutoModelForCausalLM.from_config(config)
    adapter = peft.LNTuningConfig(target_modules=NORMS)
    leave_out_weightless_norms(adapter, model)
    adapted = peft.get_peft_model(model, adapter)
    adapted(input_ids=torch.ones(1, 4, dtype=torch.long))
    learns = [one for one in adapted.parameters() if one.requires_grad]
    assert sum(one.numel() for one in learns) == trained


def test_the_script_leaves_out_what_has_no_weights() -> None:
    experts = {"num_local_experts": 2, "intermediate_size_mlp": 64}
    config = Llama4TextConfig(**SMALL, num_key_value_heads=2, head_dim=8, **experts)
    model = AutoModelForCausalLM.from_config(config)
    written = adapter_of(LnTuningMethod(), scores=False)
    assert written is not None
    names = {"model": model, "LNTuningConfig": peft.LNTuningConfig}
    (adapter,) = eval("\n".join(written.lines), names)
    adapted = peft.get_peft_model(model, adapter)
    learns = [one for one in adapted.parameters() if one.requires_grad]
    assert sum(one.numel() for one in learns) == 160


def test_a_place_without_a_norm_is_left_out() -> None:
    config = ModernBertConfig(**SMALL, cls_token_id=1, sep_token_id=2)
    model = AutoModelForSequenceClassification.from_config(config)
    adapter = peft.LNTuningConfig(target_modules=NORMS)
    leave_out_weightless_norms(adapter, model)
    assert adapter.exclude_modules == ["model.layers.0.attn_norm"]
    peft.get_peft_model(model, adapter)


def test_norms_without_weights_are_refused_in_words() -> None:
    config = OlmoConfig(**SMALL)
    with pytest.raises(RunFailure, match="OlmoForCausalLM have no weights"):
        leave_out_weightless_norms(
            peft.LNTuningConfig(target_modules=NORMS), AutoModelForCausalLM.from_config(config)
        )
    with pytest.raises(AdapterError, match="have no weights"):
        trainable_parameters(
            architecture_of(config.to_dict()), {"peft_type": "LN_TUNING", "target_modules": NORMS}
        )


def test_a_run_goes_on_with_the_norms_that_it_began_with(tmp_path: Path) -> None:
    peft.LNTuningConfig(target_modules=["input_layernorm"]).save_pretrained(
        tmp_path / "checkpoint-2"
    )
    adapter = peft.LNTuningConfig(target_modules=NORMS)
    norms_of_checkpoint(adapter, tmp_path)
    assert adapter.target_modules in ({"input_layernorm"}, ["input_layernorm"])
