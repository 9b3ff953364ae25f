"""How a rollout is cut into passes: what a step, and each of its passes, sees of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passes:
    """The passes over a rollout, by one process.

    Attributes:
        rows: answers in one forward and backward pass.
        a_minibatch: passes whose gradients are added up to a step.
        mini_batches: steps in which all answers are seen once.
        epochs: how often they are.
    """

    rows: int
    a_minibatch: int
    mini_batches: int
    epochs: int

    @property
    def an_epoch(self) -> int:
        """Passes in which all answers are seen once."""
        return self.mini_batches * self.a_minibatch

    @property
    def in_all(self) -> int:
        """Passes over the whole life of a rollout."""
        return self.epochs * self.an_epoch

    @property
    def answers(self) -> int:
        """Answers of a rollout."""
        return self.rows * self.an_epoch

    def place(self, number: int) -> tuple[int, int, int]:
        """Return of a pass its epoch, and where in its order rows and minibatch begin."""
        epoch, within = divmod(number % self.in_all, self.an_epoch)
        first = within // self.a_minibatch * self.a_minibatch
        return epoch, within * self.rows, first * self.rows
