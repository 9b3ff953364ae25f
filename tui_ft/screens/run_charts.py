"""What the monitor plots of a run's history: which figures, over steps, tokens or time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui_ft.runs.history import RunHistory, Series
from tui_ft.widgets.chart import LineChart, SeriesData, XKind


@dataclass(frozen=True, slots=True)
class SmallChart:
    """One of the charts below the big one: its widget's id, its title, the figure it shows."""

    id: str
    title: str
    figure: str
    smooth: bool = False


SMALL_CHARTS: Final = (
    SmallChart("learning-rate", "learning rate", "learning_rate"),
    SmallChart("grad-norm", "gradient norm", "grad_norm", smooth=True),
    SmallChart("throughput", "tokens/s", "tokens_per_second", smooth=True),
)


class RunCharts:
    """Hands a run's figures to charts. ``x_kind`` says over what they are plotted."""

    def __init__(self, history: RunHistory) -> None:
        self._history = history
        self.x_kind: XKind = "step"

    def update_loss(self, chart: LineChart) -> None:
        """Show training loss and evaluation loss."""
        loss = self._history.series("loss")
        evaluation = self._history.evaluations.get("eval_loss") or Series()
        chart.update_series(
            [
                SeriesData("loss", self._x(loss), loss.y),
                SeriesData(
                    "evaluation", self._x(evaluation), evaluation.y, "secondary", "points",
                    smooth=False,
                ),
            ],
            x_kind=self.x_kind,
            x_end=self._x_end(),
        )  # fmt: skip

    def update_small(self, chart: LineChart, what: SmallChart) -> None:
        """Show one of the small charts' figures."""
        series = self._history.series(what.figure)
        data = SeriesData(what.title, series.x, series.y, "primary", "line", smooth=what.smooth)
        plan = self._history.plan
        chart.update_series([data], x_end=plan.total_steps if plan else None)

    def _x(self, series: Series) -> list[float]:
        if self.x_kind == "tokens":
            known, last = [], 0.0
            for tokens in series.tokens:
                last = last if tokens is None else tokens
                known.append(last)
            return known
        if self.x_kind == "time":
            start = self._history.clock.created or 0.0
            return [t - start for t in series.t]
        return series.x

    def _x_end(self) -> float | None:
        plan = self._history.plan
        return float(plan.total_steps) if plan and self.x_kind == "step" else None
