"""In which order the classes of a data set are the outputs of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence


def in_order(names: Iterable[str], head: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the classes in the order of the outputs, so that class 0 is output 0.

    A head that knows all of them already keeps its outputs, those too of which there is no row: in
    another order it would take each class for another. A new one has numbers by size, and names by
    the alphabet.

    Args:
        names: the classes of the rows.
        head: the names of the outputs of a head that the model has; capitals make no difference.
    """
    own = sorted(set(names))
    with contextlib.suppress(ValueError):
        own = sorted(own, key=int)
    by_fold = {name.casefold(): name for name in own}
    folded = [name.casefold() for name in head]
    told_apart = len(by_fold) == len(own) and len(set(folded)) == len(head)
    if not told_apart or not set(by_fold) <= set(folded):
        return tuple(head) if set(own) <= set(head) and head else tuple(own)
    return tuple(by_fold.get(fold, name) for fold, name in zip(folded, head, strict=True))


def are_others(names: Iterable[str], head: Sequence[str]) -> bool:
    """Tell whether some classes are none that a head with named outputs knows."""
    if not head:
        return False
    return {name.casefold() for name in names} - {name.casefold() for name in head} != set()
