"""PPO (arXiv:1707.06347) for language models (arXiv:1909.08593), on transformers' Trainer.

trl has it no more. Details as in "The N+ Implementation Details of RLHF with PPO"
(arXiv:2403.17031), but that policy and values share one body, and the reference is the policy with
its adapter switched off: one model is held instead of three. A step is one of the optimizer; its
rows are taken from a rollout, which lasts for `num_ppo_epochs * num_mini_batches` steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import safetensors.torch
import torch
from accelerate.utils import set_seed
from peft import get_peft_model
from torch import Tensor
from transformers import TrainingArguments
from trl.trainer.utils import identity

from tui_ft.hub.outputs import MERGED_FILE
from tui_ft.runs import events as ev
from tui_ft.spec.ppo import PpoObjective
from tui_ft.train.dropout import without_dropout
from tui_ft.train.errors import RunFailure
from tui_ft.train.generation import ends_of
from tui_ft.train.objectives.common import Job, Objective, SoundnessTrainer, adapter_of, build
from tui_ft.train.objectives.prompt_order import PromptOrder
from tui_ft.train.objectives.prompts import PROMPT_TOKENS, PromptRows
from tui_ft.train.ppo.advantages import (
    UsualSpread,
    generalised_advantages,
    moments,
    penalise_missing_end,
    token_rewards,
    whiten,
)
from tui_ft.train.ppo.figures import Figures
from tui_ft.train.ppo.kl import KlController, token_kl
from tui_ft.train.ppo.losses import policy_loss, value_loss
from tui_ft.train.ppo.passes import Passes
from tui_ft.train.ppo.policy import Judged, Policy
from tui_ft.train.ppo.rollout import Part, Rollout, Rows, lay_out
from tui_ft.train.ppo.scoring import Scored, Scoring
from tui_ft.train.ppo.value_head import load_head, save_head
from tui_ft.train.rewards import RewardFunction, reward_functions
from tui_ft.train.sampling import only_as_asked

STATE: Final = "ppo_state.json"
ROLLOUT: Final = "rollout_{}.safetensors"
"""The files of a checkpoint that hold the KL penalty and the usual spread of advantages, and what a
process still learns from."""
_SHOWN: Final = 8


class PpoRunTrainer(SoundnessTrainer):
    """Lets the model answer, and learns from the rewards of its answers.

    Args:
        policy: the model and its reference.
        asked: the objective's fields.
        rewards: what answers are rewarded by.
        weights: of the rewards.
        others: as transformers' Trainer takes them.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *,
        policy: Policy,
        asked: PpoObjective,
        rewards: Sequence[RewardFunction],
        weights: Sequence[float],
        **others: Any,
    ) -> None:
        super().__init__(data_collator=identity, **others)
        self.policy, self._asked = policy, asked
        self._scoring = Scoring(rewards, weights, self.processing_class)
        self.passes = Passes(
            rows=self.args.per_device_train_batch_size,
            a_minibatch=self.args.gradient_accumulation_steps,
            mini_batches=asked.num_mini_batches,
            epochs=asked.num_ppo_epochs,
        )
        target = asked.target_kl if asked.adap_kl_ctrl else None
        self.kl_controller = KlController(asked.init_kl_coef, target, asked.horizon)
        self.usual_spread = UsualSpread(asked.whiten_memory)
        self._figures = Figures()
        self._rollout: Rollout | None = None
        self._pass = 0
        self._counted: int | Tensor = 0
        self._shown: list[ev.Sample] | None = None
        if self.args.world_size > 1:  # or all processes would sample alike
            set_seed(self.args.seed, device_specific=True)
        if policy.reference is not None:
            policy.reference = self.accelerator.prepare_model(
                policy.reference, evaluation_mode=True
            )

    @property
    def passes_an_epoch(self) -> int:
        """How many forward and backward passes an epoch has."""
        everywhere = self.passes.answers * self.args.world_size
        return int(len(self.train_dataset) // everywhere * self.passes.in_all)

    def get_train_dataloader(self) -> Any:  # noqa: ANN401
        """Return what gives the prompts of a rollout, once for each pass over it."""
        return self._get_dataloader(
            dataset=self.train_dataset,
            description="Training",
            batch_size=self.passes.answers,
            sampler_fn=self._get_train_sampler,
            is_training=True,
        )

    def _get_train_sampler(self, dataset: Any = None) -> PromptOrder:  # noqa: ANN401
        return PromptOrder(
            self.train_dataset if dataset is None else dataset,
            mini_repeat_count=1,
            batch_size=self.passes.answers * self.args.world_size,
            repeat_count=self.passes.in_all,
            shuffle=self.args.train_sampling_strategy != "sequential",
            seed=self.args.seed,
        )

    def train(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Train; tokens are counted from here, as the other trainers count them."""
        self._pass, self._counted = 0, 0
        self._rollout = None
        return super().train(*args, **kwargs)

    def _prepare_inputs(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the rows of the next pass, and the share of its minibatch's tokens it stands for.

        A loss is averaged over the tokens of a whole minibatch, in however many passes and by
        however many processes it is seen.
        """
        if self._pass % self.passes.in_all == 0 or self._rollout is None:
            self._rollout = self._roll_out(inputs, learning=True)
        epoch, start, first = self.passes.place(self._pass)
        self._pass += 1
        rows, passes = self.passes.rows, self.passes.a_minibatch
        tokens = self._rollout.tokens(epoch, first, passes * rows).float()
        tokens = self._total(tokens) / self.args.world_size
        part = self._rollout.part(epoch, start, rows)
        self._counted = self._counted + part.rows.attention_mask.sum()
        return {"part": part, "tokens": (tokens / passes).clamp(min=1)}

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *_: Any, **__: Any) -> Tensor:  # noqa: ANN401
        """Return the loss of policy and values (arXiv:1707.06347, equation 9, without entropy)."""
        part: Part = inputs["part"]
        asked, mask = self._asked, part.rows.answer_mask
        now = self.policy.judge(model, part.rows)
        policy = policy_loss(now.log_probs, part.log_probs, part.advantages, asked.cliprange)
        value = value_loss(now.values, part.values, part.returns, asked.cliprange_value)
        with torch.no_grad():
            moved = (now.log_probs - part.log_probs) ** 2 / 2
            for name, by_token in {
                "policy_loss": policy.loss,
                "value_loss": value.loss,
                "entropy": now.entropy,
                "approx_kl": moved,
                "clip_ratio/region_mean": policy.was_clipped.float(),
                "clip_ratio/value_mean": value.was_clipped.float(),
            }.items():
                self._figures.add(name, by_token, mask)
        by_token = policy.loss + asked.vf_coef * value.loss
        loss: Tensor = by_token.where(mask, 0.0).sum() / inputs["tokens"]
        return loss

    def prediction_step(
        self,
        model: Any,  # noqa: ANN401
        inputs: Sequence[Mapping[str, Any]],
        *_: Any,
        **__: Any,
    ) -> tuple[Tensor, None, None]:
        """Let held-out prompts be answered; return the loss that these answers would have."""
        answered = self._roll_out(inputs, learning=False)
        part = answered.part(0, 0, len(inputs))
        tokens = part.rows.answer_mask.sum().clamp(min=1)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, {"part": part, "tokens": tokens})
        return loss.detach(), None, None

    def _roll_out(self, inputs: Sequence[Mapping[str, Any]], *, learning: bool) -> Rollout:
        """Let prompts be answered; return the answers with all that is to be learned from them."""
        asked = self._asked
        prompts = [list(row[PROMPT_TOKENS]) for row in inputs]
        with without_dropout(self.model), only_as_asked(self.model):
            answers = self._answers(prompts)
            ids = [tokens for tokens, _ in answers]
            rows = lay_out(prompts, ids, self.processing_class.pad_token_id, self.args.device)
            before, reference = self._judged(rows)
        scored = self._scoring(inputs, ids, trainer_state=self.state)
        scores = scored.whole.to(self.args.device)
        kl = token_kl(before.log_probs, reference.log_probs, asked.kl_estimator)
        kl = kl.where(rows.answer_mask, 0.0)
        self._measure(answers, scored, kl, rows.answer_mask, learning)
        # Where no reward has an opinion nothing is learned.
        mask = rows.answer_mask & scored.known.to(self.args.device)[:, None]
        ended = torch.tensor([end for _, end in answers], device=scores.device)
        final = penalise_missing_end(scores.nan_to_num(0.0), ended, asked.missing_eos_penalty)
        rewards = token_rewards(final, kl, mask, self.kl_controller.coef)
        if asked.whiten_rewards:
            rewards = whiten(rewards, mask, keep_mean=True, total=self._total)
        advantages, returns = generalised_advantages(
            rewards, before.values, mask, gamma=asked.gamma, lam=asked.lam
        )
        _, missed = moments(returns - before.values, mask, self._total)
        _, there = moments(returns, mask, self._total)
        self._figures.add("explained_variance", 1 - missed / there)
        if learning:
            everywhere = self.accelerator.gather(kl.sum(dim=1))
            self.kl_controller.update(float(everywhere.mean()), len(everywhere))
        if asked.whiten_advantages:
            usual = self.usual_spread if learning else None
            advantages = whiten(advantages, mask, usual=usual, total=self._total)
        passes = asked.num_ppo_epochs if learning else 1
        count = len(prompts)
        return Rollout(
            rows=Rows(rows.input_ids, rows.attention_mask, mask),
            log_probs=before.log_probs,
            values=before.values,
            advantages=advantages,
            returns=returns,
            order=torch.stack([torch.randperm(count) for _ in range(passes)])
            if learning
            else torch.arange(count)[None],
        )

    def _answers(self, prompts: Sequence[Sequence[int]]) -> list[tuple[list[int], bool]]:
        at_once = self._asked.local_rollout_forward_batch_size
        checkpointing = self.args.gradient_checkpointing_kwargs
        answers: list[tuple[list[int], bool]] = []
        for start in range(0, len(prompts), at_once):
            some = prompts[start : start + at_once]
            answers += self.policy.answer(self.model_wrapped, some, self.accelerator, checkpointing)
        return answers

    def _judged(self, rows: Rows) -> tuple[Judged, Judged]:
        """Return what policy and reference find of ``rows``, so many at once as was asked."""
        at_once = self._asked.local_rollout_forward_batch_size
        found: tuple[list[Judged], list[Judged]] = ([], [])
        with self.policy.looking(self.accelerator, self.args.gradient_checkpointing_kwargs):
            for start in range(0, len(rows.input_ids), at_once):
                some = rows.some(start, at_once)
                found[0].append(self.policy.judge(self.model, some))
                found[1].append(self.policy.judge_by_reference(some))
        return Judged.joined(found[0]), Judged.joined(found[1])

    def _measure(
        self,
        answers: Sequence[tuple[Sequence[int], bool]],
        scored: Scored,
        kl: Tensor,
        answered: Tensor,
        learning: bool,
    ) -> None:
        device = self.args.device
        told = [[float(len(tokens)), float(not end)] for tokens, end in answers]
        lengths, cut = torch.tensor(told, device=device).unbind(dim=1)
        for name, values in scored.by_reward.items():
            self._figures.add(f"rewards/{name}/mean", values.to(device))
        worth, known = scored.whole.to(device), scored.known.to(device)
        _, variance = moments(worth.nan_to_num(0.0), known, self._total)
        everywhere = self.accelerator.gather(lengths)
        for name, values in {
            "reward": worth,
            "reward_std": variance.sqrt(),
            "objective/kl": kl.sum(dim=1),
            "kl_coef": torch.tensor(self.kl_controller.coef, device=device),
            "completions/mean_length": lengths,
            "completions/min_length": everywhere.min(),
            "completions/max_length": everywhere.max(),
            "completions/clipped_ratio": cut,
        }.items():
            self._figures.add(name, values)
        self._figures.add("kl", kl, answered)
        if self._shown is not None and not learning:
            self._shown = [*self._shown, *scored.samples][:_SHOWN]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Evaluate; what is answered first is kept to be shown."""
        kept, self._figures = self._figures, Figures()
        self._shown = []
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._figures = kept

    def samples(self, count: int, step: int) -> list[ev.Sample]:
        """Return answers to the first held-out rows, as they were sampled, with their rewards."""
        shown = (self._shown or [])[:count]
        return [msgspec.structs.replace(sample, step=step) for sample in shown]

    def log(self, logs: dict[str, Any], *args: Any) -> None:
        """Add what was measured since the last log."""
        evaluated = any(name.startswith("eval_") for name in logs)
        prefix = "eval_" if evaluated else ""
        if evaluated:  # where no reward had an opinion there is none, and that is said
            logs["eval_reward"] = None
        logs |= {f"{prefix}{n}": v for n, v in self._figures.take(self._total).items()}
        if not evaluated:
            counted = torch.as_tensor(self._counted, device=self.args.device)
            logs["num_tokens"] = float(self._total(counted))
        super().log(logs, *args)

    def _total(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes."""
        summed: Tensor = self.accelerator.reduce(tensor, reduction="sum")
        return summed

    @property
    def _rollout_name(self) -> str:
        return ROLLOUT.format(self.args.process_index)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ANN401
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            save_head(self.policy.head, Path(output_dir or self.args.output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        folder = Path(output_dir)
        if self.args.should_save:
            kept = {"kl_coef": self.kl_controller.coef, "usual_spread": self.usual_spread.value}
            (folder / STATE).write_text(json.dumps(kept))
        if self._rollout is not None and self._pass % self.passes.in_all:
            tensors = {n: t.cpu().contiguous() for n, t in self._rollout.tensors().items()}
            safetensors.torch.save_file(tensors, folder / self._rollout_name)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        kept = json.loads((folder / STATE).read_text())
        self.kl_controller.coef = float(kept["kl_coef"])
        self.usual_spread.value = kept.get("usual_spread")  # earlier checkpoints have none
        self._pass = self.state.global_step * self.passes.a_minibatch
        if (folder / self._rollout_name).is_file():
            tensors = safetensors.torch.load_file(folder / self._rollout_name)
            kept = Rollout.from_tensors(tensors, self.args.device)
            # Of another size, because the run was changed meanwhile, prompts are answered anew.
            if kept.order.shape == (self.passes.epochs, self.passes.answers):
                self._rollout = kept

    def _load_from_checkpoint(self, checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(checkpoint, *args, **kwargs)
        load_head(self.policy.head, Path(checkpoint))

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self.state.best_model_checkpoint is not None:
            load_head(self.policy.head, Path(self.state.best_model_checkpoint))


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter and value head attached.

    Raises:
        RunFailure: a reward cannot be made, or there are fewer prompts than a rollout takes.
    """
    spec, asked = job.spec, job.spec.objective
    assert isinstance(asked, PpoObjective)
    functions, weights = reward_functions(job)
    set_seed(spec.training.seed)
    model, adapter = job.model, adapter_of(job)
    ends = ends_of(model, job.tokenizer)
    if adapter is not None:
        model = get_peft_model(model, adapter)
        if spec.training.gradient_checkpointing:
            model.enable_input_require_grads()
    reference = None
    if adapter is None:
        reference = job.load_again().requires_grad_(False).eval()
    pad, rate = job.tokenizer.pad_token_id, spec.training.learning_rate
    policy = Policy(model, reference, asked, pad=pad, ends=ends, rate=rate)
    found = next((f for f in _left_by(spec.model.name_or_path) if load_head(policy.head, f)), None)
    if found is not None:
        job.note(f"goes on with the value head that an earlier run of PPO left in {found}")
    own: dict[str, Any] = {"remove_unused_columns": False}
    trainer: PpoRunTrainer = build(
        job,
        PpoRunTrainer,
        TrainingArguments,
        own,
        model=model,
        policy=policy,
        asked=asked,
        rewards=functions,
        weights=weights,
    )
    _refuse_too_few(trainer)
    return trainer


def _left_by(name_or_path: str) -> list[Path]:
    """Return where a value head may lie: beside the model, or the adapter that it was merged of."""
    folder = Path(name_or_path)
    try:
        merged_of = json.loads((folder / MERGED_FILE).read_text())["adapter"]
    except OSError:
        return [folder]
    return [folder, Path(merged_of)]


def _refuse_too_few(trainer: PpoRunTrainer) -> None:
    if trainer.passes_an_epoch:
        return
    wanted = trainer.passes.answers * trainer.args.world_size
    raise RunFailure(
        f"a rollout takes {wanted} prompts (training.per_device_train_batch_size x "
        "gradient_accumulation_steps x objective.num_mini_batches), and there are "
        f"{len(trainer.train_dataset)}",
        "lower one of the three, or give more prompts",
    )


OBJECTIVE = Objective(maker=PromptRows, build=build_trainer)
