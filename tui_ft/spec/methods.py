"""Which weights a run trains, and how the others are held."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, ValidationInfo, field_validator

from tui_ft.spec.bottleneck_places import Placement
from tui_ft.spec.ewc import EwcPenalty
from tui_ft.spec.group import Extra, Fraction, Group, about
from tui_ft.spec.peft_configs import PeftTypeName, argument_fault, shipped, type_fault

LoraInit = Literal["default", "gaussian", "pissa", "pissa_niter_4", "olora", "loftq"]
"""As peft names them: PiSSA (arXiv:2404.02948, exact or by a quick SVD), OLoRA (2406.01775), LoftQ
(2310.08659)."""
CHANGES_BASE: Final = ("pissa", "pissa_niter_4", "olora")
"""Initialisations that take out of the base what they put into the update."""
BEGINS_ELSEWHERE: Final = (*CHANGES_BASE, "loftq")
"""Initialisations whose adapter is not zero in the beginning: without it, it is another model."""
VirtualTokens = Annotated[PositiveInt, Field(json_schema_extra=about("tokens", basic=True))]


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
    init_lora_weights: LoraInit = "default"
    """Where the update begins: at zero (default, gaussian), at the weights' principal part, or, on
    a base in 4 bits, at what quantising took away (loftq)."""
    modules_to_save: list[str] = Field(default_factory=list)
    """Layers trained and saved whole, such as `lm_head` after adding tokens."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.LoraConfig`."""


class FullMethod(Group):
    """Full fine-tuning: every weight is trained."""

    kind: Literal["full"] = "full"
    """Every weight is trained."""
    ewc: EwcPenalty | None = None
    """Hold the model near the weights that an old task needs, against forgetting."""


class LoraMethod(_LoraFields):
    """LoRA (arXiv:2106.09685): low-rank updates beside frozen weights."""

    kind: Literal["lora"] = "lora"
    """Low-rank updates beside frozen weights."""


class QloraMethod(_LoraFields):
    """QLoRA (arXiv:2305.14314): LoRA on a base held in 4 bits."""

    kind: Literal["qlora"] = "qlora"
    """LoRA on a base held in 4 bits."""
    bits: Literal[4, 8] = 4
    """Bits of a weight of the base: 8 (LLM.int8, arXiv:2208.07339) are nearer to 16, and slower."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit type; nf4 is made for normally distributed weights."""
    bnb_4bit_use_double_quant: bool = True
    """Quantise the quantisation constants too: 0.37 bit a weight less."""


class AdaLoraMethod(Group):
    """AdaLoRA (arXiv:2303.10512): LoRA whose ranks are moved to where they matter, in training."""

    kind: Literal["adalora"] = "adalora"
    """LoRA whose ranks are moved to where they matter."""
    init_r: Annotated[PositiveInt, Field(le=1024, json_schema_extra=about(basic=True))] = 12
    """The rank of every update in the beginning; usually half more than `target_r`."""
    target_r: Annotated[PositiveInt, Field(le=1024, json_schema_extra=about(basic=True))] = 8
    """The mean rank in the end."""
    lora_alpha: PositiveInt = 32
    """Scale of the update."""
    lora_dropout: Fraction = 0.0
    """Dropout on the input of the update, 0 to 0.1."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """The layers that get an update: all linear ones, or those with these names."""
    tinit: Annotated[NonNegativeFloat, Field(json_schema_extra=about("steps"))] = 0.1
    """Steps before ranks are taken away; below 1, a share of all steps."""
    tfinal: Annotated[NonNegativeFloat, Field(json_schema_extra=about("steps"))] = 0.3
    """Steps at the end with settled ranks; below 1, a share of all steps."""
    deltaT: Annotated[PositiveInt, Field(json_schema_extra=about("steps"))] = 10
    """Every how many steps ranks are moved."""
    orth_reg_weight: NonNegativeFloat = 0.5
    """Pull of the update's vectors towards being orthogonal; it is part of the loss shown."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.AdaLoraConfig`."""


class FreezeMethod(Group):
    """Only the last layers are trained, with the final norm and the head; all others are frozen."""

    kind: Literal["freeze"] = "freeze"
    """The last layers are trained, all others are frozen."""
    num_trainable_layers: Annotated[PositiveInt, Field(json_schema_extra=about(basic=True))] = 2
    """How many of the last layers are trained."""


class Ia3Method(Group):
    """IA3 (arXiv:2205.05638): one factor for each key, value and hidden unit; very few weights."""

    kind: Literal["ia3"] = "ia3"
    """Learned factors on keys, values and hidden units."""
    target_modules: list[str] | None = None
    """The layers whose outputs are scaled; by default those that peft knows for the model."""
    feedforward_modules: list[str] | None = None
    """Those of them whose inputs are scaled instead."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.IA3Config`."""


class LnTuningMethod(Group):
    """Layer-norm tuning (arXiv:2312.11420): only the norms' weights are trained."""

    kind: Literal["ln_tuning"] = "ln_tuning"
    """Only the norms are trained."""
    target_modules: list[str] | None = None
    """The norms that are trained; by default all of them."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.LNTuningConfig`."""


