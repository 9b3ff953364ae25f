"""CUDA's autocast for tensors on `meta`, which torch has none for.

The lists are those of torch's "CUDA Op-Specific Behavior"; weights cast in a forward pass are cast
once and kept until its end, as torch's own cache does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from tui_ft.dryrun.kernels import attention_as_on_cuda

Function = Callable[..., Any]
_HALVES: Final = (torch.bfloat16, torch.float16)

_TO_LOW: Final[frozenset[Function]] = frozenset(
    {
        F.linear,
        F.conv1d,
        F.conv2d,
        F.scaled_dot_product_attention,
        attention_as_on_cuda,
        torch.matmul,
        torch.Tensor.matmul,
        torch.Tensor.__matmul__,
        torch.bmm,
        torch.Tensor.bmm,
        torch.mm,
        torch.Tensor.mm,
        torch.addmm,
        torch.Tensor.addmm,
        torch.baddbmm,
        torch.Tensor.baddbmm,
        torch.einsum,
    }
)
_TO_FLOAT32: Final[frozenset[Function]] = frozenset(
    {
        F.layer_norm,
        F.group_norm,
        F.rms_norm,
        F.cross_entropy,
        F.nll_loss,
        F.mse_loss,
        F.binary_cross_entropy_with_logits,
        F.softplus,
        torch.pow,
        torch.Tensor.pow,
        torch.Tensor.__pow__,
        torch.rsqrt,
        torch.Tensor.rsqrt,
        torch.exp,
        torch.Tensor.exp,
        torch.log,
        torch.Tensor.log,
        torch.norm,
        torch.Tensor.norm,
    }
)
_GIVES_FLOAT32: Final[frozenset[Function]] = frozenset(
    {
        F.softmax,
        torch.softmax,
        torch.Tensor.softmax,
        F.log_softmax,
        torch.log_softmax,
        torch.Tensor.log_softmax,
        torch.sum,
        torch.Tensor.sum,
        torch.cumsum,
        torch.Tensor.cumsum,
    }
)
"""Of which autocast asks for a float32 result, where the code asks for no type itself, and casts
nothing (`fp32_set_opt_dtype` in aten/src/ATen/autocast_mode.cpp)."""


class Autocast(TorchFunctionMode):
    """Casts the arguments of the listed functions, while entered.

    Attributes:
        off: code asked for no autocast, for a while.
    """

    off: ClassVar[bool] = False

    def __init__(self, dtype: torch.dtype, *, keeps_weights: bool = True) -> None:
        """Cast to ``dtype``.

        Args:
            dtype: bfloat16 or float16.
            keeps_weights: hold a weight's copy until the end; not so while recomputing.
        """
        super().__init__()
        self._dtype = dtype
        self._keeps = keeps_weights
        self._weights: dict[int, torch.Tensor] = {}

    def __exit__(self, *args: object) -> None:
        """Leave, and let go of the weights' copies."""
        self._weights.clear()
        super().__exit__(*args)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        function: Function,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as torch
        """Run a function on arguments of the type that autocast gives them."""
        kwargs = kwargs or {}
        if Autocast.off:
            return function(*args, **kwargs)
        if function in _TO_LOW:
            args = tuple(self._low(value) for value in args)
            kwargs = {name: self._low(value) for name, value in kwargs.items()}
        elif function in _TO_FLOAT32:
            args = tuple(_float32(value) for value in args)
            kwargs = {name: _float32(value) for name, value in kwargs.items()}
        elif function in _GIVES_FLOAT32 and kwargs.get("dtype") is None and _is_half(args):
            kwargs["dtype"] = torch.float32
        return function(*args, **kwargs)

    def _low(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, (tuple, list)):
            return type(value)(self._low(one) for one in value)
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            return value
        if not (self._keeps and value.requires_grad and value.is_leaf):
            return value.to(self._dtype)
        kept = self._weights.get(id(value))
        if kept is None or (torch.is_grad_enabled() and not kept.requires_grad):
            # A copy that was made without gradients would cut the weight off from its own.
            kept = self._weights[id(value)] = value.to(self._dtype)
        return kept


def _is_half(args: tuple[Any, ...]) -> bool:
    first = args[0] if args else None
    return isinstance(first, torch.Tensor) and first.dtype in _HALVES


def _float32(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, torch.Tensor) and value.dtype in _HALVES:
        return value.float()
    return value


def recomputation(dtype: torch.dtype) -> tuple[Any, Any]:
    """Return the contexts of a checkpoint's forward pass and of its recomputation.

    torch restores its own autocast in a recomputation; it knows nothing of this one.
    """
    return nullcontext(), Autocast(dtype, keeps_weights=False)


@contextmanager
def _switched_off() -> Iterator[None]:
    before, Autocast.off = Autocast.off, True
    try:
        yield
    finally:
        Autocast.off = before


@contextmanager
def announced(dtype: torch.dtype | None) -> Iterator[None]:
    """Let torch say that autocast is on for meta to code that asks, and switch it off on demand.

    trl's fused head asks; peft switches it off while it adds up a weight.
    """
    own = torch.is_autocast_enabled, torch.get_autocast_dtype, torch.autocast
    is_enabled, get_dtype, autocast = own

    def enabled(device: str | None = None) -> bool:
        # Asked without a device it means CUDA, whose part meta plays here (peft asks so).
        if device in (None, "meta"):
            return dtype is not None and not Autocast.off
        return is_enabled(device)

    def dtype_of(device: str) -> torch.dtype:
        return dtype if device == "meta" and dtype is not None else get_dtype(device)

    def context(device_type: str, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        if device_type != "meta":
            return autocast(device_type, *args, **kwargs)
        return nullcontext() if kwargs.get("enabled", True) else _switched_off()

    torch.is_autocast_enabled, torch.get_autocast_dtype = enabled, dtype_of  # type: ignore[assignment]
    torch.autocast = context  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        torch.is_autocast_enabled, torch.get_autocast_dtype, torch.autocast = own  # type: ignore[misc]
