"""What is measured between two logs: means over tokens or answers, of all processes."""

from __future__ import annotations

import torch
from torch import Tensor

from tui_ft.train.ppo.advantages import Total


class Figures:
    """Means by name. Nothing is fetched from a GPU, or from other processes, before it is shown."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor, mask: Tensor | None = None) -> None:
        """Add ``values`` to a mean, without those that are no number or left out by ``mask``."""
        values = values.detach().float()
        counted = values.isfinite() if mask is None else values.isfinite() & mask
        found = torch.stack([values.where(counted, 0.0).sum(), counted.sum().float()])
        self._sums[name] = self._sums[name] + found if name in self._sums else found

    def take(self, total: Total) -> dict[str, float]:
        """Return the means since the last call; a name without any value is left out.

        Args:
            total: adds a tensor up over all processes, which measure the same figures.
        """
        if not self._sums:
            return {}
        names, sums = list(self._sums), torch.stack(list(self._sums.values()))
        self._sums = {}
        return {
            name: value / count
            for name, (value, count) in zip(names, total(sums).tolist(), strict=True)
            if count
        }
