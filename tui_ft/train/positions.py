"""Places of tokens in rows padded on the left, counted from the first that is no padding."""

from __future__ import annotations

import inspect
from typing import Any

from peft import PeftModel
from torch import nn


def count_from_first_token(model: Any) -> None:  # noqa: ANN401 - transformers and peft are untyped
    """Let ``model`` place tokens as generating does, where a trainer hands over no positions.

    trl's GRPO and RLOO (1.16) score rows that are padded on the left by their mask alone, and a
    model counts the padding then. Rotary embeddings know distances only, and do not mind. Learned
    positions (GPT-2) do, and so do keys of a prefix, which stand nowhere: what is scored would be
    another model than the one that answered. Learned tokens are put before the padding by peft,
    and stand next to the prompt so, as they do where nothing is padded.
    """
    learns = isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    body = base.base_model
    if "position_ids" in inspect.signature(type(body).forward).parameters and (
        learns or _learned_positions(body)
    ):
        body.register_forward_pre_hook(_with_positions, with_kwargs=True)


def _learned_positions(body: nn.Module) -> bool:
    last = ((name.rpartition(".")[2], one) for name, one in body.named_modules())
    return any(
        isinstance(one, nn.Embedding) and (name == "wpe" or "position" in name)
        for name, one in last
    )


def _with_positions(_: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> Any:  # noqa: ANN401
    mask = given.get("attention_mask")
    if given.get("position_ids") is not None or mask is None or mask.dim() != 2:  # noqa: PLR2004
        return None
    rows = args[0] if args else given.get("input_ids")
    rows = given["inputs_embeds"] if rows is None else rows
    places = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    return args, {**given, "position_ids": places[:, -rows.shape[1] :]}
