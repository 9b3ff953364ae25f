"""What peft trains whole by itself where a model scores texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_NAMES: Final = ("classifier", "score")


def heads_of(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that `peft.PeftModelForSequenceClassification` copies and trains whole.

    It takes those whose path ends so, DistilBERT's `pre_classifier` among them. An adapter on one
    of these, or a second copy of what is inside of one (RoBERTa's `classifier.dense`), cannot be
    loaded again, or not even be made.

    Args:
        modules: the paths of the model's modules.
    """
    return tuple(sorted(name for name in modules if name.endswith(_NAMES)))


def outside(modules: Iterable[str], heads: Iterable[str]) -> list[str]:
    """Return those of ``modules`` that are no heads and lie in none."""
    within = tuple(f"{head}." for head in heads)
    return [name for name in modules if not f"{name}.".startswith(within)]
