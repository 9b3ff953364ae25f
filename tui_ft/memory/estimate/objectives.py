"""What a step of each objective runs: the pass that learns, and those around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui_ft.memory.estimate.heads import HeadKind, Loss
from tui_ft.memory.step import GENERATES, PAIRED, Generation, Step

_HEADS: Final[dict[str, HeadKind]] = {
    "causal_lm": "logits",
    "orpo": "pairs",
    "cpo": "pairs",
    "simpo": "pairs",
    "reward": "scores",
    "classification": "scores",
}
"""Of trl 1.16's trainers; all others have the fused head."""
_COMPARES: Final = ("dpo", "kto")
_LONG: Final = 8
_TENSORS: Final[dict[str, int]] = {"dpo": 3, "kto": 6, "orpo": 6, "cpo": 6, "simpo": 6}
"""Tensors of token ids or masks in a batch; two for most, and labels."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The passes of a step.

    Attributes:
        loss: of the pass that learns.
        scored: of the same rows, without gradients, before it: by the policy itself (KTO's
            estimate of the divergence).
        compared: by a reference, after it and with all that it keeps still there.
        generation: answers made before it.
        judged: of them, without gradients, as many as are looked at together.
        evaluation: of held-out rows, without gradients, when the step is over.
        references: frozen copies of the base: a reference, a model that scores answers, EWC's
            two.
    """

    loss: Loss
    scored: bool = False
    compared: bool = False
    generation: Generation | None = None
    judged: Loss | None = None
    evaluation: Loss | None = None
    references: int = 0


def plan_of(step: Step, virtual: int) -> Plan:
    """Return the passes of a step.

    Args:
        step: the step.
        virtual: tokens that a prompt adds to each row.
    """
    objective = step.objective
    generation = step.generation
    if objective in GENERATES and generation is None:
        answer = min(step.answer, step.length - 1)
        generation = Generation(rows=step.batch, prompt=step.length - answer, new=answer)
    loss = _loss(step, step.batch, virtual)
    evaluated = step.evaluation_batch
    judged = None
    if generation is not None and objective in GENERATES:
        judged = _loss(step, generation.rows, virtual) if objective == "ppo" else loss
    return Plan(
        loss,
        scored=objective == "kto",
        compared=objective in _COMPARES,
        generation=generation,
        judged=judged,
        evaluation=_loss(step, evaluated, virtual) if evaluated else None,
        references=step.holds_reference
        + (step.reward_model and not step.reward_configs)
        + 2 * step.consolidated,
    )


def _loss(step: Step, batch: int, virtual: int) -> Loss:
    rows = batch * (2 if step.objective in PAIRED else 1)
    length = step.length + virtual
    return Loss(
        _HEADS.get(step.objective, "fused"),
        rows,
        length,
        max(1, round(rows * (length - 1) * step.share_with_loss)),
        answer=min(step.answer, step.length - 1),
        likelihood=step.objective in ("orpo", "cpo"),
        holds_outputs=step.holds_outputs,
        values=step.objective == "ppo",
    )


def input_bytes(step: Step, loss: Loss) -> int:
    """Return the bytes of a batch: 64-bit token ids, masks and labels."""
    return _TENSORS.get(step.objective, 3) * loss.rows * loss.length * _LONG
