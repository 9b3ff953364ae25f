"""Which weights a run trains, and how the others are held."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from tui_ft.spec.group import Extra, Fraction, Group, about


class _LoraFields(Group):
    r: Annotated[PositiveInt, Field(le=1024, json_schema_extra=about(basic=True))] = 16
    """Rank of the update: 8 for style, 16 by default, 32-64 for reasoning."""
    lora_alpha: Annotated[PositiveInt, Field(json_schema_extra=about(basic=True))] = 32
    """Scale of the update; alpha / r multiplies it. Usually r or 2 r."""
    lora_dropout: Fraction = 0.0
    """Dropout on the input of the update, 0 to 0.1."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """The layers that get an update: all linear ones, or those with these names."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases are trained as well."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r), which keeps high ranks stable (arXiv:2312.03732)."""
    use_dora: bool = False
    """Train magnitude and direction apart (arXiv:2402.09353); slower."""
    modules_to_save: list[str] = Field(default_factory=list)
    """Layers trained and saved whole, such as `lm_head` after adding tokens."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.LoraConfig`."""


class FullMethod(Group):
    """Full fine-tuning: every weight is trained."""

    kind: Literal["full"] = "full"
    """Every weight is trained."""


class LoraMethod(_LoraFields):
    """LoRA (arXiv:2106.09685): low-rank updates beside frozen weights."""

    kind: Literal["lora"] = "lora"
    """Low-rank updates beside frozen weights."""


class QloraMethod(_LoraFields):
    """QLoRA (arXiv:2305.14314): LoRA on a base held in 4 bits."""

    kind: Literal["qlora"] = "qlora"
    """LoRA on a base held in 4 bits."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit type; nf4 is made for normally distributed weights."""
    bnb_4bit_use_double_quant: bool = True
    """Quantise the quantisation constants too: 0.37 bit a weight less."""


Method = Annotated[FullMethod | LoraMethod | QloraMethod, Field(discriminator="kind")]
