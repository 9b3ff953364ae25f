"""What an optimizer is said to hold is what the real one holds after a step."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch

from tui_ft.memory.from_spec import step_of
from tui_ft.memory.states import optimizer_states, paged_bytes
from tui_ft.spec import build_spec

OTHERS = {
    "schedule_free_adamw": ("schedulefree", "AdamWScheduleFree"),
    "schedule_free_radam": ("schedulefree", "RAdamScheduleFree"),
    "schedule_free_sgd": ("schedulefree", "SGDScheduleFree"),
    "stable_adamw": ("optimi", "StableAdamW"),
    "adamw_torch_8bit": ("torchao.optim", "AdamW8bit"),
    "adamw_torch_4bit": ("torchao.optim", "AdamW4bit"),
}
"""Those of libraries that are not there as a rule: module and class."""
SHAPES = [(8192, 64), (64,), (100, 30), (4096,)]


def _real_sizes(optimizer: torch.optim.Optimizer) -> Counter[int]:
    held: Counter[int] = Counter()
    seen = set()
    for state in optimizer.state.values():
        for name, value in state.items():
            shared = name.startswith("qmap") or name == "step"  # once for all, or on the CPU
            if not isinstance(value, torch.Tensor) or shared:
                continue
            attributes = getattr(value, "tensor_attrs", ())  # torchao's, of several tensors each
            for tensor in [getattr(value, one) for one in attributes] or [value]:
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    held[tensor.untyped_storage().nbytes()] += 1
    return held


@pytest.fixture(autouse=True)
def no_overrides() -> None:
    """Forget what an earlier Trainer in this process asked for.

    It has the states of embeddings in 32 bits, and bitsandbytes keeps that by the place of a
    parameter among all, for every optimizer of the process.
    """
    from bitsandbytes.optim import GlobalOptimManager

    GlobalOptimManager.get_instance().initialize()


def _make(name: str, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    import bitsandbytes as bnb
    from transformers.optimization import Adafactor

    if name in OTHERS:
        module, called = OTHERS[name]
        blocks = {"block_size": 256} if "torchao" in module else {}  # as transformers has it
        optimizer = getattr(pytest.importorskip(module), called)(parameters, lr=1e-3, **blocks)
        if callable(getattr(optimizer, "train", None)):
            optimizer.train()
        return optimizer  # type: ignore[no-any-return]
    made = {
        "adamw_torch": torch.optim.AdamW,
        "adamw_8bit": bnb.optim.AdamW8bit,
        "lion_8bit": bnb.optim.Lion8bit,
        "lion_32bit": bnb.optim.Lion,
        "ademamix": bnb.optim.AdEMAMix,
        "ademamix_8bit": bnb.optim.AdEMAMix8bit,
        "rmsprop_bnb_8bit": bnb.optim.RMSprop8bit,
        "adafactor": partial(Adafactor, lr=1e-3, scale_parameter=False, relative_step=False),
        "sgd": torch.optim.SGD,
    }[name]
    return made(parameters)  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "name",
    [
        *("adamw_torch", "adamw_8bit", "lion_8bit", "lion_32bit", "adafactor", "sgd"),
        *("ademamix", "ademamix_8bit", "rmsprop_bnb_8bit", *OTHERS),
    ],
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


PROJECTING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "galore_adamw": ("galore_torch", "GaLoreAdamW", {}),
    "galore_adafactor": (
        "galore_torch",
        "GaLoreAdafactor",
        {"scale_parameter": False, "relative_step": False},
    ),
    "apollo_adamw": ("apollo_torch", "APOLLOAdamW", {}),
}
"""Module, class and arguments as transformers gives them (trainer_optimizer.py)."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", PROJECTING)
def test_the_states_of_real_optimizers_that_project(name: str, dtype: torch.dtype) -> None:
    module, called, arguments = PROJECTING[name]
    rank = 8
    group: dict[str, Any] = {"rank": rank, "update_proj_gap": 200, "scale": 0.25}
    group["proj_type"] = "std"
    if name == "apollo_adamw":
        group |= {"proj": "random", "scale_type": "channel"}
    shapes = [(512, 64), (64, 256), (96, 96), (64,)]
    parameters = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in shapes]
    groups = [{"params": parameters[:3], **group}, {"params": parameters[3:]}]
    optimizer = getattr(pytest.importorskip(module), called)(groups, lr=1e-3, **arguments)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    held: Counter[int] = Counter()
    for state in optimizer.state.values():
        for value in state.values():
            tensor = getattr(value, "ortho_matrix", value)  # the projector's
            if isinstance(tensor, torch.Tensor):
                held[tensor.untyped_storage().nbytes()] += 1
    said = Counter(
        state.size
        for shape in shapes
        for state in optimizer_states(name, shape, str(dtype)[6:], rank=rank * (len(shape) > 1))
    )
    assert said == held


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [False, True])
def test_moments_that_are_asked_for_are_held(momentum: float, centered: bool) -> None:
    weight = torch.nn.Parameter(torch.randn(10, 10))
    weight.grad = torch.randn_like(weight)
    asked = f"momentum={momentum}, centered={centered}"
    for name, real in (
        ("sgd", torch.optim.SGD([weight], momentum=momentum)),
        ("rmsprop", torch.optim.RMSprop([weight], momentum=momentum, centered=centered)),
    ):
        real.step()
        values = {
            "model": {"name_or_path": "m"},
            "data": {"train": "d"},
            "training": {"optim": name, "optim_args": asked},
        }
        step = step_of(build_spec(values), {})
        said = Counter(one.size for one in optimizer_states(step.optim, (10, 10), "float32"))
        assert said == _real_sizes(real)


def test_lomo_and_grokadamw_hold_nothing_there_and_adalomo_means() -> None:
    assert optimizer_states("lomo", (64, 32), "float32") == ()
    assert optimizer_states("grokadamw", (64, 32), "float32") == ()  # they are on the CPU
    sizes = [one.size for one in optimizer_states("adalomo", (64, 32), "bfloat16")]
    assert sizes == [4 * 64, 4 * 32]


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
    with pytest.raises(ValueError, match="adamw_anyprecision is not known; known are adafactor"):
        optimizer_states("adamw_anyprecision", (1,), "float32")
