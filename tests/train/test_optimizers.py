"""Optimizers of other libraries: states that come back, and weights that are of use.

Those that train are tried where their library is installed (`pip install galore-torch …`).
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.train.running import Ran, make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.spec.optimizers import OPTIMIZERS
from tui_ft.train.errors import RunFailure
from tui_ft.train.optimizers import (
    place_states,
    readable_states,
    refuse_scaled_gradients,
    show_averages,
)
from tui_ft.train.precision import Precision


class GaLoreProjector:
    """As galore_torch 1.0 keeps it in the states of its optimizers: plain values and a tensor."""

    def __init__(self) -> None:
        self.rank = 4
        self.ortho_matrix = torch.arange(4.0)


def test_classes_in_the_states_are_read_back_where_they_belong_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("galore_torch.galore_projector")
    module.GaLoreProjector = GaLoreProjector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "galore_torch", types.ModuleType("galore_torch"))
    monkeypatch.setitem(sys.modules, "galore_torch.galore_projector", module)
    file = tmp_path / "optimizer.pt"
    torch.save({"projector": GaLoreProjector()}, file)
    with readable_states("galore_adamw"):
        kept = torch.load(file, weights_only=True)["projector"]
    assert torch.equal(kept.ortho_matrix, torch.arange(4.0))
    for optim in ("adamw_torch", "schedule_free_adamw"):
        with readable_states(optim), pytest.raises(Exception, match="Weights only load failed"):
            torch.load(file, weights_only=True)


def test_what_is_in_a_states_object_is_moved_to_its_weight() -> None:
    weight = torch.nn.Parameter(torch.empty(4, device="meta"))
    optimizer = torch.optim.SGD([weight])
    optimizer.state[weight] = {"projector": GaLoreProjector(), "step": 3}
    place_states(optimizer)
    assert optimizer.state[weight]["projector"].ortho_matrix.device.type == "meta"
    assert optimizer.state[weight]["projector"].rank == 4


def test_scaled_gradients_are_refused_only_beside_a_step_in_the_backward_pass() -> None:
    half = Precision("fp16", torch.float16)
    with pytest.raises(RunFailure, match="lomo steps in the backward pass"):
        refuse_scaled_gradients("lomo", half)
    refuse_scaled_gradients("lomo", Precision("bf16", torch.bfloat16))
    refuse_scaled_gradients("galore_adamw", half)


def test_of_an_optimizer_without_averages_nothing_is_asked() -> None:
    show_averages(None)
    show_averages(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]))


def _spec(folder: Path, model: Path, optim: str, **training: Any) -> Any:
    needs = OPTIMIZERS[optim]
    if needs.module:
        pytest.importorskip(needs.module)
    targets = {"optim_target_modules": "all-linear", "optim_args": "rank=8"}
    more = {"max_steps": 8, "eval_steps": 4, "save_steps": 4, "load_best_model_at_end": False}
    return make_spec(
        folder,
        model,
        training={"optim": optim, **more, **(targets if needs.targets else {}), **training},
    )


def _stop_after(step: int) -> Any:
    def on_event(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == step:
            send("stop")

    return on_event


@pytest.mark.parametrize(
    "optim",
    [
        *("galore_adamw", "galore_adafactor", "apollo_adamw", "stable_adamw", "lomo"),
        *("schedule_free_adamw", "schedule_free_radam", "schedule_free_sgd", "adamw_torch_8bit"),
    ],
)
def test_by_name_it_trains_and_goes_on_as_it_was(
    tmp_path: Path, tiny_llama: Path, optim: str
) -> None:
    spec = _spec(tmp_path, tiny_llama, optim)
    whole = run_worker(spec, tmp_path / "whole")
    assert whole.ended.state == "finished", whole.ended
    stopped = run_worker(spec, tmp_path / "halves", on_event=_stop_after(5))
    assert stopped.ended.state == "stopped", stopped.ended
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.ended.state == "finished", resumed.ended
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
    first, last = whole.losses[0], whole.losses[-1]
    assert first is not None
    assert last is not None
    assert last < first - 0.02


def _saved(ran: Ran, at: Path) -> dict[str, torch.Tensor]:
    assert ran.ended.state == "finished", ran.ended
    return safetensors.torch.load_file(at / "model.safetensors")


def test_what_schedule_free_saves_is_its_average(tmp_path: Path, tiny_llama: Path) -> None:
    """The weights that were evaluated are those that are kept, whenever it was saved."""
    spec = _spec(tmp_path, tiny_llama, "schedule_free_adamw", eval_steps=None)
    ran = run_worker(spec, tmp_path / "run")
    optimizer = ran.trainer.optimizer.optimizer
    last = _saved(ran, ran.folder.output_dir())
    (_, at), *_ = reversed(ran.folder.checkpoints())
    checkpoint = _saved(ran, at)
    optimizer.train()  # the weights that it trains on
    for name, weight in ran.trainer.model.named_parameters():
        z = optimizer.state[weight]["z"]
        average = weight.detach() + (z - weight.detach()) * (1 - 1 / 0.9)
        torch.testing.assert_close(last[name], average)
        torch.testing.assert_close(checkpoint[name], average)
        assert not torch.allclose(last[name], weight.detach())
