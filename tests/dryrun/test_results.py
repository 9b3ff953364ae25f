"""What is remembered of an operation is what it gives when it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch

from tests.memory.models import TINY
from tui_ft.dryrun.replay import replay
from tui_ft.dryrun.results import Results
from tui_ft.memory.replayed import Replayed
from tui_ft.memory.step import Quantization, Step

LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
_aten = torch.ops.aten
Given = Callable[[], tuple[Any, ...]]


def _on_meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def _described(out: Any) -> Any:
    if isinstance(out, torch.Tensor):
        return out.shape, out.stride(), out.dtype, out.untyped_storage().nbytes()
    if isinstance(out, (tuple, list)):
        return [_described(one) for one in out]
    return out


MAKE: dict[str, tuple[Any, Given]] = {
    "a sum": (_aten.add.Tensor, lambda: (_on_meta(3, 4), _on_meta(4))),
    "a product": (_aten.mm.default, lambda: (_on_meta(3, 4), _on_meta(5, 4).t())),
    "transposed": (_aten.mul.Tensor, lambda: (_on_meta(4, 3).t(), _on_meta(4, 3).t())),
    "expanded": (_aten.exp.default, lambda: (_on_meta(1, 4).expand(3, 4),)),
    "of halves": (_aten.sum.dim_IntList, lambda: (_on_meta(3, 4, dtype=torch.half), [1])),
    "joined": (_aten.cat.default, lambda: ([_on_meta(2, 3), _on_meta(4, 3)],)),
    "several": (
        _aten._scaled_dot_product_flash_attention.default,
        lambda: tuple(_on_meta(1, 2, 8, 16, dtype=torch.half) for _ in range(3)),
    ),
}


@pytest.mark.parametrize("name", MAKE)
def test_what_an_operation_makes_is_made_again(name: str) -> None:
    operation, given = MAKE[name]
    results, ran = Results(), operation(*given())
    for _ in range(3):
        assert _described(results.of(operation, given(), {})) == _described(ran)
    assert len(results._known) == 1


def test_what_is_made_again_is_a_tensor_of_its_own() -> None:
    results, one = Results(), _on_meta(3, 4)
    first, second = (results.of(_aten.neg.default, (one,), {}) for _ in range(2))
    storages = {tensor.untyped_storage()._cdata for tensor in (one, first, second)}
    assert len(storages) == 3


@pytest.mark.parametrize(
    ("operation", "more"),
    [(_aten.view.default, [12]), (_aten._unsafe_view.default, [12]), (_aten.t.default, None)],
)
def test_a_view_goes_on_sharing_its_storage(operation: Any, more: object) -> None:
    results = Results()
    for _ in range(3):
        one = _on_meta(3, 4)
        out = results.of(operation, (one,) if more is None else (one, more), {})
        assert out.untyped_storage()._cdata == one.untyped_storage()._cdata


def test_writing_in_place_gives_the_tensor_that_is_written_to() -> None:
    results = Results()
    for _ in range(3):
        one, several = _on_meta(3, 4), [_on_meta(2), _on_meta(3)]
        assert results.of(_aten.add_.Tensor, (one, _on_meta(4)), {"alpha": 2}) is one
        assert results.of(_aten.copy_.default, (one, _on_meta(3, 4)), {}) is one
        assert results.of(_aten._foreach_mul_.Scalar, (several, 0.5), {}) is None
    with pytest.raises(RuntimeError, match="shape"):
        results.of(_aten.add_.Tensor, (_on_meta(4), _on_meta(3, 4)), {})


def test_numbers_of_other_types_and_other_arguments_are_told_apart() -> None:
    results, one = Results(), _on_meta(3, 4, dtype=torch.long)
    assert results.of(_aten.add.Tensor, (one, 1), {}).dtype == torch.long
    assert results.of(_aten.add.Tensor, (one, 1.0), {}).dtype == torch.float32
    assert results.of(_aten.sum.dim_IntList, (one, [0]), {}).shape == (4,)
    assert results.of(_aten.sum.dim_IntList, (one, [0], True), {}).shape == (1, 4)
    assert results.of(_aten.sum.dim_IntList, (one, [0]), {"dtype": torch.half}).dtype == torch.half


def test_what_has_data_is_run() -> None:
    results, one = Results(), torch.tensor([1.0, 2.0])
    assert results.of(_aten.neg.default, (one,), {}).tolist() == [-1.0, -2.0]
    assert results.of(_aten.neg.default, (one + 1,), {}).tolist() == [-2.0, -3.0]


@pytest.mark.parametrize(
    "step",
    [
        {"weights": "float32", "arithmetic": "bfloat16", "checkpointing": True},
        {"adapter": LORA, "quantization": Quantization(), "optim": "paged_adamw_8bit"},
        {"objective": "dpo", "adapter": LORA, "padded": True},
    ],
    ids=["full", "qlora", "dpo"],
)
def test_a_replay_finds_what_it_finds_when_all_is_run(
    step: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Replayed:
        replayed = replay(Step(config=TINY, batch=2, length=64, **step))
        return msgspec.structs.replace(replayed, seconds=0.0)

    remembered = found()
    monkeypatch.setattr(
        Results, "of", lambda _, operation, args, kwargs: operation(*args, **kwargs)
    )
    assert found() == remembered


def test_a_quotient_of_integers_is_of_the_default_dtype_of_the_moment() -> None:
    results, whole = Results(), _on_meta(3, dtype=torch.long)
    given: tuple[Any, tuple[Any, ...], dict[str, Any]] = (_aten.div.Tensor, (whole, whole), {})
    assert results.of(*given).dtype == torch.float32
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert results.of(*given).dtype == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)
