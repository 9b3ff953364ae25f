"""Where the Hugging Face libraries keep things on this machine, as their variables say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tui_ft import paths


def hf_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return huggingface_hub's own folder."""
    default = Path(environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return paths.expand(environ.get("HF_HOME", default))


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which huggingface_hub keeps what it fetched."""
    chosen = environ.get("HF_HUB_CACHE")
    return hf_home(environ) / "hub" if chosen is None else paths.expand(chosen)


def datasets_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which `datasets` keeps the tables that it made of what was fetched."""
    chosen = environ.get("HF_DATASETS_CACHE")
    return hf_home(environ) / "datasets" if chosen is None else paths.expand(chosen)
