"""Which modules of a model are its norms, by their names: what layer-norm tuning trains.

peft knows the norms of some families, and of Qwen's but one in each layer. One pattern finds all,
over the path of a module as peft matches it (the whole path). What only sees images is left out.
"""

from __future__ import annotations

from typing import Final

NORMS: Final = (
    r"(?i)(?!(?:.*\.)?(?:vision|visual|audio)[^.]*\.)"
    r"(?:.*\.)?(?:[^.]*norm[^.]*|ln(?:_?[a-z0-9]+)?|[a-z0-9_]+_ln)"
)
"""`input_layernorm`, `q_norm`, BERT's `LayerNorm`, MPT's `norm_1`; GPT-2's `ln_1`, Falcon's
`ln_attn`."""
