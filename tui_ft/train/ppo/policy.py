"""The model as policy, reference and values at once: it answers, and judges what was answered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor
from transformers import GenerationConfig
from trl.models.utils import disable_gradient_checkpointing, unwrap_model_for_generation
from trl.trainer.utils import add_fused_lm_head, use_adapter

from tui_ft.spec.ppo import PpoObjective
from tui_ft.train.answering import say_on
from tui_ft.train.ppo.rollout import Rows, until_end
from tui_ft.train.ppo.value_head import attach_head, bare

_REFERENCE: Final = "ref"
"""The adapter as it was, where one is trained further; put there when the trainer was made."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model finds of answers; all (answers, tokens - 1), where each token was chosen.

    Attributes:
        log_probs: of the tokens, at the temperature of the sampling; 0 outside of answers.
        entropy: of the choice.
        values: what was still to be earned; of no meaning by a reference.
    """

    log_probs: Tensor
    entropy: Tensor
    values: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        """Return what was found of several lots of answers as one."""
        return cls(
            torch.cat([part.log_probs for part in parts]),
            torch.cat([part.entropy for part in parts]),
            torch.cat([part.values for part in parts]),
        )


class Policy:
    """A model with a value head, and its reference.

    Log-probabilities come from trl's fused head, which holds no logits of a whole batch.

    Args:
        model: the model that is trained, its adapter attached; it is given the heads.
        reference: a frozen copy of what it was; None where that is the model without its adapter,
            or with the adapter that it began with.
        asked: how answers are sampled.
        pad: the token that fills up.
        ends: the tokens that end an answer.
        rate: what is trained learns by; values move by `cliprange_value` in a step at the most.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers and peft are untyped here
        reference: Any,  # noqa: ANN401
        asked: PpoObjective,
        *,
        pad: int,
        ends: Sequence[int],
        rate: float,
    ) -> None:
        assert reference is not None or isinstance(model, PeftModel)
        self.model, self.reference = model, reference
        self.head = attach_head(model, rate, asked.cliprange_value)
        self.ends = tuple(ends)
        self._asked, self._pad = asked, pad
        self._values: Tensor | None = None
        self._judging = False
        bare(model).base_model.register_forward_hook(self._keep_values)
        for one in (model, reference):
            if one is not None:
                outputs = ("log_probs", "entropy")
                add_fused_lm_head(bare(one), temperature=asked.temperature, outputs=outputs)

    def judge(self, model: Any, rows: Rows) -> Judged:  # noqa: ANN401
        """Return what ``model`` finds of ``rows``: the policy's own, as it is wrapped to train."""
        self._judging = True
        try:
            found = model(
                input_ids=rows.input_ids,
                attention_mask=rows.attention_mask,
                labels=rows.labels,
                fused_lm_head=True,
            )
        finally:
            self._judging = False
        values, self._values = self._values, None
        places = rows.answer_mask.shape[1]
        # Learned tokens of an adapter may stand before the row; the last place foretells nothing.
        kept = values[:, :-1][:, -places:] if values is not None else torch.zeros_like(rows.labels)
        return Judged(
            found.log_probs[:, -places:].float(), found.entropy[:, -places:].float(), kept
        )

    def judge_by_reference(self, rows: Rows) -> Judged:
        """Return what the reference finds of ``rows``."""
        if self.reference is not None:
            return self.judge(self.reference, rows)
        as_it_was = _REFERENCE if _REFERENCE in self.model.peft_config else None
        with use_adapter(self.model, as_it_was):
            return self.judge(self.model, rows)

    @contextlib.contextmanager
    def looking(self, accelerator: Any, checkpointing: dict[str, Any] | None) -> Iterator[None]:  # noqa: ANN401
        """Judge without learning: in the arithmetic of training, with nothing to be recomputed."""
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(self.model, checkpointing),
            accelerator.autocast(),
        ):
            yield

    def answer(
        self,
        wrapped: Any,  # noqa: ANN401
        prompts: Sequence[Sequence[int]],
        accelerator: Any,  # noqa: ANN401
        checkpointing: dict[str, Any] | None,
    ) -> list[tuple[list[int], bool]]:
        """Return a sampled answer to each prompt, and whether it came to its end.

        Args:
            wrapped: the policy as it is wrapped to train.
            prompts: token ids.
            accelerator: what wrapped it.
            checkpointing: how gradients are checkpointed, which generating turns off for a while.
        """
        with (
            unwrap_model_for_generation(
                wrapped, accelerator, gradient_checkpointing_kwargs=checkpointing
            ) as model,
            torch.no_grad(),
        ):
            asked = self._sampling()
            said = say_on(model, prompts, self._pad, accelerator.device, generation_config=asked)
        return [until_end(sampled, self.ends) for sampled in said.tolist()]

    def _sampling(self) -> GenerationConfig:
        asked = self._asked
        return GenerationConfig(
            max_new_tokens=asked.max_completion_length,
            do_sample=True,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
            min_p=asked.min_p,
            repetition_penalty=asked.repetition_penalty,
            pad_token_id=self._pad,
            eos_token_id=list(self.ends),
            use_cache=True,
            disable_compile=True,
        )

    def _keep_values(self, _module: Any, _inputs: Any, output: Any) -> None:  # noqa: ANN401
        # Within the model's own forward pass, as its wrappings for several GPUs expect it.
        if self._judging:
            self._values = self.head(output.last_hidden_state)
