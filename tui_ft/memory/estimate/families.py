"""Which layer a family has, and which attention transformers takes for it."""

from __future__ import annotations

from typing import Final

from tui_ft.memory.estimate import classic, latent, llama, parallel
from tui_ft.memory.estimate.attention import Attending, Kernel
from tui_ft.memory.estimate.layers import ATTENTION_DROPOUT, Forward, Shapes
from tui_ft.memory.step import BYTES, Step
from tui_ft.models.architecture import Architecture

_CLASSIC: Final[dict[str, Forward]] = {
    "gpt2": classic.gpt2,
    "gpt_neox": classic.gpt_neox,
    "falcon": classic.falcon,
    "opt": classic.opt,
    "bloom": classic.bloom,
    "bert": classic.bert,
    "roberta": classic.bert,
    "xlm-roberta": classic.bert,
    "distilbert": classic.distilbert,
    "gpt_bigcode": classic.gpt_bigcode,
    "gptj": parallel.gpt_j,
    "phi": parallel.phi,
    "cohere": parallel.cohere,
    "cohere2": parallel.cohere,
    "deepseek_v2": latent.layer,
    "deepseek_v3": latent.layer,
}
_LLAMAS: Final = (
    *("llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "gemma2", "gemma3_text"),
    *("phi3", "granite", "olmo", "olmo2", "olmo3", "gemma3", "starcoder2", "glm", "glm4"),
    *("exaone4", "ernie4_5", "arcee", "seed_oss", "ministral"),
)
"""Families whose layers are compared with replays, layer by layer."""
_MIXTURES: Final = (
    *("mixtral", "qwen3_moe", "qwen2_moe", "olmoe", "phimoe", "granitemoe", "gpt_oss"),
)
"""Mixtures of experts that are compared with replays; other ones are laid out alike."""
_EAGER: Final = ("gemma2", "bloom", "gptj", "gpt_oss")
"""Families for which transformers takes plain attention by itself."""
_ALWAYS_MASKED: Final = ("falcon",)
"""Families that hand a mask to the attention even where no row is padded."""
_LARGEST_FLASH_HEAD: Final = 256
_HALF: Final = 2
_NEEDED: Final = (("o_proj",), ("down_proj", "c_proj"))


class UnknownFamilyError(Exception):
    """There is no formula for a model's layers; the message is for people."""


def forward_of(model: Architecture) -> Forward:
    """Return the forward pass of the family's layers.

    Raises:
        UnknownFamilyError: it is not known here, and not laid out as Llama is.
    """
    found = _CLASSIC.get(model.model_type)
    if found is not None:
        return found
    names = {piece.name for piece in model.modules if piece.layers is not None}
    if model.latent is not None or any(names.isdisjoint(some) for some in _NEEDED):
        raise UnknownFamilyError(f"there is no formula for the layers of {model.family}")
    return llama.layer


def is_checked(model: Architecture) -> bool:
    """Tell whether the family's formula is compared with replays; it is a guess otherwise."""
    plain = model.model_type in _LLAMAS or model.model_type in _CLASSIC
    return not model.guessed and (plain or model.model_type in _MIXTURES)


def shapes_of(
    step: Step, model: Architecture, rows: int, length: int, prefix: int = 0
) -> tuple[Shapes, Shapes]:
    """Return what a layer's operations are told: of a layer that sees all, and of a windowed one.

    Args:
        step: the step.
        model: its architecture.
        rows: that go through the model at once.
        length: tokens of a row, virtual ones of a prompt included.
        prefix: tokens whose keys and values are learned, and stand before each row.
    """
    window = model.window is not None and length > model.window and bool(model.windowed_layers)
    short = BYTES[step.arithmetic or step.weights]
    tokens = (length, length + prefix)
    whole = _attending(step, model, rows, tokens, short, windowed=False)
    part = _attending(step, model, rows, tokens, short, windowed=window)
    width = BYTES[step.weights]
    return (
        Shapes(model, step.config, whole, width),
        Shapes(model, step.config, part, width, windowed=True),
    )


def _attending(
    step: Step,
    model: Architecture,
    rows: int,
    tokens: tuple[int, int],
    width: int,
    *,
    windowed: bool,
) -> Attending:
    length, keys = tokens
    masked = keys > length or step.padded or windowed or model.model_type in _ALWAYS_MASKED
    kernel = _kernel(step, model, width, masked=masked)
    alibi = model.positions == "alibi" and model.model_type == "falcon"
    names = (name for name in ATTENTION_DROPOUT if name in step.config)
    return Attending(
        kernel,
        rows,
        length,
        keys,
        model.heads,
        model.kv_heads if not alibi else model.heads,
        model.head_dim,
        masked=masked or kernel == "eager",
        bias_width=width if alibi else 0,
        dropout=float(next((step.config[name] or 0.0 for name in names), 0.0)),
        softcap=kernel == "eager" and model.model_type == "gemma2",
        joint_scale=model.model_type == "bloom",
        value_dim=model.latent.v_dim if model.latent is not None else 0,
        sinks=model.model_type == "gpt_oss",
    )


def _kernel(step: Step, model: Architecture, width: int, *, masked: bool) -> Kernel:
    """Return the kernel that CUDA takes: flash attention for halves without a mask."""
    own = step.attention == "auto"
    if step.attention == "eager" or (own and model.model_type in _EAGER):
        return "eager"
    if step.attention == "flash_attention_2":
        return "flash"
    # Flash attention wants values as wide as keys, which latent attention has not.
    fits = width == _HALF and model.head_dim <= _LARGEST_FLASH_HEAD and model.latent is None
    return "flash" if fits and not masked else "efficient"


def mask_bytes(step: Step, shapes: tuple[Shapes, Shapes]) -> int:
    """Return the masks that all layers share: of one byte a pair of tokens, or of a float.

    Falcon's alibi makes one for each head.
    """
    total = 0
    for how in {one.attending for one in shapes}:
        if not how.masked:
            continue
        pairs = how.batch * how.length * how.keys
        if how.kernel == "eager":
            total += pairs * BYTES[step.weights]
        elif how.bias_width:
            total += pairs * how.heads * how.bias_width
        else:
            total += pairs
    return total
