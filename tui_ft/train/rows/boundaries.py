"""Whether a model keeps the texts apart that share a row.

transformers masks them apart by their positions, which begin anew with each text. Models that take
none (BLOOM, MPT, Mamba) read across, as do many that take them: OPT, Falcon and BioGPT do not hand
them to their mask, and state spaces carry on what they read. No loss shows it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunFailure
from tui_ft.train.model import base_of

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job
    from tui_ft.train.precision import Precision

_LENGTH: Final = 6
_NOISE: Final = 1e-2
"""Of the largest logit: the same sums in another order, in 16 bits."""


def refuse_without_positions(spec: RunSpec) -> None:
    """Refuse to join texts for a model that takes no positions, before it is loaded.

    Raises:
        RunFailure: its class has no argument for them.
    """
    training = spec.training
    joins = training.packing and training.packing_strategy != "wrapped"
    if not (joins or training.padding_free):
        return
    name, revision = base_of(spec)
    trusted = spec.model.trust_remote_code
    config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=trusted)
    known: Any = AutoModelForCausalLM._model_mapping.get(type(config), None)
    forward = getattr(known, "forward", None)  # none of code of its own, or of several classes
    if forward is None or "position_ids" in inspect.signature(forward).parameters:
        return
    raise _refusal(config.model_type, packing=training.packing)


def refuse_reading_across(job: Job, trainer: Any) -> None:  # noqa: ANN401
    """Refuse to join texts for a model in which a text is changed by the one before it.

    Two pairs of short texts, of which the second is the same, go through the trainer's collator
    and the model. Not tried where no process holds the whole model, nor on unsloth's, which gives
    no logits.

    Args:
        job: what the run is.
        trainer: trl's SFTTrainer, whose model is on its device.

    Raises:
        RunFailure: the second text comes out otherwise.
    """
    if not trainer.padding_free or job.ranks.shares_weights or job.spec.model.backend == "unsloth":
        return
    model = trainer.model
    modes = {module: module.training for module in model.modules()}
    model.eval()
    first, second = (_logits_of_second(trainer, begin, job.precision) for begin in (0, 2 * _LENGTH))
    for module, was_training in modes.items():
        module.training = was_training
    if (first - second).abs().max() > _NOISE * first.abs().max():
        raise _refusal(model.config.model_type, packing=trainer.args.packing)


def _refusal(model_type: str, *, packing: bool) -> RunFailure:
    how = "training.packing" if packing else "training.padding_free"
    wrapped = "or training.packing_strategy to wrapped, which joins texts on purpose"
    return RunFailure(
        f"a text would change the one behind it in the same row: {model_type} does not keep them "
        "apart",
        f"set {how} to false",
        *((wrapped,) if packing else ()),
    )


@torch.no_grad()
def _logits_of_second(trainer: Any, begin: int, precision: Precision) -> torch.Tensor:  # noqa: ANN401
    """Return the logits (tokens, vocabulary) of a text behind one of tokens from ``begin`` on."""
    before, behind = (list(range(start, start + _LENGTH)) for start in (begin, _LENGTH))
    rows: list[dict[str, Any]] = [{"input_ids": before}, {"input_ids": behind}]
    if trainer.args.packing:
        rows = [{"input_ids": before + behind, "seq_lengths": [_LENGTH, _LENGTH]}]
    batch = trainer.data_collator(rows)
    del batch["labels"]
    device = next(trainer.model.parameters()).device
    there = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
    low = precision.compute_dtype
    with torch.autocast(device.type, low, enabled=low != torch.float32):
        logits: torch.Tensor = trainer.model(**there).logits[0, _LENGTH:].float()
    return logits
