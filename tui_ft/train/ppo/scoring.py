"""What answers are worth by the run's rewards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tui_ft.runs import events as ev
from tui_ft.spec.online import REFERENCE
from tui_ft.train.objectives.prompts import whole_row
from tui_ft.train.rewards import RewardFunction, Turns, text_of


@dataclass(frozen=True, slots=True)
class Scored:
    """The worth of answers.

    Attributes:
        whole: all rewards by their weights; NaN where none has an opinion, (answers,).
        by_reward: of each reward by name, NaN where it has none, (answers,).
        samples: the answers, to be shown; of no step yet.
    """

    whole: Tensor
    by_reward: dict[str, Tensor]
    samples: list[ev.Sample]

    @property
    def known(self) -> Tensor:
        """Whether any reward had an opinion, (answers,)."""
        return ~self.whole.isnan()


class Scoring:
    """Calls the rewards as trl calls them.

    Args:
        rewards: the functions.
        weights: how much each counts.
        tokenizer: the model's.
    """

    def __init__(
        self,
        rewards: Sequence[RewardFunction],
        weights: Sequence[float],
        tokenizer: Any,  # noqa: ANN401 - transformers is untyped here
    ) -> None:
        self._rewards, self._weights = rewards, torch.tensor(weights)
        self._tokenizer = tokenizer

    def __call__(
        self,
        inputs: Sequence[Mapping[str, Any]],
        answers: Sequence[Sequence[int]],
        **also: Any,
    ) -> Scored:
        """Return what ``answers`` are worth.

        Args:
            inputs: rows of `PromptRows`, one for each answer.
            answers: token ids.
            also: what the rewards are given beside the columns of the data.

        Raises:
            RunFailure: a reward broke, or gave no numbers.
        """
        rows = [whole_row(row) for row in inputs]
        texts = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        prompts: list[Turns] = [row["prompt"] for row in rows]
        said: list[Turns] = [
            one if isinstance(prompt, str) else [{"role": "assistant", "content": one}]
            for prompt, one in zip(prompts, texts, strict=True)
        ]
        names = {name for row in rows for name in row} - {"prompt"}
        columns = {name: [row.get(name) for row in rows] for name in sorted(names)}
        given = {
            reward.__name__: _numbers(reward(prompts, said, answers, **columns, **also))
            for reward in self._rewards
        }
        by_reward = torch.stack(list(given.values()))
        whole = (by_reward * self._weights[:, None]).nansum(dim=0)
        whole[by_reward.isnan().all(dim=0)] = math.nan
        samples = [
            ev.Sample(
                step=0,
                row=row["line"],
                prompt=prompt if isinstance(prompt, str) else text_of(prompt[-1:]),
                answer=text,
                reference=row[REFERENCE],
                reward=ev.finite(float(score)),
            )
            for row, prompt, text, score in zip(inputs, prompts, texts, whole, strict=True)
        ]
        return Scored(whole, given, samples)


def _numbers(given: Sequence[float | None]) -> Tensor:
    return torch.tensor([math.nan if value is None else value for value in given])
