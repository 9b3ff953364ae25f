"""What several GPUs change: shares of weights, gradients and states, and what is gathered.

FSDP's formulas follow torch 2.13's `fully_shard` as accelerate puts it on, and are compared with
replays of it (benchmarks/results/2026-11-26-sharding.md). DeepSpeed's are those of
arXiv:1910.02054, section 3 and 5, with the buckets of DeepSpeed 0.19; they are not measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tui_ft.memory.estimate.model import Model
from tui_ft.memory.estimate.optimizer import states_of
from tui_ft.memory.estimate.tape import FLOAT32
from tui_ft.memory.estimate.weights import Held
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import BYTES, Step

GATHERING: Final = "gathering the head"
"""Words of the moment before the loss."""
_BUCKET: Final = 500_000_000
"""Numbers in DeepSpeed's `reduce_bucket_size`, which ftui leaves as it is."""
_SUB_GROUP: Final = 1_000_000_000
"""Numbers in `sub_group_size` of stage 3, its default (`zero/config.py`)."""
_PREFETCHED: Final = 50_000_000
"""Numbers in its `stage3_prefetch_bucket_size`."""


def computed_step(step: Step, sharding: Sharding | None) -> Step:
    """Return the step as a GPU computes it: gathered weights have the type of the arithmetic."""
    if sharding is None or sharding.kind == "ddp" or step.arithmetic is None:
        return step
    held = step.adapter_dtype if step.quantization is not None else step.arithmetic
    return msgspec.structs.replace(step, weights=step.arithmetic, adapter_dtype=held)


@dataclass(frozen=True, slots=True)
class Spread:
    """What a GPU holds of a model that is spread, in bytes.

    Attributes:
        sharding: how it is spread.
        layer: the largest layer, whole, in the type of the arithmetic.
        layers: all of them.
        reduced: its gradients as they are reduced: in float32, where there is a lower type.
        embedding: the embedding, whole.
        tail: what is gathered for the head: with tied weights the embedding is a part of it.
        trains_all: embedding and head are trained.
        tied: the head is the embedding.
        widened: how much wider a reduced gradient is than a gathered weight.
        trained: all that is trained, in the type of the arithmetic.
        prepared: the embedding's output is asked for a gradient, so that it is gathered again.
    """

    sharding: Sharding
    layer: int
    layers: int
    reduced: int
    embedding: int
    tail: int
    trains_all: bool
    tied: bool
    widened: int
    trained: int
    prepared: bool

    @property
    def gathers_head(self) -> bool:
        """Whether trl gathers the head by itself, beside LoRA (`full_tensor`), at first twice."""
        own = self.sharding.kind == "fsdp" and not self.tied
        return own and not self.trains_all

    def exchange(self, stage: str, what: str, *, last_layer: str) -> int:
        """Return what is there at a moment for the sake of the exchange.

        Args:
            stage: of the step.
            what: the moment's words, as in `moments`.
            last_layer: the words of the last layer's.
        """
        sharding = self.sharding
        if stage == "optimizer":
            return self._copied_gradients()
        if sharding.kind == "ddp":
            return self.trained  # buckets, together as large as the gradients are
        if sharding.by_deepspeed:
            width = FLOAT32 // self.widened
            live = 2 * self.layer + _PREFETCHED * width if sharding.kind == "zero3" else 0
            return live + _BUCKET * width  # which is made whole, however little is trained
        if not sharding.wraps:
            return self._at_once(stage, what)
        return self._fsdp(stage, what, last_layer)

    def _copied_gradients(self) -> int:
        """Return the gradients that DeepSpeed copies into float32 for its step.

        Of its own share; with stage 3 of at most 1e9 numbers at a time (`stage_1_and_2.py`, `step`;
        `stage3.py`, `_prepare_fp32_grad_for_sub_group`).
        """
        sharding = self.sharding
        if not sharding.by_deepspeed or sharding.offloads_states:
            return 0
        share = self.trained * self.widened // sharding.gpus
        return min(share, _SUB_GROUP * FLOAT32) if sharding.kind == "zero3" else share

    def _fsdp(self, stage: str, what: str, last_layer: str) -> int:
        """Return it for FSDP2 (torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py).

        Forward, a layer is there twice: gathered, and copied out of that; the first is kept until
        the next is copied. Back, the next one is gathered meanwhile, and the reduce-scatter of the
        one before still holds its input. Head and norm are not given back in between. What has
        no gradient at its input, as the embedding, is reduced when all is over.
        """
        kept = self.tail if self.tied else 0
        held_back = not self.sharding.reshards
        if stage != "backward":
            gathered = self.layers + self.layer if held_back else 2 * self.layer
            if what not in ("the loss", GATHERING):
                return kept + gathered
            # What the last layer was copied from; an own head's takes its place.
            if self.trains_all and not self.tied:
                return gathered + 2 * (self.tail - self.layer)
            return gathered - self.layer + (1 + self.gathers_head * (what == GATHERING)) * self.tail
        if what == "the loss's gradient":
            # The last layer is gathered ahead, as the backward pass begins; else all is there yet.
            first = 0 if self.tied else self.embedding
            return self.tail + (self.layers + first if held_back else self.layer)
        if what == "the embedding":
            return self._after()
        if self.tied and self.trains_all:
            kept += self.tail
        before = self.reduced
        if what == last_layer and self.trains_all and not self.tied:
            before = self.widened * self.tail
        return kept + before + (self.layers if held_back else 2 * self.layer)

    def _at_once(self, stage: str, what: str) -> int:
        """Return it for layers and head that are one unit: they are gathered, and reduced, at once.

        The embedding is a unit of its own. The input of the reduce-scatter, made when the backward
        pass has left the layers, is there beside all that was gathered.
        """
        unit = self.layers + self.tail
        if stage != "backward":
            if what in ("the loss", GATHERING):
                return unit + self.gathers_head * (what == GATHERING) * self.tail
            return 2 * unit
        if what == "the loss's gradient":
            return unit
        own = self.embedding if self.trains_all and not self.tied else 0
        return unit + self.widened * (self.trained - own)

    def _after(self) -> int:
        """Return what is there when the backward pass has come to the embedding."""
        once = self.tail if self.tied else self.embedding
        if not self.trains_all:
            return 2 * once if self.prepared else 0
        # Its gradient in the arithmetic's type is counted with the embedding's own part. The
        # reduce-scatter has its input, and the share that comes out; with tied weights that is
        # among the head's gradients already.
        share = 0 if self.tied else self.widened * once // self.sharding.gpus
        return self.widened * once + share


