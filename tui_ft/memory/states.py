"""What optimizers hold for each parameter, by transformers' name of the optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final, Literal

_EIGHT_BIT_FROM: Final = 4096  # bitsandbytes' min_8bit_size: smaller tensors stay float32
_EIGHT_BIT_BLOCK: Final = 256  # values a float32 constant
_PAGED_FROM: Final = 100_000  # smaller tensors are not paged (bitsandbytes, get_state_buffer)

StateDtype = Literal["float32", "bfloat16", "float16", "uint8"]


@dataclass(frozen=True, slots=True)
class StateTensor:
    """One tensor of an optimizer's state."""

    shape: tuple[int, ...]
    dtype: StateDtype

    @property
    def size(self) -> int:
        """Bytes, before any rounding."""
        return prod(self.shape) * {"float32": 4, "uint8": 1}.get(self.dtype, 2)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How an optimizer keeps its moments.

    Attributes:
        moments: tensors of the parameter's shape.
        quantized: large ones are held in 8 bits, by blocks.
        follows: they are of the parameter's own type, not of float32.
        paged: large ones live in managed memory, which is not the allocator's.
        counts: a float32 number of steps on the GPU for each parameter.
        joined: the first moment is two in one tensor (AdEMAMix, arXiv:2409.03137).
        compensates: what rounding took from weights of two bytes is held as well (Kahan).
    """

    moments: int
    quantized: bool = False
    follows: bool = False
    paged: bool = False
    counts: bool = False
    joined: bool = False
    compensates: bool = False


_KINDS: Final[dict[str, _Kind]] = {
    "adamw_torch_fused": _Kind(2, follows=True, counts=True),
    "adamw_torch": _Kind(2, follows=True),
    "adamw_8bit": _Kind(2, quantized=True),
    "adamw_bnb_8bit": _Kind(2, quantized=True),
    "paged_adamw_8bit": _Kind(2, quantized=True, paged=True),
    "paged_adamw_32bit": _Kind(2, paged=True),
    "paged_adamw": _Kind(2, paged=True),
    "lion_8bit": _Kind(1, quantized=True),
    "lion_32bit": _Kind(1),
    "paged_lion_8bit": _Kind(1, quantized=True, paged=True),
    "paged_lion_32bit": _Kind(1, paged=True),
    "ademamix": _Kind(2, joined=True),
    "ademamix_8bit": _Kind(2, quantized=True, joined=True),
    "paged_ademamix_32bit": _Kind(2, paged=True, joined=True),
    "paged_ademamix_8bit": _Kind(2, quantized=True, paged=True, joined=True),
    "rmsprop_bnb": _Kind(1),
    "rmsprop_bnb_32bit": _Kind(1),
    "rmsprop_bnb_8bit": _Kind(1, quantized=True),
    "rmsprop": _Kind(1, follows=True),
    "adagrad": _Kind(1, follows=True),
    "rmsprop_momentum": _Kind(2, follows=True),
    "rmsprop_centered": _Kind(2, follows=True),
    "rmsprop_centered_momentum": _Kind(3, follows=True),
    "sgd": _Kind(0, follows=True),
    "sgd_momentum": _Kind(1, follows=True),
    "lomo": _Kind(0),
    "grokadamw": _Kind(0),
    "schedule_free_adamw": _Kind(2, follows=True),
    "schedule_free_radam": _Kind(2, follows=True),
    "schedule_free_sgd": _Kind(1, follows=True),
    "stable_adamw": _Kind(2, follows=True, compensates=True),
}
_TORCHAO_BITS: Final = {"adamw_torch_8bit": 8, "adamw_torch_4bit": 4}
COPIES_IN_STEP: Final = ("adamw_torch", "schedule_free_adamw", "schedule_free_radam")
"""Their foreach form makes the roots of all second moments at once: a copy of what is trained
(torch/optim/adam.py, schedulefree/adamw_schedulefree.py)."""
_GALORE: Final = ("galore_adamw", "galore_adamw_8bit", "galore_adafactor")
_APOLLO: Final = "apollo_adamw"
_LAYERWISE: Final = "_layerwise"
IN_BACKWARD: Final = (
    "lomo",
    "adalomo",
    *(f"{name}{_LAYERWISE}" for name in (*_GALORE, _APOLLO)),
)
"""They step within the backward pass, so that a gradient is gone before the next one is made."""
PROJECTING: Final = (*_GALORE, _APOLLO, *IN_BACKWARD[2:])
"""They hold their moments of a projection of the gradient (arXiv:2403.03507, 2412.05270)."""
NOT_REPLAYED: Final = (*PROJECTING, *IN_BACKWARD[:2], "grokadamw")
"""Their states are known, what their step takes beside is read in their sources: a wider band."""
KNOWN_OPTIMIZERS: Final = (
    *(name for name in _KINDS if not name.endswith(("_momentum", "_centered"))),
    *_TORCHAO_BITS,
    "adafactor",
    *PROJECTING,
    "adalomo",
)


def optimizer_states(
    name: str, shape: tuple[int, ...], dtype: str, *, embedding: bool = False, rank: int = 0
) -> tuple[StateTensor, ...]:
    """Return the tensors that an optimizer holds on the GPU for one parameter.

    Paged states are left out: they are managed memory, moved to the GPU as there is room, and never
    counted by the allocator (arXiv:2305.14314, section 3).

    Args:
        name: as in `training.optim`.
        shape: of the parameter.
        dtype: of the parameter.
        embedding: it is an embedding's, whose states transformers' Trainer has bitsandbytes keep in
            32 bits (`Trainer.create_optimizer`).
        rank: to which GaLore and APOLLO project its gradients; 0 where they do not.

    Raises:
        ValueError: the optimizer is not known.
    """
    if name in PROJECTING:
        return _projected(name, shape, dtype, rank, embedding=embedding)
    if name == "adafactor":
        return _adafactor(shape)
    if name == "adalomo":
        return _adalomo(shape)
    if name in _TORCHAO_BITS:
        return _torchao(_TORCHAO_BITS[name], shape, dtype)
    kind = _KINDS.get(name)
    if kind is None:
        known = ", ".join(sorted(KNOWN_OPTIMIZERS))
        raise ValueError(f"the memory of the optimizer {name} is not known; known are {known}")
    numel = prod(shape)
    if kind.paged and numel >= _PAGED_FROM:
        return ()
    return _states(kind, shape, dtype, embedding=embedding)


def paged_bytes(name: str, shape: tuple[int, ...], dtype: str, *, embedding: bool = False) -> int:
    """Return what a paged optimizer holds of one parameter in managed memory.

    Args:
        name: as in `training.optim`.
        shape: of the parameter.
        dtype: of the parameter.
        embedding: it is an embedding's; see `optimizer_states`.
    """
    kind = _KINDS.get(name)
    if kind is None or not kind.paged or prod(shape) < _PAGED_FROM:
        return 0
    return sum(state.size for state in _states(kind, shape, dtype, embedding=embedding))


def _states(
    kind: _Kind, shape: tuple[int, ...], dtype: str, *, embedding: bool
) -> tuple[StateTensor, ...]:
    numel = prod(shape)
    shapes = [shape] * kind.moments
    if kind.joined:
        shapes[0] = (2, *shape)
    if kind.quantized and not embedding and numel >= _EIGHT_BIT_FROM:
        blocks = -(-numel // _EIGHT_BIT_BLOCK)
        return tuple(
            tensor
            for one in shapes
            for tensor in (
                StateTensor(one, "uint8"),
                StateTensor((prod(one) // numel * blocks,), "float32"),
            )
        )
    own: StateDtype = dtype if kind.follows else "float32"  # type: ignore[assignment]
    count = (StateTensor((), "float32"),) if kind.counts else ()
    if kind.compensates:
        shapes += [shape] * (dtype != "float32")
        # StableAdamW keeps its epsilon's square for each weight (optimi/stableadamw.py).
        count = (StateTensor((), own),)
    return (*(StateTensor(one, own) for one in shapes), *count)


def _torchao(bits: int, shape: tuple[int, ...], dtype: str) -> tuple[StateTensor, ...]:
    """Return both moments in 8 or 4 bits, by blocks, each with a table of its values.

    torchao 0.18 (torchao/optim/adam.py, `_new_buffer`); small tensors, and those that blocks do not
    fill, are held in the parameter's type.
    """
    numel = prod(shape)
    if numel < _EIGHT_BIT_FROM or numel % _EIGHT_BIT_BLOCK:
        return (StateTensor(shape, dtype),) * 2  # type: ignore[arg-type]
    codes = StateTensor((numel * bits // 8,), "uint8")
    scale = StateTensor((numel // _EIGHT_BIT_BLOCK,), "float32")
    return (codes, scale, StateTensor((2**bits,), "float32")) * 2


def _projected(
    name: str, shape: tuple[int, ...], dtype: str, rank: int, *, embedding: bool
) -> tuple[StateTensor, ...]:
    """Return a projection and the moments of what is projected; plain ones of what is not.

    The smaller side n of an (m x n) matrix is projected to r. GaLore takes singular vectors, of
    which in float32 it holds a view of all (galore-torch 1.0, `get_orthogonal_matrix`): n x n, or
    m x m, however small r is; in bfloat16 it makes a copy of r of them. APOLLO's projection is
    random and as small as r (apollo-torch 1.0.3).
    """
    own: StateDtype = dtype  # type: ignore[assignment]
    base = name.removesuffix(_LAYERWISE)
    adafactor = base == "galore_adafactor"
    kept: tuple[StateTensor, ...] = ()
    low = shape
    if rank and len(shape) == 2:  # noqa: PLR2004 - a matrix
        small, large = min(shape), max(shape)
        rank = rank if base == _APOLLO else min(rank, small)
        low = (large, rank)
        held = small if base != _APOLLO and (adafactor or dtype == "float32") else rank
        projection: StateDtype = "float32" if adafactor else own
        kept = (StateTensor((held, small), projection),)
        if base == _APOLLO:
            kept += (StateTensor((), own),)  # the last update's norm, by which it limits its growth
    if base == "galore_adamw_8bit":
        return (*kept, *_states(_KINDS["adamw_8bit"], low, dtype, embedding=embedding))
    if not adafactor:
        return (*kept, StateTensor(low, own), StateTensor(low, own))
    factored = _adafactor(low if shape[0] >= shape[-1] else low[::-1])
    return (*kept, *factored)


def _adalomo(shape: tuple[int, ...]) -> tuple[StateTensor, ...]:
    """Return means of rows and columns, all of a vector: lomo-optim 0.1.1 (arXiv:2310.10195)."""
    if len(shape) == 1:
        return (StateTensor(shape, "float32"),)
    return (StateTensor(shape[:1], "float32"), StateTensor(shape[1:2], "float32"))


def _adafactor(shape: tuple[int, ...]) -> tuple[StateTensor, ...]:
    """Return means of a matrix's rows and columns, all of a vector, and a scale.

    Adafactor, arXiv:1804.04235, section 3; without momentum, as transformers' Trainer has it.
    """
    root_mean_square = StateTensor((), "float32")
    if len(shape) < 2:  # noqa: PLR2004 - a matrix
        return (StateTensor(shape, "float32"), root_mean_square)
    return (
        root_mean_square,
        StateTensor(shape[:-1], "float32"),
        StateTensor((*shape[:-2], shape[-1]), "float32"),
    )
