"""Answers sampled by what the run asks for, and by nothing that the model brings along."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from peft import PeftModel
from transformers import GenerationConfig


@contextlib.contextmanager
def only_as_asked(model: Any) -> Iterator[None]:  # noqa: ANN401 - transformers is untyped here
    """Let ``model`` generate for a while without its own `generation_config`.

    Whatever generating is not told, transformers takes from there: `min_p` where the run asks for
    none, `typical_p`, `no_repeat_ngram_size`, for all of which some publishers have a value of
    their own. Answers would be drawn from another distribution than the one they are scored by.
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    own = base.generation_config
    base.generation_config = GenerationConfig()
    try:
        yield
    finally:
        base.generation_config = own