def spread_of(model: Model, sharding: Sharding) -> Spread:
    """Return what a GPU holds of the model as it is computed (see `computed_step`)."""
    by_kind = {kind: list(model.weights.held(kind)) for kind in dict.fromkeys(model.kinds)}
    once = list(model.weights.held(None))
    wide = model.step.arithmetic is not None and sharding.kind != "ddp"
    widened = FLOAT32 // BYTES[model.step.weights] if wide else 1
    layer = max(_size(found) for found in by_kind.values())
    trained_layer = max(_size(found, trained=True) for found in by_kind.values())
    embedding = _size([held for held in once if held.embedding])
    tied = model.architecture.tied
    return Spread(
        sharding=sharding,
        layer=layer,
        layers=sum(_size(by_kind[kind]) for kind in model.kinds),
        reduced=trained_layer * widened,
        embedding=embedding,
        tail=_size(once) if tied else _size(once) - embedding,
        trains_all=model.step.adapter is None,
        tied=tied,
        widened=widened,
        trained=model.sizes.trained,
        prepared=model.step.checkpointing and model.step.adapter is not None,
    )


def _size(found: list[Held], *, trained: bool = False) -> int:
    return sum(held.all_sizes for held in found if held.trained or not trained)


def persistent(model: Model, computed: Model, sharding: Sharding) -> dict[str, int]:
    """Return what a GPU holds all the time of weights and states, by name.

    Args:
        model: as it is loaded.
        computed: as it is computed.
        sharding: how it is spread.
    """
    gpus, sizes = sharding.gpus, model.sizes
    if sharding.kind == "ddp":
        return {
            "weights": sizes.weights,
            "quantisation constants": sizes.constants,
            "adapters": sizes.adapters,
            "optimizer states": sizes.states,
        }
    masters = [held for held in all_held(model) if held.trained]
    if model.step.arithmetic is not None and model.step.quantization is None:
        masters = [replace(held, width=FLOAT32) for held in masters]  # accelerate upcasts them
    states = 0 if sharding.offloads_states else states_of(model.step.optim, masters) // gpus
    own = sum(held.all_sizes for held in masters)
    all_weights = computed.sizes.weights + computed.sizes.adapters
    if sharding.by_deepspeed:
        share = gpus if sharding.shares_weights else 1
        held = 0 if sharding.offloads_weights else all_weights // share
        master = 0 if sharding.offloads_states else own // gpus
        return {
            "weights": held,
            "float32 weights": master,
            "quantisation constants": sizes.constants,
            "optimizer states": states,
        }
    frozen = all_weights - computed.sizes.trained
    shared = 0 if sharding.offloads_weights else (frozen + own) // gpus
    return {
        "weights": shared,
        "quantisation constants": sizes.constants,
        "optimizer states": states,
    }


def gradients_of(size: int, computed: Spread) -> int:
    """Return what a GPU holds of gradients of ``size`` bytes in the type of the arithmetic."""
    sharding = computed.sharding
    if sharding.kind in ("ddp", "zero1"):
        return size
    if sharding.offloads_states:
        return 0  # each goes to the host when it is reduced
    widened = computed.widened if sharding.kind == "fsdp" else 1
    return size * widened // sharding.gpus


def all_held(model: Model) -> list[Held]:
    """Return all that a model holds, equal layers counted together."""
    kinds = {kind: list(model.weights.held(kind)) for kind in dict.fromkeys(model.kinds)}
    layered = [
        replace(held, number=held.number * model.kinds.count(kind))
        for kind, found in kinds.items()
        for held in found
    ]
    return [*model.weights.held(None), *layered]
