"""Notices when training comes apart: its loss rises far over where it has been."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Final

from tui_ft import text
from tui_ft.runs import events as ev

KIND: Final = "divergence"
_LOGGED: Final = 10
"""Losses in a median: single ones jump with the rows of their step."""
_TIMES: Final = 1.5
_NATS: Final = 0.5
"""So many times, and so much, over the lowest median is no noise; near zero the share alone says
nothing."""
_BACK: Final = 1.1


class LossWatch:
    """Looks at the figures of training; warns once, and takes it back when the loss is down again.

    A loss that has fallen and then rises far is the plain sign of a learning rate that is too high
    (Goodfellow et al., Deep Learning, 2016, section 11.4.1). Where answers are rewarded the loss
    says nothing, and is not looked at.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=_LOGGED)
        self._lowest = math.inf
        self._warned = False

    def look(self, values: Mapping[str, float | None], rate: float) -> ev.Alert | None:
        """Return what is to be said after these figures, if anything.

        Args:
            values: the figures of a log, by our names.
            rate: the highest learning rate of the run.
        """
        loss = values.get("loss")
        if loss is None or "reward" in values:
            return None
        self._losses.append(loss)
        if len(self._losses) < _LOGGED:
            return None
        middle = statistics.median(self._losses)
        self._lowest = min(self._lowest, middle)
        far = middle > max(self._lowest * _TIMES, self._lowest + _NATS)
        if far and not self._warned:
            self._warned = True
            return ev.Alert(
                severity="warning",
                kind=KIND,
                text=f"training loss has risen to {text.significant(middle)} (median of {_LOGGED}) "
                f"from {text.significant(self._lowest)}: training comes apart",
                advice=f"stop, and begin anew with training.learning_rate {rate / 3:.1g} or less, "
                "more warmup_steps, or a lower max_grad_norm",
            )
        if self._warned and middle <= self._lowest * _BACK:
            self._warned = False
            said = "training loss is where it was lowest again"
            return ev.Alert(severity="note", kind=KIND, text=said)
        return None
