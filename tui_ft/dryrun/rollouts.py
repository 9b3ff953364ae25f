"""Objectives that learn from answers of their own: what precedes a step, and its loss.

GRPO and RLOO are trl's own code. PPO (arXiv:1707.06347, as arXiv:1909.08593 puts it to language
models) is in no trainer any more: its memory is that of a policy with a value head, a reference
policy and a reward model, scored on logits of the answer alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Final

import torch
from peft import PeftModel
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer.utils import selective_log_softmax

from tui_ft.dryrun.generation import generate
from tui_ft.dryrun.model import Others
from tui_ft.dryrun.trainers import Batch, bare_trainer, longs
from tui_ft.memory.step import Generation, Step


def rollout_batch(step: Step, length: int) -> Batch:
    """Return prompts and answers of (length) tokens together, as they come out of a rollout."""
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
    for name, per_token in _SCORES_OF[step.objective].items():
        shape = answers if per_token else (step.batch,)
        batch[name] = torch.zeros(shape, device="meta")
    if step.objective == "grpo" and step.beta > 0:
        batch["ref_per_token_logps"] = torch.zeros(answers, device="meta")
    return batch


_SCORES_OF: Final[dict[str, dict[str, bool]]] = {
    "grpo": {},
    "rloo": {"old_logps": False},
    "ppo": {"old_logps": True, "old_values": True, "returns": True, "gae": True},
}
"""What a rollout hands over beside tokens, float32: of each token (B, T), or of a row (B)."""


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
    with torch.no_grad():
        for scoring in _scorings(step, model, others):
            for start in range(0, plan.rows, step.batch):
                scoring(tokens[start : start + step.batch], plan.new)


def _scorings(step: Step, model: Any, others: Others) -> Iterator[Callable[..., object]]:  # noqa: ANN401
    """Yield what scores (B, S) tokens with answers of some length, in the trainers' order."""
    if step.objective == "ppo":
        yield lambda tokens, answer: _policy_and_values(model, tokens, answer)
    elif step.objective == "rloo":
        yield _log_probabilities(RLOOTrainer, step, model)
    if step.objective != "grpo" or step.beta > 0:
        yield _reference_scoring(step, model, others.reference)
    if others.reward is not None:
        yield lambda tokens, answer: others.reward(
            input_ids=tokens, attention_mask=torch.ones_like(tokens)
        )


def _log_probabilities(kind: type, step: Step, model: Any) -> Callable[..., object]:  # noqa: ANN401
    trainer = bare_trainer(kind, step, model)

    def score(tokens: torch.Tensor, answer: int) -> object:
        mask = torch.ones_like(tokens)
        return trainer._get_per_token_logps_and_entropies(model, tokens, mask, answer)

    return score


def _reference_scoring(step: Step, model: Any, reference: Any) -> Callable[..., object]:  # noqa: ANN401
    """Return what scores with the reference: a model of its own, or the policy's bare base."""
    scored = model if reference is None else reference
    kind = GRPOTrainer if step.objective == "grpo" else RLOOTrainer
    score = _log_probabilities(kind, step, scored)
    if step.objective == "ppo":

        def score(tokens: torch.Tensor, answer: int) -> object:
            return _scored(*_answer_states(scored, tokens, answer), tokens)

    def without_adapter(tokens: torch.Tensor, answer: int) -> object:
        with model.disable_adapter() if reference is None else nullcontext():
            return score(tokens, answer)

    return without_adapter


def _policy_and_values(
    model: Any,  # noqa: ANN401
    tokens: torch.Tensor,
    answer: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities and values of the answer's tokens, (B, answer) each."""
    base, hidden = _answer_states(model, tokens, answer)
    return _scored(base, hidden, tokens), base.value_head(hidden).squeeze(-1)


def _answer_states(model: Any, tokens: torch.Tensor, answer: int) -> tuple[Any, torch.Tensor]:  # noqa: ANN401
    """Return the model without its adapter's wrapping, and the states that predict the answer."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    states = base.base_model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    return base, states.last_hidden_state[:, -answer - 1 : -1]


def _scored(base: Any, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    logits = base.get_output_embeddings()(hidden)
    return selective_log_softmax(logits, tokens[:, -hidden.shape[1] :])  # type: ignore[no-any-return]


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
    answer = batch["completion_ids"].shape[1]
    tokens = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    log_probabilities, values = _policy_and_values(model, tokens, answer)
    ratio = torch.exp(log_probabilities - batch["old_logps"])
    gain, clipped = ratio * batch["gae"], ratio.clamp(0.8, 1.2) * batch["gae"]
    near = batch["old_values"] + (values - batch["old_values"]).clamp(-0.2, 0.2)
    misses = torch.max((values - batch["returns"]) ** 2, (near - batch["returns"]) ** 2)
    mask = batch["completion_mask"]
    count = mask.sum().clamp(min=1)
    policy_loss = -(torch.min(gain, clipped) * mask).sum() / count
    return policy_loss + 0.05 * (misses * mask).sum() / count, None


ROLLOUT_LOSSES: Final[dict[str, Callable[..., Any]]] = {"grpo": _grpo, "rloo": _rloo, "ppo": _ppo}
