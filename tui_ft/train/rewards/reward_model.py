"""The score of a reward model, which is asked as it was trained: by its own tokens and template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tui_ft.data import Completion, Conversation, TemplateError
from tui_ft.data.chat.loss_mask import text_with_ends
from tui_ft.runs.folder import RunError
from tui_ft.runs.reward_models import RewardModelPlace, find_reward_model
from tui_ft.spec.rewards import RewardModelReward
from tui_ft.train.errors import RunFailure
from tui_ft.train.fetch import fetch_model
from tui_ft.train.model import load_model
from tui_ft.train.precision import Precision
from tui_ft.train.rewards import Answers, Score, Turns, text_of
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_ADAPTER: Final = "adapter_config.json"


class RewardModel:
    """A model with a head of one output, and its tokenizer.

    Args:
        model: the model; it is frozen and left in evaluation mode.
        tokenizer: its own.
        batch_size: texts scored at once.
        on_gpu: bring it to this process's GPU when it is asked first: which that is, is settled
            only when the trainer is made.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers is untyped here
        tokenizer: Any,  # noqa: ANN401
        batch_size: int,
        *,
        on_gpu: bool = False,
    ) -> None:
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # By it the head finds the last token of a text, as it did in training.
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        self.model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._chat = TransformersChatTokenizer(tokenizer)
        self._batch_size = batch_size
        self._to_gpu = on_gpu

    def scores(self, prompts: Sequence[Turns], completions: Sequence[Turns]) -> list[float]:
        """Return the score of each answer to its prompt.

        Raises:
            RunFailure: its chat template refuses a dialogue.
        """
        if self._to_gpu:
            self.model, self._to_gpu = self.model.to("cuda"), False
        rows = [
            self._chat.encode(self._text(prompt, completion)).ids
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        found = [0.0] * len(rows)
        by_length = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for start in range(0, len(rows), self._batch_size):
            batch = by_length[start : start + self._batch_size]
            for row, score in zip(batch, self._scored([rows[n] for n in batch]), strict=True):
                found[row] = score
        return found

    def _scored(self, rows: Sequence[Sequence[int]]) -> list[float]:
        longest = max(map(len, rows))
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            output = self.model(input_ids=ids.to(device), attention_mask=mask.to(device))
        scores: list[float] = output.logits[:, 0].float().tolist()
        return scores

    def _text(self, prompt: Turns, completion: Turns) -> str:
        """Return what the model is given: what `mask_row` makes of such a row in its training."""
        if isinstance(prompt, str):
            row = Completion(prompt, text_of(completion))
            return text_with_ends(row.prompt, row.completion, self._chat)[0]
        answer = [{"role": "assistant", "content": text_of(completion)}]
        dialogue = Conversation((*prompt, *answer))
        try:
            return self._chat.render(dialogue.messages)
        except TemplateError as error:
            raise RunFailure(
                f"the reward model's chat template refuses an answer: {error}",
                "train the reward model from a model with a chat template",
            ) from None


def make(reward: RewardModelReward, job: Job) -> Score:
    """Return what asks the reward model.

    Raises:
        RunFailure: it is not there, or has more than one output.
        OSError: it cannot be loaded.
    """
    try:
        place = find_reward_model(reward)
    except RunError as error:
        raise RunFailure(f"objective.rewards: {error}") from None
    scorer = load_reward_model(reward, place, job.precision, job.on_gpu)
    return lambda answers: _score(scorer, answers)


def _score(scorer: RewardModel, answers: Answers) -> list[float]:
    return scorer.scores(answers.prompts, answers.completions)


def load_reward_model(
    reward: RewardModelReward, place: RewardModelPlace, precision: Precision, on_gpu: bool
) -> RewardModel:
    """Return a reward model on its device, in the type of the run's arithmetic.

    Raises:
        RunFailure: it has more than one output.
        OSError: it cannot be loaded.
    """
    frozen = Precision(precision.arithmetic, precision.compute_dtype)
    if place.path is None:
        fetch_model(reward.model, reward.revision, lambda *_: None)
        model = _whole(reward.model, reward.revision, frozen)
        tokenizer = AutoTokenizer.from_pretrained(reward.model, revision=reward.revision)
    else:
        tokenizer = AutoTokenizer.from_pretrained(place.path)
        if (place.path / _ADAPTER).is_file():
            model = _adapted(place, place.path, frozen, on_gpu)
        else:
            model = _whole(str(place.path), None, frozen)
    outputs = model.config.num_labels
    if outputs != 1:
        raise RunFailure(
            f"{reward.model} has a head of {outputs} outputs, and a reward model has one",
            "give a model trained to score, such as a run with objective.kind: reward",
        )
    quantised = any(getattr(model, f"is_loaded_in_{bits}bit", False) for bits in (4, 8))
    return RewardModel(model, tokenizer, reward.batch_size, on_gpu=on_gpu and not quantised)


def _whole(name: str, revision: str | None, precision: Precision) -> Any:  # noqa: ANN401
    model, report = AutoModelForSequenceClassification.from_pretrained(
        name,
        revision=revision,
        dtype=precision.weights,
        use_safetensors=True,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise RunFailure(
            f"{name} has no scoring head of its own: {sorted(report['missing_keys'])[0]} is not "
            "among its weights",
            "give a model trained to score, such as a run with objective.kind: reward",
        )
    return model


def _adapted(
    place: RewardModelPlace,
    adapter: Path,
    precision: Precision,
    on_gpu: bool,
) -> Any:  # noqa: ANN401
    from peft import PeftModel

    if place.spec is not None:
        base = load_model(place.spec, precision, on_gpu, ("reward",))
    else:
        config = json.loads((adapter / _ADAPTER).read_text())
        base = AutoModelForSequenceClassification.from_pretrained(
            config["base_model_name_or_path"],
            revision=config.get("revision"),
            dtype=precision.weights,
            use_safetensors=True,
            num_labels=1,
        )
    return PeftModel.from_pretrained(base, adapter)
