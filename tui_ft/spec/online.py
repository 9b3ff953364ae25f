"""Objectives in which the model answers prompts and learns from the rewards of its answers.

Names and defaults are those of trl's GRPOConfig and RLOOConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from tui_ft.spec.group import Group, about
from tui_ft.spec.rewards import HttpReward, PythonReward, Reward

if TYPE_CHECKING:
    from tui_ft.spec.training import TrainingSpec

Positive = Annotated[PositiveInt, Field(json_schema_extra=about(basic=True))]
Probability = Annotated[float, Field(gt=0, le=1)]


class OnlineFields(Group):
    """What all of them have in common: rewards, and how answers are generated.

    A prompt and its answer have `training.max_length` tokens together: longer prompts than that
    leaves room for are left out.
    """

    rewards: Annotated[list[Reward], Field(min_length=1, json_schema_extra=about(basic=True))]
    """What answers are rewarded for; several are added up by their weights."""
    max_completion_length: Annotated[
        PositiveInt, Field(json_schema_extra=about("tokens", basic=True))
    ] = 512
    """An answer is cut here."""
    temperature: Annotated[PositiveFloat, Field(le=5)] = 1.0
    """Of the sampling: lower is surer of itself, and tries less."""
    top_p: Probability = 1.0
    """Sample only from the likeliest tokens that have this probability together."""
    top_k: NonNegativeInt = 0
    """Sample only from so many of the likeliest tokens; 0 for all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Sample only tokens at least so likely, as a share of the likeliest one's probability."""
    repetition_penalty: PositiveFloat = 1.0
    """Above 1, tokens that were there already become less likely."""


class GroupFields(OnlineFields):
    """What those have in common that compare several answers to one prompt."""

    num_generations: Annotated[Positive, Field(ge=2)] = 8
    """Answers to each prompt, compared with each other; the batch has to be a multiple of it."""
    num_generations_eval: PositiveInt | None = None
    """Answers to each held-out prompt; as in training when not given, and 1 is far quicker."""
    beta: Annotated[NonNegativeFloat, Field(json_schema_extra=about(basic=True))] = 0.0
    """Weight of the KL divergence from the model one began with; 0 does without that model."""
    num_iterations: PositiveInt = 1
    """Steps on one batch of answers; 1 is on-policy."""
    steps_per_generation: PositiveInt | None = None
    """Batches for which answers are generated at once; as many as a step has when not given."""
    epsilon: PositiveFloat = 0.2
    """How far a token's (in RLOO an answer's) probability may move before it is clipped."""
    epsilon_high: PositiveFloat | None = None
    """The upper bound of it, when it is another: 0.28 in DAPO (arXiv:2503.14476)."""
    mask_truncated_completions: bool = False
    """Learn nothing from answers that were cut."""
    disable_dropout: bool = False
    """Leave dropout out."""


class GrpoObjective(GroupFields):
    """GRPO (arXiv:2402.03300): the answers to a prompt that are better than the others win.

    No reward model is needed where a program can tell a right answer; no value model in any case.
    """

    kind: Literal["grpo"] = "grpo"
    """Learn from answers that are better than others to the same prompt."""
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = (
        "dapo"
    )
    """How tokens are averaged: dapo over all of a batch, dr_grpo by a constant, grpo by answer."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by: the spread of the prompt's answers, of the batch, nothing."""
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """Whether probabilities are compared by token, or by answer (GSPO, arXiv:2507.18071)."""
    multi_objective_aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = (
        "sum_then_normalize"
    )
    """Of several rewards: whether they are added up before or after being normalised (GDPO)."""
    delta: Annotated[float, Field(gt=1)] | None = None
    """A bound also where the advantage is below zero (arXiv:2505.07291); above 1 + epsilon."""
    top_entropy_quantile: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Learn only from this share of tokens, the least certain ones (arXiv:2506.01939)."""
    entropy_coef: float = 0.0
    """Weight of a bonus for being uncertain, against collapse."""
    use_bias_correction_kl: bool = True
    """Weigh the KL term so that its gradient is unbiased (arXiv:2512.02556)."""


class RlooObjective(GroupFields):
    """RLOO (arXiv:2402.14740): each answer is compared with the mean of the others."""

    kind: Literal["rloo"] = "rloo"
    """Learn from answers against the mean of the others to the same prompt."""
    num_generations: Annotated[Positive, Field(ge=2)] = 2
    """Answers to each prompt, compared with each other; the batch has to be a multiple of it."""
    beta: Annotated[NonNegativeFloat, Field(json_schema_extra=about(basic=True))] = 0.05
    """Weight of the KL divergence from the model one began with; 0 does without that model."""
    normalize_advantages: bool = False
    """Bring the advantages of a batch to mean 0 and spread 1."""
    reward_clip_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Rewards are clipped to this range, such as [-10, 10]."""


GENERATES: Final = ("grpo", "rloo", "ppo")
"""The kinds of objectives that let the model answer prompts."""

REFERENCE: Final = "reference"
"""The column of rewards with the answer of the data; None in rows that have none."""
_OF_TRL: Final = ("environment", "trainer_state", "log_extra", "log_metric", "image", "images")
_OF_REWARDS: Final = ("prompt", "prompts", "completion", "completions", "completion_ids", REFERENCE)
_TAKEN: Final = frozenset((*_OF_TRL, *_OF_REWARDS))
"""Names that mean something to trl: columns that are called so stay at home."""


def wanted_columns(asked: OnlineFields) -> tuple[str, ...] | None:
    """Return the columns of the data that the rewards are given; None for all there are."""
    if any(isinstance(reward, PythonReward) for reward in asked.rewards):
        return None
    named = [c for one in asked.rewards if isinstance(one, HttpReward) for c in one.columns]
    return tuple(dict.fromkeys(named))


def columns_for(wanted: tuple[str, ...] | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a row's ``values`` what `wanted_columns` names."""
    if wanted is None:
        return {name: value for name, value in values.items() if name not in _TAKEN}
    return {name: values.get(name) for name in wanted}


def evaluation_batch(asked: GroupFields, training: TrainingSpec) -> int:
    """Return answers in one pass of the evaluation: whole groups, as many as asked or some more."""
    group = asked.num_generations_eval or asked.num_generations
    wanted = training.per_device_eval_batch_size or training.per_device_train_batch_size
    return -(-wanted // group) * group
