"""What a run can optimise: one group of fields for each objective, named as trl names them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from tui_ft.spec.group import Fraction, Group, about
from tui_ft.spec.online import GrpoObjective, RlooObjective
from tui_ft.spec.ppo import PpoObjective
from tui_ft.vocabulary import LossOn

DpoLoss = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
]
Divergence = Literal["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"]
Beta = Annotated[PositiveFloat, Field(json_schema_extra=about(basic=True))]


class SftObjective(Group):
    """Supervised fine-tuning: learn to give the answers of the data."""

    kind: Literal["sft"] = "sft"
    """Supervised fine-tuning."""
    loss_on: LossOn = "assistant"
    """Which tokens carry loss: every answer, only the last one, or everything."""


class PretrainingObjective(Group):
    """Continued pretraining: learn whole texts, each token of them; for new knowledge or language.

    Texts longer than `training.max_length` become several rows instead of being cut. With
    `training.packing` short ones share a row.
    """

    kind: Literal["pretraining"] = "pretraining"
    """Continued pretraining on whole texts."""


class ReferenceFields(Group):
    """What losses have in common that hold the model near to what it was."""

    beta: Beta = 0.1
    """How near the model stays to what it was: 0.01 lets it go, 0.5 holds it."""
    precompute_ref_log_probs: bool = False
    """Ask the reference once, before training; full fine-tuning then holds no second model."""
    disable_dropout: bool = True
    """Leave dropout out, so that model and reference are compared alike."""


class DpoObjective(ReferenceFields):
    """DPO (arXiv:2305.18290): learn which of two answers is better, without a reward model.

    An adapter is its own reference: switched off, it gives the model one began with. Full
    fine-tuning holds a frozen second copy.
    """

    kind: Literal["dpo"] = "dpo"
    """Learn from pairs which of two answers is better."""
    loss_type: DpoLoss | Annotated[list[DpoLoss], Field(min_length=1)] = "sigmoid"
    """The loss, or several: sigmoid (DPO), hinge (SLiC), ipo, robust, sft (to add its loss), …"""
    loss_weights: list[NonNegativeFloat] | None = None
    """With several losses, the weight of each; all the same when not given."""
    reference_free: bool = False
    """Compare with no reference: every answer counts as equally likely before training."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of pairs that may be the wrong way round; for robust, exo_pair and aot."""
    f_divergence_type: Divergence = "reverse_kl"
    """How far from the reference is measured (arXiv:2309.16240)."""
    ld_alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight of what a longer answer has beyond the shorter one (LD-DPO, arXiv:2409.06411)."""
    use_weighting: bool = False
    """Weigh pairs by how likely the model finds them (WPO, arXiv:2406.11827)."""

    @property
    def losses(self) -> list[DpoLoss]:
        """The losses, be it one or several."""
        return [self.loss_type] if isinstance(self.loss_type, str) else list(self.loss_type)

    @model_validator(mode="after")
    def _losses_go_together(self) -> DpoObjective:
        losses = self.losses
        if self.loss_weights is not None and len(self.loss_weights) != len(losses):
            raise ValueError(
                f"loss_weights: {len(self.loss_weights)} weights for {len(losses)} losses; "
                "give one for each of loss_type"
            )
        if self.loss_weights is not None and not any(self.loss_weights):
            raise ValueError("loss_weights: all are 0, and nothing would be learned")
        if "exo_pair" in losses and not self.label_smoothing:
            raise ValueError("exo_pair needs a label_smoothing above 0; its paper takes 0.001")
        if self.use_weighting and {"aot", "aot_unpaired"} & set(losses):
            raise ValueError("use_weighting does not go with aot, which sorts the pairs")
        if self.reference_free and self.f_divergence_type != "reverse_kl":
            raise ValueError("reference_free leaves nothing for f_divergence_type to measure")
        if self.reference_free and self.precompute_ref_log_probs:
            raise ValueError("reference_free leaves nothing for precompute_ref_log_probs to do")
        return self


class KtoObjective(ReferenceFields):
    """KTO (arXiv:2402.01306): learn from answers with a thumb up or down, which need no pairs."""

    kind: Literal["kto"] = "kto"
    """Learn from answers judged good or bad."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    """The loss; apo_zero_unpaired (arXiv:2408.06266) does without the estimate of the KL term."""
    desirable_weight: PositiveFloat = 1.0
    """Weight of the good answers; with bad ones in the majority, more than 1."""
    undesirable_weight: PositiveFloat = 1.0
    """Weight of the bad answers."""


class OrpoObjective(Group):
    """ORPO (arXiv:2403.07691): answers and preferences learned at once, without a reference."""

    kind: Literal["orpo"] = "orpo"
    """Learn answers and preferences at once, without a reference."""
    beta: Beta = 0.1
    """Weight of the preference beside the loss of the chosen answer; the paper's lambda."""
    disable_dropout: bool = True
    """Leave dropout out."""


class CpoObjective(Group):
    """CPO (arXiv:2401.08417) and SimPO (arXiv:2405.14734): preferences without a reference."""

    kind: Literal["cpo"] = "cpo"
    """Learn from pairs without a reference; SimPO by its loss_type."""
    loss_type: Literal["sigmoid", "hinge", "ipo", "simpo"] = "sigmoid"
    """The loss: sigmoid is CPO's own; simpo counts by token, with a margin."""
    beta: Beta = 0.1
    """Scale of the preference; SimPO takes 2 to 2.5."""
    cpo_alpha: NonNegativeFloat = 1.0
    """Weight of the loss of the chosen answer; 0 for plain SimPO."""
    simpo_gamma: NonNegativeFloat = 0.5
    """SimPO's margin by which the better answer has to win."""
    label_smoothing: Fraction = 0.0
    """Share of pairs that may be the wrong way round."""
    disable_dropout: bool = True
    """Leave dropout out."""


class RewardObjective(Group):
    """A reward model (arXiv:2203.02155, section 3.5): learn to score answers as people prefer them.

    The model gets a head with one output; rows longer than `training.max_length` are left out,
    since the score of half an answer says nothing.
    """

    kind: Literal["reward"] = "reward"
    """Learn to score answers, from pairs."""
    center_rewards_coefficient: NonNegativeFloat | None = None
    """Pull of the scores' mean towards zero; 0.01 in arXiv:2312.09244."""
    disable_dropout: bool = True
    """Leave dropout out."""


class ClassificationObjective(Group):
    """Sequence classification: learn to put texts into classes, which are taken from the data."""

    kind: Literal["classification"] = "classification"
    """Learn to put texts into classes."""
    class_weights: Literal["balanced"] | dict[str, PositiveFloat] | None = None
    """Weight of each class by name; `balanced` makes rare classes count as much as common ones."""


Objective = Annotated[
    SftObjective
    | PretrainingObjective
    | DpoObjective
    | KtoObjective
    | OrpoObjective
    | CpoObjective
    | RewardObjective
    | ClassificationObjective
    | GrpoObjective
    | RlooObjective
    | PpoObjective,
    Field(discriminator="kind"),
]
ANSWERS_NOTHING = ("reward", "classification")
"""The kinds of objectives whose models score texts and generate none."""
