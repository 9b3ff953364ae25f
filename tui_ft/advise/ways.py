"""The ways to train: what each is, what can be expected of it, and what it risks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tui_ft.advise import sources
from tui_ft.advise.sources import at
from tui_ft.memory.sharding import Sharding
from tui_ft.spec.distributed import ShardingKind

Kind = Literal["full", "lora", "qlora", "prompt_tuning", "smaller"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Attributes:
        sharding: how it is spread over several GPUs.
        offloads: weights and optimizer states are in the host's memory.
        half_weights: trained weights are held in bfloat16, the optimizer in 8 bits.
        shorter: rows are cut to what fits.
        startable: whether a RunSpec can say it; of a smaller model it names none.
        quality: what can be expected, in words.
        risk: in words.
    """

    id: str
    name: str
    kind: Kind
    quality: str
    risk: str
    source: str
    sharding: Literal["one"] | ShardingKind = "one"
    offloads: bool = False
    half_weights: bool = False
    shorter: bool = False
    startable: bool = True

    @property
    def spreads(self) -> bool:
        """Whether it needs several GPUs."""
        return self.sharding != "one"

    @property
    def shares(self) -> bool:
        """Whether weights are shared out over the GPUs."""
        return self.sharding in ("fsdp", "zero3")

    def spread(self, gpus: int) -> Sharding | None:
        """Return how memory sees it on so many GPUs; None on one."""
        if self.sharding == "one":
            return None
        return Sharding(
            kind=self.sharding,
            gpus=gpus,
            offloads_states=self.offloads,
            offloads_weights=self.offloads,
        )


_FULL_FORGETS: Final = "forgets what it knew, most of all on few rows (low rate, early stopping)"
_LORA_QUALITY: Final = "as full fine-tuning on most tasks of up to 100,000 rows"
_LORA_RISK: Final = "little: the base stays as it is"
_QLORA_QUALITY: Final = "close to LoRA: the base is rounded to 4 bits"
_QLORA_RISK: Final = "slower than LoRA; merge into the 16-bit base before quantising for deployment"

_ALL: Final = (
    Way(
        "full",
        "full fine-tuning",
        "full",
        "the highest ceiling, with rows enough",
        _FULL_FORGETS,
        at(sources.COMPLETE, "2"),
    ),
    Way(
        "full_bf16",
        "full, weights in bfloat16, 8-bit AdamW",
        "full",
        "below full: small updates are lost in the rounding of 8 bits of mantissa",
        _FULL_FORGETS,
        at(sources.COMPLETE, "2.2"),
        half_weights=True,
    ),
    Way(
        "lora",
        "LoRA",
        "lora",
        _LORA_QUALITY,
        _LORA_RISK,
        f"{sources.LORA}; {at(sources.OPS, 'decision tree')}",
    ),
    Way(
        "qlora",
        "QLoRA",
        "qlora",
        _QLORA_QUALITY,
        _QLORA_RISK,
        f"{sources.QLORA}; {at(sources.OPS, 'decision tree')}",
    ),
    Way(
        "qlora_shorter",
        "QLoRA, the longest rows cut",
        "qlora",
        "as QLoRA, but for the ends of the longest rows",
        "answers that are cut off teach the model to stop in mid-sentence: split long rows instead",
        sources.QLORA,
        shorter=True,
    ),
    Way(
        "prompt_tuning",
        "prompt tuning, 8 tokens",
        "prompt_tuning",
        "a lower ceiling than LoRA, better with large models",
        "little to learn with; sensitive to the learning rate",
        at(sources.COMPLETE, "5.2"),
    ),
    Way(
        "full_ddp",
        "full, a copy on each GPU (DDP)",
        "full",
        "the highest ceiling, with rows enough",
        _FULL_FORGETS,
        at(sources.OPS, "decision tree"),
        sharding="ddp",
    ),
    Way(
        "full_fsdp",
        "full, shared out over the GPUs (FSDP)",
        "full",
        "the highest ceiling, with rows enough",
        f"{_FULL_FORGETS}; traffic between the GPUs",
        at(sources.OPS, "decision tree"),
        sharding="fsdp",
    ),
    Way(
        "lora_ddp",
        "LoRA, a copy on each GPU (DDP)",
        "lora",
        f"{_LORA_QUALITY}, in a fraction of the time",
        _LORA_RISK,
        at(sources.OPS, "decision tree"),
        sharding="ddp",
    ),
    Way(
        "qlora_ddp",
        "QLoRA, a copy on each GPU (DDP)",
        "qlora",
        f"{_QLORA_QUALITY}; in a fraction of the time",
        _QLORA_RISK,
        at(sources.OPS, "decision tree"),
        sharding="ddp",
    ),
    Way(
        "lora_fsdp",
        "LoRA, the base shared out (FSDP)",
        "lora",
        _LORA_QUALITY,
        "traffic between the GPUs",
        at(sources.OPS, "decision tree"),
        sharding="fsdp",
    ),
    Way(
        "qlora_fsdp",
        "QLoRA, the base shared out (FSDP)",
        "qlora",
        _QLORA_QUALITY,
        "traffic between the GPUs; slower than LoRA",
        at(sources.COMPLETE, "4.2"),
        sharding="fsdp",
    ),
    Way(
        "full_offload",
        "full, held in the host's memory (FSDP, offload)",
        "full",
        "the highest ceiling, with rows enough",
        f"{_FULL_FORGETS}; slow: weights come over the bus twice in each pass, and the processors "
        "make the optimizer's step",
        sources.OFFLOAD,
        sharding="fsdp",
        offloads=True,
    ),
    Way(
        "lora_offload",
        "LoRA, the base in the host's memory (DeepSpeed ZeRO-3)",
        "lora",
        _LORA_QUALITY,
        "slow: the base comes over the bus twice in each pass; DeepSpeed has to be installed",
        sources.OFFLOAD,
        sharding="zero3",
        offloads=True,
    ),
    Way(
        "smaller",
        "a smaller model",
        "smaller",
        "a small model fine-tuned on one task can stand beside a large one that was not",
        "less general ability",
        at(sources.COMPLETE, "1.2"),
        startable=False,
    ),
)
WAYS: Final = {way.id: way for way in _ALL}

_LORA: Final = ("lora_ddp", "lora_fsdp", "lora")
_QLORA: Final = ("qlora_ddp", "qlora_fsdp", "qlora", "qlora_shorter")
ADAPTER_FIRST: Final = (*_LORA, *_QLORA, "lora_offload")
"""The order in which ways are preferred where an adapter is enough: all GPUs before one, and a copy
on each before sharing out, which costs traffic; 16 bits before 4; the host's memory
last, for it is slow."""
WEIGHTS_FIRST: Final = (
    *("full_ddp", "full_fsdp", "full"),
    *(*_LORA, "full_offload", "full_bf16", *_QLORA, "lora_offload"),
)
INSTEAD: Final = {
    "full_offload": ("full_fsdp", "full_ddp"),
    "lora_offload": ("lora_fsdp", "lora_ddp", "qlora_fsdp", "qlora_ddp"),
}
"""Ways beside which offload is no question, where one of them fits."""
"""The order where as much as can be is to change."""


def is_adapter(way: str) -> bool:
    """Tell whether a way trains low-rank updates."""
    return WAYS[way].kind in ("lora", "qlora")
