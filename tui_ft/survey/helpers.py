"""What a survey takes help from if asked to: an encoder, and libraries of the extras."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.hub import locate_model

Extra = Literal["pii", "toxicity"]

_LIBRARIES: Final[dict[Extra, tuple[str, str, str]]] = {
    "pii": ("presidio_analyzer", "presidio-analyzer", "personal data"),
    "toxicity": ("profanity_check", "alt-profanity-check", "toxicity"),
}
_SUGGESTED: Final = "sentence-transformers/all-MiniLM-L6-v2"


def require(extra: Extra) -> None:
    """Make sure that the library of an extra is installed. Does not import it.

    Raises:
        DataError: it is not, and how to install it.
    """
    module, name, purpose = _LIBRARIES[extra]
    if find_spec(module) is None:
        raise DataError(
            f"looking for {purpose} takes {name}, which is not installed: "
            f"`pip install 'tui-ft[{extra}]'`"
        )


def encoder_folder(model: str) -> Path:
    """Return the folder of a model that makes vectors of texts.

    Args:
        model: a folder, or the id of a model that is in the Hub's cache.

    Raises:
        DataError: there is none on this machine, or it is no encoder.
    """
    found = locate_model(model)
    if found.where not in ("local", "cached") or found.path is None:
        raise DataError(_absent(model, found.reason))
    for name in ("config.json", "tokenizer.json"):
        if not (found.path / name).is_file():
            raise DataError(f"{found.path} has no {name}, and so is no encoder that can be used")
    what = _what_else(found.path)
    if what is not None:
        raise DataError(
            f"{model} is {what} and no encoder: its vectors do not tell texts apart; take a model "
            f"for sentence embeddings, such as {_SUGGESTED}"
        )
    return found.path


def _absent(model: str, reason: str | None) -> str:
    if reason is not None and paths.expand(model).exists():
        return reason
    return (
        f"there is no folder {model}, and no model of that name in the Hub's cache: fetch it with "
        f"`hf download {_SUGGESTED}` or the like, or give the folder of one"
    )


def _what_else(folder: Path) -> str | None:
    """Return what the model is, if it is no encoder."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        if config.get("is_encoder_decoder"):
            return "an encoder-decoder"
        named = [str(name) for name in config.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError):
        return "no model whose config.json can be read"
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in named)
    return "a language model" if causal else None
