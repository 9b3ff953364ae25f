"""What the monitor plots of a run's history: which figures, over steps, tokens or time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tui_ft.runs.history import RunHistory, Series
from tui_ft.widgets.chart import LineChart, SeriesData, XKind


@dataclass(frozen=True, slots=True)
class SmallChart:
    """One of the charts below the big one.

    Attributes:
        id: its widget's.
        title: of the figure that every run has.
        figure: that figure.
        smooth: whether it is shown smoothed.
        rather: title -> figure of what is shown instead by runs that have it, the first that they
            have: how well answers or classes are told apart says more than how it was trained.
    """

    id: str
    title: str
    figure: str
    smooth: bool = False
    rather: Mapping[str, str] = field(default_factory=dict)

    def shown(self, history: RunHistory) -> tuple[str, str]:
        """Return the title and the figure that this run's chart shows."""
        found = (pair for pair in self.rather.items() if pair[1] in history.metrics)
        return next(found, (self.title, self.figure))


SMALL_CHARTS: Final = (
    SmallChart(
        "learning-rate",
        "learning rate",
        "learning_rate",
        rather={
            "reward margin": "rewards/margins",
            "margin": "margin",
            "KL": "kl",
            "prompts all alike": "frac_reward_zero_std",
        },
    ),
    SmallChart(
        "grad-norm",
        "gradient norm",
        "grad_norm",
        smooth=True,
        rather={
            "reward accuracy": "rewards/accuracies",
            "accuracy": "accuracy",
            "answer tokens": "completions/mean_length",
        },
    ),
    SmallChart("throughput", "tokens/s", "tokens_per_second", smooth=True),
)


class RunCharts:
    """Hands a run's figures to charts. ``x_kind`` says over what they are plotted."""

    def __init__(self, history: RunHistory) -> None:
        self._history = history
        self.x_kind: XKind = "step"

    def update_loss(self, chart: LineChart) -> None:
        """Show training loss and evaluation loss, or the rewards where answers are rewarded."""
        leading = self._history.leading
        chart.title = leading
        loss = self._history.series(leading)
        evaluation = self._history.evaluations.get(f"eval_{leading}") or Series()
        chart.update_series(
            [
                SeriesData(leading, self._x(loss), loss.y),
                SeriesData(
                    "evaluation", self._x(evaluation), evaluation.y, "secondary", "points",
                    smooth=False,
                ),
            ],
            x_kind=self.x_kind,
            x_end=self._x_end(),
        )  # fmt: skip

    def update_small(self, chart: LineChart, what: SmallChart) -> None:
        """Show one of the small charts' figures, and the same of the held-out rows."""
        title, figure = what.shown(self._history)
        series = self._history.series(figure)
        curves = [SeriesData(title, series.x, series.y, "primary", "line", smooth=what.smooth)]
        held_out = self._history.evaluations.get(f"eval_{figure}")
        if held_out is not None:
            curves.append(
                SeriesData(
                    "evaluation", held_out.x, held_out.y, "secondary", "points", smooth=False
                )
            )
        plan = self._history.plan
        chart.title = title
        chart.update_series(curves, x_end=plan.total_steps if plan else None)

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
