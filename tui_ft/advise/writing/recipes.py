"""What is particular to objectives beside supervised fine-tuning."""

from __future__ import annotations

from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.advice import Choice
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
}

NAMES: Final = {
    "sft": "supervised fine-tuning",
    "pretraining": "continued pretraining",
    "dpo": "direct preference optimisation (DPO)",
    "orpo": "odds ratio preference optimisation (ORPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
    "grpo": "group relative policy optimisation (GRPO)",
    "rloo": "REINFORCE leave-one-out (RLOO)",
    "ppo": "proximal policy optimisation (PPO)",
    "reward": "reward model",
    "classification": "sequence classification",
}


def fields_of(kind: str) -> tuple[Choice, ...]:
    """Return what is particular to an objective."""
    return _FIELDS.get(kind, ())
