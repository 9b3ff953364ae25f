"""What several GPUs change: shares of weights, gradients and states, and what is gathered.

These are formulas of the methods' papers and documentation; they are not measured yet.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ShardingKind = Literal["ddp", "zero1", "zero2", "zero3", "fsdp"]
_BUCKET: Final = 25 << 20


class Sharding(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is spread over GPUs.

    Attributes:
        kind: `ddp` holds all on each GPU and averages gradients (arXiv:2006.15704); `zero1` shares
            out optimizer states, `zero2` gradients as well, `zero3` and `fsdp` weights too
            (arXiv:1910.02054, sections 5 and 7; arXiv:2304.11277).
        gpus: how many there are.
    """

    kind: ShardingKind
    gpus: int

    def weights(self, size: int) -> int:
        """Return this GPU's share of the weights, in bytes."""
        return -(-size // self.gpus) if self.kind in ("zero3", "fsdp") else size

    def states(self, size: int) -> int:
        """Return this GPU's share of optimizer states."""
        return size if self.kind == "ddp" else -(-size // self.gpus)

    def gradients(self, size: int) -> int:
        """Return this GPU's share of gradients."""
        return size if self.kind in ("ddp", "zero1") else -(-size // self.gpus)

    def beside(self, layer: int, layer_gradients: int, gradients: int) -> int:
        """Return what is held for the exchange.

        DDP copies gradients into buckets, which together are as large as they are; ZeRO-1 and
        ZeRO-2 fill two buckets at a time; with weights shared out, the layer that is computed and
        the one fetched ahead are whole, and so are one layer's gradients before they are reduced.

        Args:
            layer: bytes of the largest layer's weights.
            layer_gradients: bytes of its gradients.
            gradients: bytes of all gradients.
        """
        match self.kind:
            case "ddp":
                return gradients
            case "zero1" | "zero2":
                return min(gradients, 2 * _BUCKET) + layer_gradients
            case _:
                return 2 * layer + layer_gradients
