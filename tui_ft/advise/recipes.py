"""What is particular to objectives beside supervised fine-tuning."""

from __future__ import annotations

from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.advice import Choice, Phase
from tui_ft.advise.objective import FIRST_STAGE
from tui_ft.advise.sources import at

_DPO: Final = (
    Choice(
        key="objective.beta",
        value=0.1,
        reason="how strongly it is held to what it was: 0.01 to 0.5, 0.1 first",
        source=at(sources.PART3, "9"),
    ),
    Choice(
        key="objective.loss_type",
        value="sigmoid",
        reason="DPO's own loss; hinge and ipo beside it",
        source=at(sources.EXPERT, "SFT vs DPO vs RLHF"),
    ),
)

_FIELDS: Final = {
    "dpo": _DPO,
    "orpo": (
        Choice(
            key="objective.beta",
            value=0.1,
            reason="weight of the preference beside the answers; no reference model",
            source="ORPO, arXiv:2403.07691",
        ),
    ),
    "kto": (
        Choice(
            key="objective.beta",
            value=0.1,
            reason="as for DPO",
            source=sources.KTO,
        ),
        Choice(
            key="objective.desirable_weight",
            value=1.0,
            reason="raise it, or undesirable_weight, until both sides count alike",
            source=sources.KTO,
        ),
    ),
    "grpo": (
        Choice(
            key="num_generations",
            value=8,
            reason="answers to each prompt, compared with each other",
            source="GRPO, arXiv:2402.03300",
        ),
        Choice(
            key="reward_funcs",
            value="one of yours",
            reason="a check of the answer (exact match, valid JSON, tests) or a reward model",
            source=at(sources.COMPLETE, "7"),
        ),
    ),
}

_AFTERWARDS: Final = (
    Choice(
        key="training.learning_rate",
        value=5e-6,
        reason=(
            "with LoRA; all weights: 5e-7. The guides say 5e-7 (Ops Guide, Complete Guide) and "
            "5e-5 (Part 3); followed is a published recipe between them"
        ),
        source=sources.HANDBOOK,
    ),
    Choice(
        key="training.num_train_epochs",
        value=1,
        reason="it overfits quickly (Complete Guide 8.4 takes 3)",
        source=at(sources.EXPERT, "SFT vs DPO vs RLHF"),
    ),
)
"""Of a preference stage that follows on SFT; of one that comes first the tree chooses them."""

_NAMES: Final = {
    "sft": "supervised fine-tuning",
    "pretraining": "continued pretraining",
    "dpo": "direct preference optimisation (DPO)",
    "orpo": "odds ratio preference optimisation (ORPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
    "grpo": "group relative policy optimisation (GRPO)",
    "classification": "sequence classification",
}


def fields_of(kind: str) -> tuple[Choice, ...]:
    """Return what is particular to an objective."""
    return _FIELDS.get(kind, ())


def phases_of(objective: str) -> tuple[Phase, ...]:
    """Return what is trained in which order for an objective of the tree.

    What the first stage's run says is not said again.
    """
    first, *later = objective.split("_then_")
    said = () if first in FIRST_STAGE else fields_of(first)
    return (
        _phase(first, said, "this run" if first in FIRST_STAGE else "not by ftui yet: with trl"),
        *(
            _phase(name, (*fields_of(name), *_AFTERWARDS), "a run of its own, from what this gives")
            for name in later
        ),
    )


def _phase(name: str, choices: tuple[Choice, ...], said: str) -> Phase:
    return Phase(
        objective=name,
        name=_NAMES.get(name, name),
        startable=name in FIRST_STAGE,
        text=said,
        choices=choices,
    )
