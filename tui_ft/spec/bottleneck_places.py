"""Where bottleneck adapters stand: behind the last projection of a block's attention and MLP.

One pattern for all families known here, over the path of a module as peft matches it (the whole
path). A mixture of experts has no such projection behind its MLP, and gets no adapter there.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Placement = Literal["houlsby", "pfeiffer"]

_ATTENTION: Final = (
    r"(?:self_attn|attn|attention|self_attention|linear_attn)"
    r"\.(?:o_proj|out_proj|dense|c_proj|out_lin|Wo)"
    r"|attention\.output\.dense"
)
"""Llama's kind, OPT, GPT-2, GPT-NeoX, Falcon, BLOOM, Phi, DistilBERT, ModernBERT; BERT's kind."""
_MLP: Final = (
    r"mlp\.(?:down_proj|c_proj|dense_4h_to_h|fc2|fc_out|Wo)"
    r"|layers\.\d+\.fc2|ffn\.(?:down_proj|lin2)|layer\.\d+\.output\.dense"
)

PATTERNS: Final[dict[Placement, str]] = {
    "houlsby": rf"(?:.*\.)?(?:{_ATTENTION}|{_MLP})",
    "pfeiffer": rf"(?:.*\.)?(?:{_MLP})",
}


def stands_behind(placement: Placement, path: str) -> bool:
    """Tell whether an adapter stands behind the module of that path."""
    return re.fullmatch(PATTERNS[placement], path) is not None