class BottleneckMethod(Group):
    """Bottleneck adapters (arXiv:1902.00751, 2005.00247): small networks behind the sublayers."""

    kind: Literal["bottleneck"] = "bottleneck"
    """Small networks behind the sublayers of each block; they cannot be merged into the model."""
    placement: Annotated[Placement, Field(json_schema_extra=about(basic=True))] = "pfeiffer"
    """Behind the MLP alone (pfeiffer), or behind attention and MLP (houlsby)."""
    bottleneck_size: Annotated[PositiveInt, Field(json_schema_extra=about(basic=True))] = 64
    """The width of their middle: 8 to 256, a sixteenth of the model's width is usual."""
    non_linearity: Literal["gelu", "relu", "silu"] = "gelu"
    """What stands between their two halves."""
    target_modules: list[str] | None = None
    """The projections that one stands behind; by default those of `placement`."""
    modules_to_save: list[str] = Field(default_factory=list)
    """Layers trained and saved whole; Houlsby trains the norms too, such as `input_layernorm`."""


class PromptTuningMethod(Group):
    """Prompt tuning (arXiv:2104.08691): learned tokens before the text; for large models."""

    kind: Literal["prompt_tuning"] = "prompt_tuning"
    """Learned tokens before the text."""
    num_virtual_tokens: VirtualTokens = 8
    """How many tokens are learned: 8 to 100."""
    prompt_tuning_init_text: str | None = None
    """A description of the task whose tokens are begun with; random ones when not given."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.PromptTuningConfig`."""


class PrefixTuningMethod(Group):
    """Prefix tuning (arXiv:2101.00190): learned keys and values before the text, in each layer."""

    kind: Literal["prefix_tuning"] = "prefix_tuning"
    """Learned keys and values before the text."""
    num_virtual_tokens: VirtualTokens = 20
    """How many positions are learned."""
    prefix_projection: bool = False
    """Make them by a small network while training, which is steadier."""
    encoder_hidden_size: PositiveInt | None = None
    """The width of that network; the model's own when not given."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.PrefixTuningConfig`."""


class PTuningMethod(Group):
    """P-tuning (arXiv:2103.10385): learned tokens, made by a small network while training."""

    kind: Literal["p_tuning"] = "p_tuning"
    """Learned tokens, made by a small network."""
    num_virtual_tokens: VirtualTokens = 20
    """How many tokens are learned."""
    encoder_hidden_size: PositiveInt = 128
    """The width of the network."""
    encoder_num_layers: PositiveInt = 2
    """Its layers; an MLP, peft's default, has two."""
    encoder_dropout: Fraction = 0.0
    """Its dropout, which only an LSTM has (`extra.encoder_reparameterization_type`)."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `peft.PromptEncoderConfig`."""


class PeftMethod(Group):
    """Any other method of peft's, passed on as it is: LoHa, LoKr, OFT, BOFT, VeRA and more."""

    kind: Literal["peft"] = "peft"
    """Any other method of peft's."""
    peft_type: Annotated[PeftTypeName, Field(json_schema_extra=about(basic=True))] = "LOHA"
    """Which one, by peft's name."""
    arguments: Annotated[Extra, Field(json_schema_extra=about(basic=True))] = Field(
        default_factory=dict
    )
    """The arguments of its configuration, such as `r` and `target_modules`, by peft's names."""

    @field_validator("peft_type", mode="before")
    @classmethod
    def _can_be_passed_on(cls, name: object) -> object:
        upper = name.upper() if isinstance(name, str) else name
        fault = type_fault(upper) if isinstance(upper, str) else None
        if fault is not None:
            raise ValueError(fault)
        return upper

    @field_validator("arguments")
    @classmethod
    def _are_its_own(cls, arguments: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        peft_type = info.data.get("peft_type")
        fault = argument_fault(peft_type, shipped()[peft_type], arguments) if peft_type else None
        if fault is not None:
            raise ValueError(fault)
        return arguments


Method = Annotated[
    FullMethod
    | LoraMethod
    | QloraMethod
    | AdaLoraMethod
    | FreezeMethod
    | Ia3Method
    | LnTuningMethod
    | BottleneckMethod
    | PromptTuningMethod
    | PrefixTuningMethod
    | PTuningMethod
    | PeftMethod,
    Field(discriminator="kind"),
]
TRAINS_BASE: Final = ("full", "freeze")
"""The kinds of methods that train weights of the model itself, and save it whole."""
VIRTUAL_TOKENS: Final = ("prompt_tuning", "prefix_tuning", "p_tuning")
"""The kinds of methods that put something learned before the text."""
_BEFORE_THE_TEXT: Final = ("CARTRIDGE",)


def lora_init(method: Method) -> str:
    """Return where a method's update begins; `default` where there is no such choice."""
    return str(getattr(method, "init_lora_weights", "default"))


def has_virtual_tokens(method: Method) -> bool:
    """Tell whether a method puts something learned before the text."""
    if isinstance(method, PeftMethod):
        return method.peft_type in _BEFORE_THE_TEXT
    return method.kind in VIRTUAL_TOKENS


def learns_keys(method: Method) -> bool:
    """Tell whether that is keys and values, which peft hands on in the place of a cache."""
    return method.kind == "prefix_tuning" or (
        isinstance(method, PeftMethod) and method.peft_type == "CARTRIDGE"
    )
