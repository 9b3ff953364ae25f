"""Answers that are being learned from, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """Prompts with their answers, each from the left on, filled up on the right.

    Attributes:
        input_ids: (answers, tokens).
        attention_mask: 1 at prompts and answers, (answers, tokens).
        answer_mask: whether the *next* token is one of the answer, (answers, tokens - 1): all that
            is known token by token stands where the token was chosen.
    """

    input_ids: Tensor
    attention_mask: Tensor
    answer_mask: Tensor

    @property
    def labels(self) -> Tensor:
        """The tokens of answers, and -100 elsewhere, (answers, tokens)."""
        beyond = torch.zeros_like(self.answer_mask[:, :1])
        learned = torch.cat([beyond, self.answer_mask], dim=1)
        return self.input_ids.where(learned, -100)

    def some(self, start: int, count: int) -> Rows:
        """Return ``count`` of the answers from place ``start`` on, as wide as all of them."""
        kept = slice(start, start + count)
        return Rows(self.input_ids[kept], self.attention_mask[kept], self.answer_mask[kept])


@dataclass(frozen=True, slots=True)
class Rollout:
    """Answers as they were sampled, and what is to be learned from them.

    Attributes:
        rows: the answers.
        log_probs: of each token when it was sampled, (answers, tokens - 1), as are the others.
        values: what was foretold at each token.
        advantages: how much better than foretold it went from there.
        returns: what values should have foretold.
        order: the answers in the order of each pass, (passes, answers).
    """

    rows: Rows
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    order: Tensor

    def part(self, epoch: int, start: int, count: int) -> Part:
        """Return ``count`` answers from place ``start`` on in the order of a pass.

        They are cut to the longest of them.
        """
        chosen = self.order[epoch, start : start + count].to(self.log_probs.device)
        longest = int(self.rows.attention_mask[chosen].sum(dim=1).max())
        ids, attention = (
            whole[chosen, :longest] for whole in (self.rows.input_ids, self.rows.attention_mask)
        )
        mask, log_probs, values, advantages, returns = (
            whole[chosen, : longest - 1]
            for whole in (
                self.rows.answer_mask,
                self.log_probs,
                self.values,
                self.advantages,
                self.returns,
            )
        )
        return Part(Rows(ids, attention, mask), log_probs, values, advantages, returns)

    def tokens(self, epoch: int, start: int, count: int) -> Tensor:
        """Return how many tokens of answers there are in such a part."""
        chosen = self.order[epoch, start : start + count].to(self.log_probs.device)
        return self.rows.answer_mask[chosen].sum()

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it by name, to be written down."""
        flat = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "rows"}
        return flat | {f.name: getattr(self.rows, f.name) for f in dataclasses.fields(Rows)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> Rollout:
        """Return what `tensors` was made of, on ``device``."""
        here = {name: tensor.to(device) for name, tensor in tensors.items()}
        rows = Rows(**{field.name: here.pop(field.name) for field in dataclasses.fields(Rows)})
        return cls(rows=rows, **here)


@dataclass(frozen=True, slots=True)
class Part:
    """Some answers of a rollout: see there."""

    rows: Rows
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def until_end(sampled: Sequence[int], ends: Sequence[int]) -> tuple[list[int], bool]:
    """Return the tokens to the first that ends an answer, with it; and whether there is one.

    Args:
        sampled: tokens as generated, padding after the end included.
        ends: the tokens that end an answer.
    """
    for place, token in enumerate(sampled):
        if token in ends:
            return list(sampled[: place + 1]), True
    return list(sampled), False


def lay_out(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    pad: int,
    device: torch.device,
) -> Rows:
    """Return prompts and their answers as tensors.

    Args:
        prompts: token ids.
        answers: token ids.
        pad: fills up shorter rows.
        device: where to.
    """
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(prompts), longest), pad, dtype=torch.long)
    attention = torch.zeros_like(ids)
    mask = torch.zeros((len(prompts), longest - 1), dtype=torch.bool)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        whole = len(prompt) + len(answer)
        ids[row, :whole] = torch.tensor([*prompt, *answer])
        attention[row, :whole] = 1
        mask[row, len(prompt) - 1 : whole - 1] = True
    return Rows(ids.to(device), attention.to(device), mask.to(device))
