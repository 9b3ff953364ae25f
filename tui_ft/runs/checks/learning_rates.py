"""Whether a run's learning rate and its price of KL are such as its objective and method take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE, VIRTUAL_TOKENS
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.ppo import PpoObjective


@dataclass(frozen=True, slots=True)
class Range:
    """Learning rates that guides take, and those beyond which a word is due.

    Attributes:
        low: the lowest that guides take.
        high: the highest.
        far: how many times below or above is far.
    """

    low: float
    high: float
    far: float

    def is_far(self, rate: float) -> bool:
        """Tell whether ``rate`` is far from the range."""
        return not self.low / self.far <= rate <= self.high * self.far


# LoRA takes about ten times the rate of full fine-tuning. Of preferences, where the loss has no
# answer to hold on to, a rate too high breaks the model within a few steps: less is far there.
# With rewards DeepSeekMath took 1e-6 for all weights (arXiv:2402.03300), as trl does by default.
_ADAPTER: Final = {
    "sft": Range(1e-4, 2e-4, far=10),
    "pretraining": Range(5e-5, 2e-4, far=10),
    "dpo": Range(5e-7, 5e-5, far=2),
    "kto": Range(5e-7, 5e-5, far=2),
    "orpo": Range(5e-6, 5e-5, far=2),
    "cpo": Range(5e-7, 5e-5, far=2),
    "reward": Range(1e-5, 1e-4, far=3),
    "ppo": Range(1e-5, 5e-5, far=3),
    "classification": Range(1e-4, 5e-4, far=10),
    "grpo": Range(1e-6, 5e-5, far=3),
    "rloo": Range(1e-6, 5e-5, far=3),
}
_FULL: Final = {
    "sft": Range(1e-5, 5e-5, far=3),
    "pretraining": Range(1e-5, 5e-5, far=3),
    "dpo": Range(5e-7, 1e-6, far=5),
    "kto": Range(5e-7, 5e-6, far=3),
    "orpo": Range(1e-6, 1e-5, far=3),
    "cpo": Range(5e-7, 1e-6, far=5),
    "reward": Range(1e-5, 1e-5, far=3),
    "ppo": Range(1e-6, 1.5e-5, far=3),
    "classification": Range(2e-5, 5e-5, far=3),
    "grpo": Range(5e-7, 5e-6, far=3),
    "rloo": Range(5e-7, 5e-6, far=3),
}
_DEAR: Final = 0.01
"""From here on a nat of KL costs learned tokens about what it brings (see `dear_divergence`)."""
_FEW_WEIGHTS: Final = (*VIRTUAL_TOKENS, "ia3", "ln_tuning", "peft")


def far_learning_rate(spec: RunSpec) -> tuple[str, str] | None:
    """Return what is to be said of a learning rate far from the guides', and what to do."""
    full = spec.method.kind in TRAINS_BASE
    if spec.method.kind in _FEW_WEIGHTS:  # they take ten to a hundred times more, and vary
        return None
    usual = (_FULL if full else _ADAPTER).get(spec.objective.kind)
    rate = spec.training.learning_rate
    if usual is None or not usual.is_far(rate):
        return None
    taken = f"{usual.low:g}" if usual.low == usual.high else f"{usual.low:g} to {usual.high:g}"
    how = "full fine-tuning" if full else spec.method.kind
    why = (
        "the model may forget what it knew, or break"
        if rate > usual.high
        else "it will hardly learn anything"
    )
    left_out = "training" not in spec.model_fields_set or (
        "learning_rate" not in spec.training.model_fields_set
    )
    by = " (the default, as the run names none)" if left_out else ""
    return (
        f"training.learning_rate {rate:g}{by} is far from what {spec.objective.kind} with {how} "
        f"is trained with, {taken}: {why}",
        f"set training.learning_rate to {usual.low:g}"
        if rate < usual.low
        else f"set training.learning_rate to {usual.high:g} or less",
    )


def dear_divergence(spec: RunSpec) -> tuple[str, str] | None:
    """Return what is to be said of a price of KL that learned tokens cannot pay, and what to do.

    They move all that a model says when they move one word: to the same reward they go several
    times as far as LoRA (benchmarks/results/2026-11-26-cells.md: 8 to 15 nats for 1 to 4).
    """
    objective = spec.objective
    if spec.method.kind not in VIRTUAL_TOKENS or not isinstance(objective, OnlineFields):
        return None
    name = "init_kl_coef" if isinstance(objective, PpoObjective) else "beta"
    price = float(getattr(objective, name))
    if price < _DEAR:
        return None
    return (
        f"objective.{name} {price:g} is dear for {spec.method.kind}: learned tokens move far from "
        "the model for a reward, and a price like this may hold them where they are",
        f"set objective.{name} to 0.002; it was too much if objective/kl falls back towards 0 "
        "while the reward stays",
    )
