"""PPO in a run's description. Names are those that trl's PPOConfig had while trl had PPO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from tui_ft.spec.group import about
from tui_ft.spec.online import OnlineFields, Positive

KlEstimator = Literal["k1", "k3"]
Share = Annotated[float, Field(ge=0, le=1)]


class PpoObjective(OnlineFields):
    """PPO (arXiv:1707.06347) as RLHF uses it (arXiv:1909.08593): rewards, held near the beginning.

    A head of one output learns what is still to be earned; the reference is the model with its
    adapter switched off, so that one model is held, and two with full fine-tuning. A rollout has
    per_device_train_batch_size x gradient_accumulation_steps x num_mini_batches answers.
    """

    kind: Literal["ppo"] = "ppo"
    """Learn from rewards of single answers, with a value head and a KL penalty that adapts."""
    num_ppo_epochs: Positive = 4
    """How often the answers of a rollout are learned from."""
    num_mini_batches: Positive = 1
    """Steps in each of these passes; the answers of a rollout are shared among them."""
    init_kl_coef: Annotated[NonNegativeFloat, Field(json_schema_extra=about(basic=True))] = 0.2
    """Weight of the KL penalty to begin with (to the end, without adap_kl_ctrl)."""
    adap_kl_ctrl: bool = True
    """Let the weight of the KL penalty adapt, so that answers stay target_kl away."""
    target_kl: Annotated[PositiveFloat, Field(json_schema_extra=about("nats", basic=True))] = 6.0
    """How far answers may go from the model one began with, on average, each as a whole."""
    horizon: PositiveInt = 10_000
    """In so many answers the weight changes by a fifth at the most: for a run of some thousand
    answers take less, or it hardly adapts."""
    kl_estimator: KlEstimator = "k1"
    """Estimate of a token's KL: k1 is log(p/q), k3 is never below zero and of less variance."""
    gamma: Share = 1.0
    """How much less a later reward counts; 1 for not at all."""
    lam: Share = 0.95
    """Of GAE (arXiv:1506.02438): 0 trusts the values, 1 what was really earned."""
    cliprange: PositiveFloat = 0.2
    """How far a token's probability may move in a rollout before it is clipped."""
    cliprange_value: PositiveFloat = 0.2
    """How far a value may move in a rollout before it is clipped, and at all in one step: its head
    learns slower than the rest where it would be more."""
    vf_coef: NonNegativeFloat = 0.1
    """Weight of the loss of the values."""
    whiten_rewards: bool = False
    """Bring the rewards of a rollout to spread 1."""
    whiten_advantages: bool = True
    """Bring the advantages of a rollout to mean 0 and spread 1, however rewards are scaled."""
    whiten_memory: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Above 0, advantages are divided by no less than their spread of late, of which this share
    stays at each rollout: when all answers come to get the same reward, what is left is noise, and
    is not made as loud as the rewards were. 0 whitens each rollout by itself (arXiv:2403.17031)."""
    missing_eos_penalty: PositiveFloat | None = None
    """Taken off the score of an answer that was cut before its end of turn; 1 is common."""
    local_rollout_forward_batch_size: PositiveInt = 64
    """Answers generated, and looked at without learning, at once."""
    disable_dropout: bool = True
    """Leave dropout out: with it, a token's probability moves without anything being learned."""

    @model_validator(mode="after")
    def _can_adapt(self) -> PpoObjective:
        if self.adap_kl_ctrl and not self.init_kl_coef:
            raise ValueError(
                "init_kl_coef 0 cannot adapt, for the weight is multiplied: set it above 0, or "
                "adap_kl_ctrl to false to do without a KL penalty"
            )
        return self
