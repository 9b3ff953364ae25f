"""What an optimizer is said to hold is what the real one holds after a step."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from tui_ft.memory.states import optimizer_states, paged_bytes

SHAPES = [(8192, 64), (64,), (100, 30), (4096,)]


def _real_sizes(optimizer: torch.optim.Optimizer) -> Counter[int]:
    held: Counter[int] = Counter()
    seen = set()
    for state in optimizer.state.values():
        for name, value in state.items():
            shared = name.startswith("qmap") or name == "step"  # once for all, or on the CPU
            if isinstance(value, torch.Tensor) and not shared and id(value) not in seen:
                seen.add(id(value))
                held[value.untyped_storage().nbytes()] += 1
    return held


def _make(name: str, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    import bitsandbytes as bnb
    from transformers.optimization import Adafactor

    match name:
        case "adamw_torch":
            return torch.optim.AdamW(parameters)
        case "adamw_8bit":
            return bnb.optim.AdamW8bit(parameters)  # type: ignore[no-any-return]
        case "lion_8bit":
            return bnb.optim.Lion8bit(parameters)  # type: ignore[no-any-return]
        case "lion_32bit":
            return bnb.optim.Lion(parameters)  # type: ignore[no-any-return]
        case "adafactor":
            return Adafactor(parameters, lr=1e-3, scale_parameter=False, relative_step=False)  # type: ignore[no-any-return]
    return torch.optim.SGD(parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "name", ["adamw_torch", "adamw_8bit", "lion_8bit", "lion_32bit", "adafactor", "sgd"]
)
def test_the_states_of_real_optimizers(name: str, dtype: torch.dtype) -> None:
    parameters = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES]
    optimizer = _make(name, parameters)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    said = Counter(
        state.size
        for shape in SHAPES
        for state in optimizer_states(name, shape, str(dtype).removeprefix("torch."))
    )
    assert said == _real_sizes(optimizer)


def test_large_paged_states_are_not_the_allocators() -> None:
    assert optimizer_states("paged_adamw_8bit", (1000, 1000), "bfloat16") == ()
    assert len(optimizer_states("paged_adamw_32bit", (10,), "bfloat16")) == 2
    assert paged_bytes("paged_adamw_32bit", (1000, 1000), "bfloat16") == 8 * 1000 * 1000
    assert paged_bytes("paged_adamw_8bit", (1024, 1024), "bfloat16") == 2 * (1 + 4 / 256) * 2**20
    assert paged_bytes("paged_adamw_32bit", (10,), "bfloat16") == 0
    assert paged_bytes("adamw_torch", (1000, 1000), "bfloat16") == 0


def test_states_of_embeddings_are_in_32_bits_as_the_trainer_asks_bitsandbytes_for() -> None:
    import bitsandbytes as bnb

    table = torch.nn.Embedding(200, 64)
    weight = torch.nn.Parameter(torch.randn(200, 64))
    table.weight = weight
    manager = bnb.optim.GlobalOptimManager.get_instance()
    manager.register_module_override(table, "weight", {"optim_bits": 32})
    try:
        optimizer = _make("adamw_8bit", [weight])
        weight.grad = torch.randn_like(weight)
        optimizer.step()
    finally:
        manager.module_weight_config_triple.clear()
    said = optimizer_states("adamw_8bit", (200, 64), "float32", embedding=True)
    assert Counter(state.size for state in said) == _real_sizes(optimizer)
    assert sum(state.size for state in said) == 2 * 4 * 200 * 64
    large = (1024, 1024)
    paged = paged_bytes("paged_adamw_8bit", large, "bfloat16", embedding=True)
    assert paged == 2 * 4 * 1024 * 1024


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match="galore_adamw is not known; known are adafactor"):
        optimizer_states("galore_adamw", (1,), "float32")
