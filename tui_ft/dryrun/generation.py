"""Generating text on `meta`: the prompt, and the last tokens, when most keys and values are held.

The tokens between need not be replayed one by one: each step holds a little more than the one
before. transformers' own `generate` makes the first tokens; then the cache of keys and values
grows, as it does with each token, until it is as long as it will be, and the last are generated.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final, NoReturn

import torch
from peft import PeftModel
from transformers import DynamicCache, GenerationConfig, StoppingCriteria

_FIRST_TOKENS: Final = 2
_LAST_TOKENS: Final = 2
_GROWS_AT_MOST: Final = 100
"""How often the cache grows: of long answers by some tokens at once."""


class _EnoughError(Exception):
    """Ends a generation, for which no token on meta ever is the last."""


class _Enough(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped here
    def __init__(self, tokens: int) -> None:
        self._left = tokens

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> Any:  # noqa: ANN401
        self._left -= 1
        if self._left <= 0:
            _end()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device="meta")


def _end() -> NoReturn:
    raise _EnoughError


@torch.no_grad()
def generate(model: Any, rows: int, prompt: int, new: int) -> None:  # noqa: ANN401
    """Generate, and let go of everything.

    Args:
        model: on meta; left in the mode, training or not, that it was in.
        rows: generated together, B.
        prompt: tokens of the longest prompt, P.
        new: tokens of the longest answer.
    """
    was_training, used = model.training, model.config.use_cache
    model.eval()
    model.config.use_cache = True
    try:
        cache, length = _generate_first(model, rows, prompt, new)
        if cache is not None and new > _FIRST_TOKENS:
            base = model.get_base_model() if _makes_own_cache(model) else model
            _generate_last(base, cache, rows, (length, length + new - _FIRST_TOKENS))
    finally:
        model.config.use_cache = used
        model.train(was_training)


def _makes_own_cache(model: Any) -> bool:  # noqa: ANN401
    """Tell whether the adapter puts learned tokens before each row, and makes the cache itself."""
    return isinstance(model, PeftModel) and bool(model.active_peft_config.is_prompt_learning)


def _generate_first(model: Any, rows: int, prompt: int, new: int) -> tuple[Any, int]:  # noqa: ANN401
    """Return the cache after the first tokens, and the tokens that it stands for."""
    tokens = torch.zeros(rows, prompt, dtype=torch.long, device="meta")
    own = _makes_own_cache(model)
    cache = None if own else DynamicCache(config=model.config)
    seen: list[Any] = [cache]

    def see(_: object, __: object, out: Any) -> None:  # noqa: ANN401 - a model's output
        seen[0] = out.past_key_values

    watched = model.get_base_model().register_forward_hook(see) if own else None
    with contextlib.suppress(_EnoughError):
        model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            generation_config=GenerationConfig(
                max_new_tokens=new, do_sample=True, top_k=0, pad_token_id=0, eos_token_id=0
            ),
            stopping_criteria=[_Enough(min(_FIRST_TOKENS, new))],
            **({} if cache is None else {"past_key_values": cache}),
        )
    if watched is not None:
        watched.remove()
    virtual = model.active_peft_config.num_virtual_tokens if own else 0
    return seen[0], virtual + prompt + _FIRST_TOKENS


def _generate_last(model: Any, cache: DynamicCache, rows: int, lengths: tuple[int, int]) -> None:  # noqa: ANN401
    """Let the cache grow from one length to another, and generate the last tokens, (B, length)."""
    first, length = lengths
    start = length - _LAST_TOKENS
    stride = max(1, (start - first) // _GROWS_AT_MOST)
    for reached in (*range(first, start, stride), start):
        _grow(cache, reached)
    mask = torch.ones(rows, length, dtype=torch.long, device="meta")
    for reached in range(start + 1, length + 1):
        out = model(
            input_ids=torch.zeros(rows, 1, dtype=torch.long, device="meta"),
            attention_mask=mask[:, :reached],
            past_key_values=cache,
            use_cache=True,
        )
        # As transformers samples: float32 logits of the last position, and their softmax.
        scores = out.logits[:, -1, :].to(copy=True, dtype=torch.float32)
        torch.multinomial(torch.softmax(scores, dim=-1), num_samples=1)


def _grow(cache: DynamicCache, length: int) -> None:
    """Make the cache as long as it is with so many tokens, layer by layer."""
    for layer in cache.layers:
        held = min(length, getattr(layer, "sliding_window", None) or length)
        layer.keys = _stretched(layer.keys, held)
        layer.values = _stretched(layer.values, held)
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = length


def _stretched(states: torch.Tensor, length: int) -> torch.Tensor:
    batch, heads, _, size = states.shape
    return torch.empty(batch, heads, length, size, dtype=states.dtype, device="meta")
