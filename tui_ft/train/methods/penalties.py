"""Terms that a method adds to the loss of any objective, which depend on the weights alone.

Their gradients are added when those of the rows are there. So nothing of them is kept during the
forward pass, every trainer takes them, and several processes add the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class Penalty(Protocol):
    """A term of the loss."""

    @property
    def name(self) -> str:
        """What its value is called among the metrics."""

    def add_gradients(self, scale: float) -> torch.Tensor:
        """Add its gradients times ``scale`` to those of the parameters; return its value, ()."""


class Penalties:
    """The terms of a run, and their values since they were last told."""

    def __init__(self, terms: Sequence[Penalty] = ()) -> None:
        self.terms = tuple(terms)
        self._latest: dict[str, torch.Tensor] = {}

    def add(self, share: float, loss_scale: float) -> torch.Tensor | None:
        """Add the gradients of all terms; return what they add to the loss, None for no terms.

        Args:
            share: of an optimizer step that this pass is: 1 / passes.
            loss_scale: by which float16 arithmetic has multiplied the loss.
        """
        if not self.terms:
            return None
        for term in self.terms:
            self._latest[term.name] = term.add_gradients(share * loss_scale).detach()
        return torch.stack(list(self._latest.values())).sum() * share

    def values(self) -> dict[str, float]:
        """Return the latest value of each term. Waits for the GPU."""
        return {name: float(value) for name, value in self._latest.items()}
