"""What trl's trainers of objectives share in which the model answers prompts.

Prompts come as ftui's own tokens; rewards are given what the row said, its own answer and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from tui_ft.runs import events as ev
from tui_ft.spec.methods import TRAINS_BASE
from tui_ft.spec.online import REFERENCE, GroupFields, evaluation_batch
from tui_ft.train.dropout import without_dropout
from tui_ft.train.errors import RunFailure
from tui_ft.train.objectives.common import Job, SoundnessTrainer, adapter_of, build, own_fields
from tui_ft.train.objectives.prompt_order import PromptOrder
from tui_ft.train.objectives.prompts import PROMPT_TOKENS, whole_row
from tui_ft.train.positions import count_from_first_token
from tui_ft.train.rewards import Turns, reward_functions, text_of
from tui_ft.train.sampling import only_as_asked

BUFFER: Final = "answers-{}.safetensors"
"""The file of a checkpoint that holds answers which a rank has still to learn from."""
_SHOWN: Final = 8


class AnswersPrompts(SoundnessTrainer):
    """A trainer of trl's that lets the model answer ftui's prompts and shows what it was given."""

    _prompt_ids: Sequence[Sequence[int]] = ()
    _seen_before: float = 0.0
    _shown: list[ev.Sample] | None = None

    @property
    def passes_an_epoch(self) -> int:
        """How many forward and backward passes an epoch has; each prompt is answered several times.

        Prompts that do not fill a batch of answers are left for another epoch.
        """
        args = self.args
        at_once = args.generation_batch_size // self.num_generations
        batches = len(self.train_dataset) // at_once
        return int(batches * self.num_iterations * args.steps_per_generation)

    def refuse_too_few(self) -> None:
        """Look whether there are prompts enough for one batch of answers.

        Raises:
            RunFailure: there are not: training would have no step at all.
        """
        answers, each = self.args.generation_batch_size, self.num_generations
        wanted, there = answers // each, len(self.train_dataset)
        if there < wanted:
            raise RunFailure(
                f"a step takes {wanted} prompts ({answers} answers, {each} to each), and there "
                f"are {there}",
                "lower training.per_device_train_batch_size or gradient_accumulation_steps",
            )

    def samples(self, count: int, step: int) -> list[ev.Sample]:
        """Return answers to the first held-out rows, as they were sampled, with their rewards."""
        return [_at(sample, step) for sample in (self._shown or [])[:count]]

    def train(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Train; tokens are counted from here, as the other trainers count them."""
        self._seen_before = 0.0
        return super().train(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Evaluate; what is answered first is kept to be shown."""
        self._shown = []
        return super().evaluate(*args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Count the tokens of this attempt alone."""
        counted = self._metrics["train"].get("num_tokens")
        if counted and self.model.training:
            self._metrics["train"]["num_tokens"] = [counted[-1] - self._seen_before]
        self._metrics["eval"].pop("num_tokens", None)
        super().log(logs, *args)

    def _get_train_sampler(self, dataset: Any = None) -> PromptOrder:  # noqa: ANN401
        args = self.args
        return PromptOrder(
            self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=args.seed,
        )

    def _generate_and_score_completions(self, inputs: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401
        self._prompt_ids = [row[PROMPT_TOKENS] for row in inputs]
        self._lines = [row["line"] for row in inputs]
        with without_dropout(self.model), only_as_asked(self.model):
            return super()._generate_and_score_completions([whole_row(row) for row in inputs])

    def _tokenize_prompts(self, prompts: Sequence[Any]) -> tuple[Any, None, dict[str, Any]]:
        assert len(prompts) == len(self._prompt_ids)
        return [list(ids) for ids in self._prompt_ids], None, {}

    def _calculate_rewards(
        self,
        inputs: Sequence[Mapping[str, Any]],
        prompts: Sequence[Turns],
        completions: Sequence[Turns],
        ids: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        rewards: torch.Tensor = super()._calculate_rewards(inputs, prompts, completions, ids)
        if not self.model.training and self._shown is not None and len(self._shown) < _SHOWN:
            own = rewards[self.accelerator.process_index * len(prompts) :][: len(prompts)]
            weighted = (own * self.reward_weights.to(own.device)).nansum(1)
            weighted[own.isnan().all(1)] = torch.nan
            for row in range(0, len(prompts), self.num_generations_eval):
                self._shown.append(
                    ev.Sample(
                        step=0,
                        row=self._lines[row],
                        prompt=_last_said(prompts[row]),
                        answer=text_of(completions[row]),
                        reference=inputs[row][REFERENCE],
                        reward=ev.finite(float(weighted[row])),
                    )
                )
        return rewards

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        # Here and not behind the checkpoint: what is torn by a full disk or a kill is then no
        # whole checkpoint, and nothing is resumed from half a file.
        super()._save_optimizer_and_scheduler(output_dir)
        if self._step % self._generates_every and self._buffered_inputs:
            tensors = {
                f"{number}/{name}": value.cpu().contiguous().clone()
                for number, batch in enumerate(self._buffered_inputs)
                for name, value in batch.items()
                if isinstance(value, torch.Tensor)
            }
            safetensors.torch.save_file(tensors, Path(output_dir) / self._buffer_file)

    def _load_from_checkpoint(self, checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(checkpoint, *args, **kwargs)
        self._go_on_with(Path(checkpoint))

    def _go_on_with(self, checkpoint: Path) -> None:
        """Go on with the answers that were being learned from, and at the pass where it was."""
        state = type(self.state).load_from_json(str(checkpoint / "trainer_state.json"))
        self._seen_before = float(state.num_input_tokens_seen)
        self._step = state.global_step * self.args.gradient_accumulation_steps
        file = checkpoint / self._buffer_file
        if not file.is_file():
            return
        batches: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in safetensors.torch.load_file(file).items():
            number, _, name = key.partition("/")
            batches.setdefault(int(number), {})[name] = tensor.to(self.accelerator.device)
        in_order = [batches[number] for number in sorted(batches)]
        rows = {len(batch["advantages"]) for batch in in_order}
        # After a step down the ladder batches are smaller: then prompts are answered anew.
        if len(in_order) == self.args.steps_per_generation and rows == {self._train_batch_size}:
            self._buffered_inputs = in_order

    @property
    def _buffer_file(self) -> str:
        return BUFFER.format(self.accelerator.process_index)

    @property
    def _generates_every(self) -> int:
        return int(self.args.steps_per_generation * self.num_iterations)


def _at(sample: ev.Sample, step: int) -> ev.Sample:
    return ev.Sample(
        step=step,
        row=sample.row,
        prompt=sample.prompt,
        answer=sample.answer,
        reference=sample.reference,
        reward=sample.reward,
    )


def _last_said(prompt: Turns) -> str:
    return prompt if isinstance(prompt, str) else text_of(prompt[-1:])


def build_online(
    job: Job, trainer_class: type[AnswersPrompts], config_class: Callable[..., Any]
) -> SoundnessTrainer:
    """Return a trainer of ``trainer_class``, its rewards made and its adapter attached.

    Raises:
        RunFailure: a reward cannot be made, or there are too few prompts.
    """
    asked = job.spec.objective
    assert isinstance(asked, GroupFields)
    functions, weights = reward_functions(job)
    own: dict[str, Any] = {
        **own_fields(job, "rewards"),
        "reward_weights": weights,
        "remove_unused_columns": False,
        "per_device_eval_batch_size": evaluation_batch(asked, job.spec.training),
    }
    if job.spec.method.kind in TRAINS_BASE and asked.beta > 0:
        own["model_init_kwargs"] = _as_it_was(job)
    trainer: AnswersPrompts = build(
        job,
        trainer_class,
        config_class,
        own,
        reward_funcs=list(functions),
        peft_config=adapter_of(job),
    )
    trainer.refuse_too_few()
    for one in (trainer.model, trainer.ref_model):
        if one is not None:
            count_from_first_token(one)
    _note_long_evaluations(job, trainer)
    return trainer


def _note_long_evaluations(job: Job, trainer: AnswersPrompts) -> None:
    """Say so where held-out prompts are given more answers than training makes in between."""
    if not job.evaluates:
        return
    answers = len(job.data.eval or ()) * trainer.num_generations_eval
    args = trainer.args
    every, steps = args.eval_steps, args.max_steps
    if steps < 1:
        passes = trainer.passes_an_epoch * args.num_train_epochs
        steps = passes / args.gradient_accumulation_steps
    between = max(1.0, every * steps if every < 1 else every)
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps
    made = between * batch * args.world_size / trainer.num_iterations
    if answers > made:
        job.note(
            f"each evaluation makes {answers:,} answers, and training {made:,.0f} between two of "
            "them: objective.num_generations_eval: 1, a smaller data.max_eval_rows or a larger "
            "training.eval_steps saves that time"
        )


def _as_it_was(job: Job) -> dict[str, Any]:
    """Return how trl loads the model a second time, which has to be that which is trained."""
    model = job.spec.model
    return {
        **model.extra,
        "revision": model.revision,
        "trust_remote_code": model.trust_remote_code,
        "use_safetensors": True,
    }
