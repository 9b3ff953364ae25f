"""What is wrong with a RunSpec, said so that it can be mended: where, what is allowed, nearest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a spec.

    Attributes:
        key: the dotted key, such as `training.learning_rate`; empty when the whole is meant.
        message: what is wrong.
        line: 1-based line in `file`, when known.
        file: the file, or where the value came from (`--set`).
        allowed: what would be right, in words.
        nearest: the known key that the unknown one probably means.
    """

    key: str
    message: str
    line: int | None = None
    file: str | None = None
    allowed: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        """Return the problem as one line: `run.yaml:12: training.lr: unknown key; …`."""
        place = f"{self.file or ''}{f':{self.line}' if self.line else ''}"
        parts = [self.message]
        if self.nearest:
            parts.append(f"did you mean `{self.nearest}`?")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        return ": ".join(p for p in (place, self.key, "; ".join(parts)) if p)


class SpecError(ValueError):
    """A RunSpec that cannot be used, with every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))
