"""What peft would refuse of a method on a model is said before the model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import chat_rows, write_rows
from tui_ft.runs.checks.adapter_fit import adapter_misfit
from tui_ft.runs.checks.preflight import check
from tui_ft.spec import RunSpec, build_spec

MIXTRAL = {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 100,
}
LLAMA = {
    **{name: value for name, value in MIXTRAL.items() if "expert" not in name},
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
}
EXPERTS = {"kind": "lora", "target_modules": ["q_proj", "w1", "w2", "w3"]}


def _spec(folder: Path, config: dict[str, Any], method: dict[str, Any]) -> RunSpec:
    (folder / "config.json").write_text(json.dumps(config))
    rows = write_rows(folder / "rows.jsonl", chat_rows(30))
    values = {"model": {"name_or_path": str(folder)}, "data": {"train": str(rows)}}
    return build_spec({**values, "method": method})


@pytest.mark.parametrize(
    ("config", "method", "said"),
    [
        (MIXTRAL, {**EXPERTS, "use_dora": True}, "by plain LoRA only: do without use_dora"),
        (MIXTRAL, {**EXPERTS, "lora_dropout": 0.1}, "do without lora_dropout"),
        (MIXTRAL, {**EXPERTS, "extra": {"lora_bias": True}}, "do without lora_bias"),
        (MIXTRAL, {"kind": "bottleneck", "placement": "houlsby"}, "2 places for the 4"),
        (LLAMA, {"kind": "lora", "target_modules": ["query"]}, "no module that is called query"),
        (LLAMA, {"kind": "peft", "arguments": {"target_modules": ["w1"]}}, "called w1"),
    ],
)
def test_a_misfit_is_found(
    tmp_path: Path, config: dict[str, Any], method: dict[str, Any], said: str
) -> None:
    spec = _spec(tmp_path, config, method)
    found = adapter_misfit(spec)
    assert found is not None
    assert said in found[0]
    findings = [one for one in check(spec, tmp_path) if one.severity == "bad"]
    assert any(said in one.text and one.advice for one in findings)


@pytest.mark.parametrize(
    ("config", "method"),
    [
        (MIXTRAL, EXPERTS),
        (MIXTRAL, {"kind": "lora", "target_modules": ["q_proj"], "use_dora": True}),
        (LLAMA, {"kind": "bottleneck", "placement": "houlsby"}),
        (LLAMA, {"kind": "full"}),
        (LLAMA, {"kind": "peft", "peft_type": "ADAMSS"}),  # not counted here: peft will tell
        ({"model_type": "unheard_of"}, {"kind": "lora", "target_modules": ["q_proj"]}),
    ],
)
def test_what_fits_or_is_not_known_passes(
    tmp_path: Path, config: dict[str, Any], method: dict[str, Any]
) -> None:
    assert adapter_misfit(_spec(tmp_path, config, method)) is None
