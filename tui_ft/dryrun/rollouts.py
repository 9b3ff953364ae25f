"""Objectives that learn from answers of their own: what precedes a step, and its loss.

GRPO and RLOO are trl's own code. PPO (arXiv:1707.06347) is ftui's (`tui_ft.train.ppo`), of which
what takes memory is done here alike: the policy has a value head over the states of all tokens, and
log-probabilities come from trl's fused head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from peft import PeftModel
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer.utils import use_adapter

from tui_ft.dryrun.generation import generate
from tui_ft.dryrun.model import REFERENCE, Others
from tui_ft.dryrun.trainers import Batch, bare_trainer, longs
from tui_ft.memory.step import Generation, Step


def rollout_batch(step: Step, length: int) -> Batch:
    """Return prompts and answers of (length) tokens together, as they come out of a rollout."""
    if step.objective == "ppo":
        return _part_of_rollout(step.batch, length)
    answer = min(step.answer, length - 1)
    prompts, answers = (step.batch, length - answer), (step.batch, answer)
    batch = {
        "prompt_ids": longs(*prompts),
        "prompt_mask": longs(*prompts),
        "completion_ids": longs(*answers),
        "completion_mask": longs(*answers),
        "advantages": torch.zeros(step.batch, device="meta"),
        "num_items_in_batch": torch.tensor(1.0, device="meta"),
    }
    if step.objective == "rloo":
        batch["old_logps"] = torch.zeros(step.batch, device="meta")
    if step.objective == "grpo" and step.beta > 0:
        batch["ref_per_token_logps"] = torch.zeros(answers, device="meta")
    return batch


def _part_of_rollout(rows: int, length: int) -> Batch:
    """Return answers that PPO learns from, and what is known of each token, (B, S - 1)."""
    known = {name: torch.zeros(rows, length - 1, device="meta") for name in _KNOWN}
    mask = torch.zeros(rows, length - 1, dtype=torch.bool, device="meta")
    return {"input_ids": longs(rows, length), "attention_mask": longs(rows, length)} | {
        **known,
        "answer_mask": mask,
    }


_KNOWN: Final = ("log_probs", "values", "advantages", "returns")
_SCORED_AT_ONCE: Final = 16
"""Answers that a reward model is given at once, where nothing else is asked for."""


def roll_out(step: Step, model: Any, others: Others, length: int) -> None:  # noqa: ANN401
    """Generate answers and score them, without gradients, before a step learns from them.

    Args:
        step: with an objective that generates.
        model: the policy.
        others: the reference and the reward model, where they are held.
        length: of prompt and answer.
    """
    answer = min(step.answer, length - 1)
    plan = step.generation or Generation(rows=step.batch, prompt=length - answer, new=answer)
    generate(model, plan.rows, plan.prompt, plan.new)
    tokens = longs(plan.rows, plan.prompt + plan.new)
    # PPO judges as many answers at once as were generated together.
    judged = plan.rows if step.objective == "ppo" else step.batch
    with torch.no_grad():
        for scoring in _scorings(step, model, others):
            for start in range(0, plan.rows, judged):
                scoring(tokens[start : start + judged], plan.new)
        for reward in others.rewards:
            for start in range(0, plan.rows, _SCORED_AT_ONCE):
                some = tokens[start : start + _SCORED_AT_ONCE]
                reward(input_ids=some, attention_mask=torch.ones_like(some))


def _scorings(step: Step, model: Any, others: Others) -> Iterator[Callable[..., object]]:  # noqa: ANN401
    """Yield what scores (B, S) tokens with answers of some length, in the trainers' order."""
    if step.objective == "ppo":
        yield lambda tokens, _: _judged(model, tokens, torch.ones_like(tokens))
    elif step.objective == "rloo":
        yield _log_probabilities(RLOOTrainer, step, model)
    if step.objective != "grpo" or step.beta > 0:
        yield _reference_scoring(step, model, others.reference)


def _log_probabilities(kind: type, step: Step, model: Any) -> Callable[..., object]:  # noqa: ANN401
    trainer = bare_trainer(kind, step, model)

    def score(tokens: torch.Tensor, answer: int) -> object:
        mask = torch.ones_like(tokens)
        return trainer._get_per_token_logps_and_entropies(model, tokens, mask, answer)

    return score


def _reference_scoring(step: Step, model: Any, reference: Any) -> Callable[..., object]:  # noqa: ANN401
    """Return what scores with the reference: a model of its own, or the policy as it began."""
    scored = model if reference is None else reference
    kind = GRPOTrainer if step.objective == "grpo" else RLOOTrainer
    score = _log_probabilities(kind, step, scored)
    if step.objective == "ppo":

        def score(tokens: torch.Tensor, answer: int) -> object:
            return _judged(scored, tokens, torch.ones_like(tokens))

    def without_adapter(tokens: torch.Tensor, answer: int) -> object:
        with _as_reference(model) if reference is None else nullcontext():
            return score(tokens, answer)

    return without_adapter


def _as_reference(model: Any) -> AbstractContextManager[None]:  # noqa: ANN401
    """Return what makes a policy with an adapter its own reference for a while."""
    return use_adapter(model, REFERENCE if REFERENCE in model.peft_config else None)  # type: ignore[no-any-return]


def _judged(
    model: Any,  # noqa: ANN401
    tokens: torch.Tensor,
    attention: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log-probabilities and entropies of tokens, and values, (B, S - 1) each.

    Values are those of a reference's frozen states too, where it is the policy itself.
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    kept: list[torch.Tensor] = []

    def keep(_: object, __: object, output: Any) -> None:  # noqa: ANN401 - a model's output
        head = getattr(base, "value_head", None)
        if head is not None:
            kept.append(head(output.last_hidden_state.float()).squeeze(-1))

    watched = base.base_model.register_forward_hook(keep)
    try:
        found = model(
            input_ids=tokens, attention_mask=attention, labels=tokens.clone(), fused_lm_head=True
        )
    finally:
        watched.remove()
    values = kept[0][:, -tokens.shape[1] : -1] if kept else found.log_probs
    places = tokens.shape[1] - 1
    return found.log_probs[:, -places:].float(), found.entropy[:, -places:].float(), values


def _grpo(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    trainer = bare_trainer(
        GRPOTrainer,
        step,
        model,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        loss_type="dapo",
        epsilon_low=0.2,
        epsilon_high=0.2,
        use_vllm=False,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
    )
    return trainer._compute_loss(model, batch), None


def _rloo(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    trainer = bare_trainer(RLOOTrainer, step, model, epsilon_low=0.2, epsilon_high=0.2)
    return trainer._compute_loss(model, batch), None


def _ppo(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    """Return the clipped losses of policy and values (arXiv:1707.06347, equations 7 and 9)."""
    now, _, values = _judged(model, batch["input_ids"], batch["attention_mask"])
    ratio = torch.exp(now - batch["log_probs"])
    free = -batch["advantages"] * ratio
    policy = torch.maximum(free, -batch["advantages"] * ratio.clamp(0.8, 1.2))
    old, returns = batch["values"], batch["returns"]
    held = values.clamp(old - 0.2, old + 0.2)
    misses = 0.5 * torch.maximum((values - returns) ** 2, (held - returns) ** 2)
    by_token = policy + 0.1 * misses
    return by_token.where(batch["answer_mask"], 0.0).sum() / by_token.shape[1], None


ROLLOUT_LOSSES: Final[dict[str, Callable[..., Any]]] = {"grpo": _grpo, "rloo": _rloo, "ppo": _ppo}
