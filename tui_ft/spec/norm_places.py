"""Which modules of a model are its norms, by their names: what layer-norm tuning trains.

peft knows the norms of some families, and of Qwen's but one in each layer. One pattern finds all,
over the path of a module as peft matches it (the whole path). What only sees images is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

NORMS: Final = (
    r"(?i)(?!(?:.*\.)?(?:vision|visual|audio)[^.]*\.)"
    r"(?:.*\.)?(?:[^.]*norm[^.]*|ln(?:_?[a-z0-9]+)?|[a-z0-9_]+_ln)"
)
"""`input_layernorm`, `q_norm`, BERT's `LayerNorm`, MPT's `norm_1`; GPT-2's `ln_1`, Falcon's
`ln_attn`."""


def not_tuned(modules: Iterable[tuple[str, bool]]) -> list[str]:
    """Return of modules called as norms are those of which no copy can be trained.

    OLMo's norms have no weights, nor has one of Llama 4's and of Gemma 3n's in each layer, and
    where ModernBERT needs none there is a module that does nothing. StableLM has a norm for each
    head within a norm: the outer one is copied as a whole.

    Args:
        modules: the path of each in the order of `named_modules`, and whether it has weights.
    """
    found: list[str] = []
    outer: str | None = None
    for path, has_weights in modules:
        if re.fullmatch(NORMS, path) is None:
            continue
        if not has_weights or (outer is not None and path.startswith(f"{outer}.")):
            found.append(path)
        else:
            outer = path
    return found


def is_any_tuned(paths: Iterable[str]) -> bool:
    """Tell whether one of these modules is called as norms are."""
    return any(re.fullmatch(NORMS, path) for path in paths)
