"""What a model says after prompts of several lengths, padded on the left to be answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from peft import PeftModel, PeftType
from torch import Tensor

_TOKENS: Final = (PeftType.PROMPT_TUNING, PeftType.P_TUNING)
"""What learns tokens that stand before the prompt; a prefix lies in the cache."""


def say_on(
    model: Any,  # noqa: ANN401 - transformers and peft are untyped here
    prompts: Sequence[Sequence[int]],
    pad: int,
    device: torch.device,
    **asked: Any,
) -> Tensor:
    """Return the tokens that follow each prompt, (prompts, new tokens), as `generate` gives them.

    peft (0.21) puts learned tokens before the padding and hands over no positions: a shorter prompt
    would be answered as one that stands further from them than where it is learned from. Here they
    stand next to every prompt.

    Args:
        model: of transformers, or with an adapter.
        prompts: token ids.
        pad: fills up before shorter prompts, so that every answer follows its prompt directly.
        device: where the model computes.
        asked: what `generate` is given more.
    """
    learned = _learned(model)
    longest = max(map(len, prompts)) + learned
    left = [longest - learned - len(prompt) for prompt in prompts]
    padded = [[pad] * (n + learned) + list(prompt) for n, prompt in zip(left, prompts, strict=True)]
    ids = torch.tensor(padded, device=device)
    asked["attention_mask"] = torch.tensor(
        [[0] * n + [1] * (longest - n) for n in left], device=device
    )
    if learned:
        asked["inputs_embeds"] = _embedded(model, ids, left, learned)
        model = model.get_base_model()
    output: Tensor = model.generate(input_ids=ids, **asked)
    return output[:, longest:]


def _learned(model: Any) -> int:  # noqa: ANN401
    """Return how many learned tokens stand before a prompt."""
    config = model.active_peft_config if isinstance(model, PeftModel) else None
    if config is None or config.peft_type not in _TOKENS:
        return 0
    return int(config.num_virtual_tokens)


def _embedded(model: PeftModel, ids: Tensor, left: Sequence[int], learned: int) -> Tensor:
    """Return the embeddings of padding, learned tokens and prompt, (prompts, tokens, width)."""
    embedded: Tensor = model.word_embeddings(ids).clone()
    prompt = model.get_prompt(batch_size=len(ids)).to(embedded.dtype)
    for row, start in enumerate(left):
        embedded[row, start : start + learned] = prompt[row]
    return embedded
