"""The methods that a model can be fine-tuned by, as steps: what a table of them is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Quantization, Step
from tui_ft.spec.norm_places import NORMS

_VIRTUAL_TOKENS: Final = 20
_KEPT_WHOLE: Final = ("lora, 8 bits", "prefix", "prompt", "p-tuning")
"""What `spec/distributed_combinations.py` refuses beside weights that are shared out."""


def other_methods(lora: Step, sharding: Sharding | None = None) -> Mapping[str, Step]:
    """Return the steps of the methods beside full, LoRA and QLoRA, by name.

    Args:
        lora: the step of LoRA, whose rows, types and optimizer the others share. Prefix tuning
            cannot be combined with checkpointing, so it goes without.
        sharding: how they are spread; what cannot be shared out is left out.
    """
    replace = msgspec.structs.replace
    adapter = lora.adapter or {}
    prompts = {"num_virtual_tokens": _VIRTUAL_TOKENS}

    def adapted(**arguments: Any) -> Step:
        return replace(lora, adapter=arguments)

    prefix = adapted(peft_type="PREFIX_TUNING", **prompts)
    found = {
        "dora": replace(lora, adapter={**adapter, "use_dora": True}),
        "lora, 8 bits": replace(lora, quantization=Quantization(bits=8)),
        "ia3": adapted(peft_type="IA3"),
        "prefix": replace(prefix, checkpointing=False),
        "prompt": adapted(peft_type="PROMPT_TUNING", **prompts),
        "p-tuning": adapted(peft_type="P_TUNING", **prompts),
        "layer norms": adapted(peft_type="LN_TUNING", target_modules=NORMS),
    }
    shares = sharding is not None and sharding.shares_weights
    return {name: one for name, one in found.items() if not (shares and name in _KEPT_WHOLE)}
