"""Which modules peft's methods take when nobody names them, for the families known here.

The tables are those of peft 0.21 (`peft.utils.constants`); a test compares them.
"""

from __future__ import annotations

from typing import Final

Targets = dict[str, tuple[str, ...]]

_QV: Final = ("q_proj", "v_proj")
_OPT: Final = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_FUSED: Final = ("query_key_value",)
_SEVEN: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "up_proj")
_NORMS: Final = ("input_layernorm", "post_attention_layernorm", "norm")
_FOUR_NORMS: Final = (
    *("input_layernorm", "post_attention_layernorm"),
    *("pre_feedforward_layernorm", "post_feedforward_layernorm", "norm"),
)
_LLAMAS: Final = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")


def _without(table: Targets, *names: str) -> Targets:
    return {name: targets for name, targets in table.items() if name not in names}


LORA: Final[Targets] = {
    **dict.fromkeys(_LLAMAS, _QV),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "gptj": _QV,
    "opt": _QV,
    "gpt2": ("c_attn",),
    "gpt_bigcode": ("c_attn",),
    "falcon": _FUSED,
    "gpt_neox": _FUSED,
    "bloom": _FUSED,
    "bert": ("query", "value"),
    "roberta": ("query", "value"),
    "xlm-roberta": ("query", "value"),
}
_SECOND: Final[Targets] = {**LORA, "gpt2": ("mlp.c_proj",), "gpt_bigcode": ("mlp.c_proj",)}
_ATTENTION: Final[Targets] = {**LORA, "phi": _QV}
_ADALORA: Final[Targets] = {
    **_without(LORA, "mistral", "mixtral", "phi", "falcon", "xlm-roberta"),
    "opt": _OPT,
    "roberta": ("query", "key", "value", "dense"),
}
_DOWN: Final = ("q_proj", "v_proj", "down_proj")
_IA3: Final[Targets] = {
    **dict.fromkeys(("llama", "mistral"), ("k_proj", "v_proj", "down_proj")),
    **dict.fromkeys(("qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _DOWN),
    "mixtral": ("k_proj", "v_proj", "w2"),
    "phi": ("q_proj", "v_proj", "fc2"),
    "gptj": ("q_proj", "v_proj", "fc_out"),
    "opt": ("q_proj", "k_proj", "fc2"),
    "gpt2": ("c_attn", "mlp.c_proj"),
    "gpt_bigcode": ("c_attn", "mlp.c_proj"),
    "falcon": ("query_key_value", "dense_4h_to_h"),
    "gpt_neox": ("query_key_value", "dense_4h_to_h"),
    "bloom": ("query_key_value", "mlp.dense_4h_to_h"),
    "bert": ("key", "value", "output.dense"),
    "roberta": ("key", "value", "output.dense"),
}
IA3_FEEDFORWARD: Final[Targets] = {name: targets[-1:] for name, targets in _IA3.items()}
_LN: Final[Targets] = {
    "llama": _NORMS,
    "mistral": _NORMS,
    "gemma": _NORMS,
    "gemma2": _FOUR_NORMS,
    "gemma3_text": _FOUR_NORMS,
    "qwen2": ("post_attention_layernorm",),
    "qwen3": ("post_attention_layernorm",),
    "phi": ("input_layernorm", "final_layernorm"),
    "gptj": ("ln_1", "ln_f"),
    "gpt2": ("ln_1", "ln_2", "ln_f"),
    "falcon": ("input_layernorm", "post_attention_layernorm", "ln_f"),
    "bloom": ("input_layernorm", "post_attention_layernorm", "ln_f"),
}
_BEFT: Final[Targets] = {
    **dict.fromkeys((*_LLAMAS, "phi", "gptj", "opt"), ("v_proj",)),
    "bert": ("value",),
    "roberta": ("value",),
}
_OSF: Final[Targets] = {
    **dict.fromkeys((*_LLAMAS, "phi"), _SEVEN),
    "gptj": ("q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"),
    "opt": _OPT,
    "gpt2": ("c_attn", "c_proj"),
    "gpt_bigcode": ("c_attn", "c_proj"),
    "falcon": ("query_key_value", "dense_4h_to_h"),
    "gpt_neox": ("query_key_value", "dense_4h_to_h"),
    "bloom": ("query_key_value", "dense_4h_to_h"),
}

DEFAULTS: Final[dict[str, Targets]] = {
    "ADALORA": _ADALORA,
    "BEFT": _BEFT,
    "C3A": _SECOND,
    "FOURIERFT": _SECOND,
    "FROD": _ATTENTION,
    "IA3": _IA3,
    "LN_TUNING": _LN,
    "OSF": _OSF,
    "PVERA": _ATTENTION,
    "SHIRA": _ATTENTION,
    "VBLORA": {**_ADALORA, "roberta": ("query", "value")},
    "VERA": _ATTENTION,
    "WAVEFT": {**LORA, "gpt2": ("mlp.c_proj",), "gpt_bigcode": ("mlp.c_proj",)},
}
"""By peft's name of the method; those that are not here take LoRA's."""


def default_targets(peft_type: str, model_type: str) -> tuple[str, ...] | None:
    """Return peft's targets of a method for a family; None where it has none and asks for them."""
    return DEFAULTS.get(peft_type, LORA).get(model_type)
