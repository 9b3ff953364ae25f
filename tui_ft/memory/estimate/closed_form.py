"""A step's figure in closed form: the largest of its moments, a band, and the allocator's slack."""

from __future__ import annotations

from typing import Final

from tui_ft.memory.estimate.adapters import UnknownAdapterError
from tui_ft.memory.estimate.families import UnknownFamilyError, is_checked
from tui_ft.memory.estimate.model import Model, model_of, value_head
from tui_ft.memory.estimate.moments import Moment, moments_of
from tui_ft.memory.estimate.reserving import replayed_short
from tui_ft.memory.estimate.sharding import computed_step
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import CONTEXT, CONTEXT_HIGH, CONTEXT_LOW, UNSEEN, Figure, Term
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.states import NOT_REPLAYED
from tui_ft.memory.step import Step

GUESS: Final = 0.15
"""Wider by this share where a family's layers are taken to be Llama's, or mixtures to be laid out
as Mixtral's, with optimizers that no dry run knows, and on several GPUs: none of it is compared
with replays."""
_SLACK: Final = 0.06
_SLACK_BAND: Final = 0.12
"""Reserved above allocated, as a share, where it is not looked into: the median and the 80th
percentile over the grid of benchmarks/results/2026-11-25-estimate.md."""


def estimate(
    step: Step, *, sharding: Sharding | None = None, careful: bool = False
) -> Figure | Unknown:
    """Return what a step takes of a GPU.

    Args:
        step: the step; on several GPUs, what one of them computes.
        sharding: how the run is spread over GPUs; the band is then as wide as a guess's.
        careful: run a few layers through the allocator's model for what is reserved above the
            tensors, which takes some milliseconds; else an average share is taken.
    """
    try:
        model = model_of(step)
        computed = model_of(computed_step(step, sharding))
    except (UnknownFamilyError, UnknownAdapterError, ValueError) as error:
        return Unknown(str(error))
    moments = moments_of(computed, sharding, model)
    peak = max(moments, key=lambda moment: moment.total)
    lost, lost_at_worst = _lost(model, peak, careful=careful)
    known = is_checked(model.architecture) and step.optim not in NOT_REPLAYED
    unsure = 0.0 if known and sharding is None else GUESS
    return _figure(model, peak, lost, lost_at_worst, unsure)


def _lost(model: Model, peak: Moment, *, careful: bool) -> tuple[int, int]:
    """Return what is reserved above what is allocated, and what it may be at worst."""
    if not careful:
        return int(peak.total * _SLACK), int(peak.total * _SLACK_BAND)
    reserved, allocated = replayed_short(model)
    lost = reserved - allocated
    return lost, lost


def _figure(model: Model, peak: Moment, lost: int, lost_at_worst: int, unsure: float) -> Figure:
    terms = [Term(name, size) for name, size in peak.terms.items()]
    most = int((peak.total + lost_at_worst) * (1 + UNSEEN) * (1 + unsure))
    return Figure(
        low=int(peak.total * (1 - unsure)) + CONTEXT_LOW,
        expected=peak.total + lost + CONTEXT,
        high=most + CONTEXT_HIGH,
        terms=(*terms, Term("allocator slack", lost), Term("CUDA context", CONTEXT)),
        stage=peak.stage,
        source="estimate",
        trainable_parameters=model.sizes.trainable_parameters,
        parameters=model.architecture.parameters + value_head(model.step, model.architecture),
    )
