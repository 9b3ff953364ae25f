"""What is particular to objectives beside supervised fine-tuning, by trl's names."""

from __future__ import annotations

from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.advice import Choice, Phase
from tui_ft.advise.objective import STARTS_AS_SFT
from tui_ft.advise.sources import at

_DPO: Final = (
    Choice(
        key="beta",
        value=0.1,
        reason="how strongly it is held to the reference: 0.01 to 0.5, 0.1 first",
        source=at(sources.PART3, "9"),
    ),
    Choice(
        key="loss_type",
        value="sigmoid",
        reason="DPO's own loss; hinge and ipo beside it",
        source=at(sources.EXPERT, "SFT vs DPO vs RLHF"),
    ),
    Choice(
        key="learning_rate",
        value=5e-6,
        reason=(
            "with LoRA; all weights: 5e-7. The guides say 5e-7 (Ops Guide, Complete Guide) and "
            "5e-5 (Part 3); followed is a published recipe between them"
        ),
        source=sources.HANDBOOK,
    ),
    Choice(
        key="num_train_epochs",
        value=1,
        reason="it overfits quickly (Complete Guide 8.4 takes 3)",
        source=at(sources.EXPERT, "SFT vs DPO vs RLHF"),
    ),
    Choice(
        key="ref_model",
        value=None,
        reason="with LoRA the adapter switched off is the reference: no second model in memory",
        source=at(sources.PART3, "7"),
    ),
)

_PARTICULARS: Final = {
    "dpo": _DPO,
    "orpo": (
        Choice(
            key="beta",
            value=0.1,
            reason="weight of the preference beside the answers; no reference model",
            source="ORPO, arXiv:2403.07691",
        ),
    ),
    "kto": (
        Choice(
            key="beta",
            value=0.1,
            reason="as for DPO",
            source=sources.KTO,
        ),
        Choice(
            key="desirable_weight",
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
    "classification": (
        Choice(
            key="per_device_train_batch_size",
            value=32,
            reason="short texts, a small model",
            source=at(sources.PART3, "2"),
        ),
        Choice(
            key="metric",
            value="F1",
            reason="accuracy hides a rare class",
            source=at(sources.LESSON, "task-specific metrics"),
        ),
    ),
}

_CHOSEN_BY_TREE: Final = ("learning_rate", "num_train_epochs", "per_device_train_batch_size")

_NAMES: Final = {
    "sft": "supervised fine-tuning",
    "pretraining": "continued pretraining",
    "dpo": "direct preference optimisation (DPO)",
    "orpo": "odds ratio preference optimisation (ORPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
    "grpo": "group relative policy optimisation (GRPO)",
    "classification": "sequence classification",
}


def phases_of(objective: str) -> tuple[Phase, ...]:
    """Return what is trained in which order for an objective of the tree.

    What the tree chooses for the first stage is not said again as particular to it.
    """
    names = objective.split("_then_")
    return tuple(_phase(name, first=name == names[0]) for name in names)


def _phase(name: str, *, first: bool) -> Phase:
    startable = name in STARTS_AS_SFT
    said = "ftui trains it" if startable else "ftui cannot train it yet: with trl, from here"
    return Phase(
        objective=name,
        name=_NAMES.get(name, name),
        startable=startable,
        text=said,
        choices=tuple(
            choice
            for choice in _PARTICULARS.get(name, ())
            if not (first and choice.key in _CHOSEN_BY_TREE)
        ),
    )
