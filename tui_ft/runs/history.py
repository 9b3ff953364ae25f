"""A run as its events tell it: fold them one by one into what screens and lists show."""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from tui_ft.runs import events as ev

_LOG_LINES: Final = 2_000
_TELEMETRY_POINTS: Final = 3_600
_ALERTS: Final = 100
_SAMPLES: Final = 64


Leading = Literal["loss", "reward"]


@dataclass(slots=True)
class Series:
    """One figure over the steps, in order; a step is there once. y is None for a gap.

    Attributes:
        x: optimizer steps. y: values. t: wall times. tokens: tokens trained on, where known.
        version: grows when the past changed (a resume), so that caches know to start anew.
    """

    x: list[float] = field(default_factory=list)
    y: list[float | None] = field(default_factory=list)
    t: list[float] = field(default_factory=list)
    tokens: list[float | None] = field(default_factory=list)
    version: int = 0

    def add(self, step: float, value: float | None, t: float, tokens: float | None) -> None:
        """Append a value; one for a step already passed replaces what was there."""
        if self.x and step <= self.x[-1]:
            self.forget_after(step - 1)
        self.x.append(step)
        self.y.append(value)
        self.t.append(t)
        self.tokens.append(tokens)

    def forget_after(self, step: float) -> None:
        """Drop all values of later steps: a resumed run goes through them again."""
        keep = bisect.bisect_right(self.x, step)
        if keep == len(self.x):
            return
        for column in (self.x, self.y, self.t, self.tokens):
            del column[keep:]
        self.version += 1

    def last(self) -> float | None:
        """Return the newest value that is none of the gaps."""
        return next((value for value in reversed(self.y) if value is not None), None)


@dataclass(slots=True)
class Clock:
    """When things happened, in Unix seconds; None until they did."""

    created: float | None = None
    attempt: float | None = None
    ended: float | None = None
    newest: float = 0.0


@dataclass(slots=True)
class RunHistory:
    """Everything the events of one run have said so far. `add` is the only way in.

    Attributes:
        state: as the events tell it; whether the supervisor still lives is for `registry` to say.
        metrics: training figures by name, such as `loss`, `learning_rate`, `grad_norm`.
        evaluations: figures on held-out rows by name, such as `eval_loss`.
    """

    state: ev.State = "queued"
    attempt: ev.Attempt | None = None
    ended: ev.Ended | None = None
    phase: ev.Phase | None = None
    plan: ev.Plan | None = None
    progress: ev.Progress | None = None
    clock: Clock = field(default_factory=Clock)
    metrics: dict[str, Series] = field(default_factory=dict)
    evaluations: dict[str, Series] = field(default_factory=dict)
    samples: deque[ev.Sample] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    scores: dict[str, ev.Score] = field(default_factory=dict)
    checkpoints: dict[int, ev.Checkpoint] = field(default_factory=dict)
    artifacts: dict[str, ev.Artifact] = field(default_factory=dict)
    peak_memory: ev.PeakMemory | None = None
    telemetry: deque[ev.Telemetry] = field(default_factory=lambda: deque(maxlen=_TELEMETRY_POINTS))
    rungs: list[ev.Rung] = field(default_factory=list)
    alerts: deque[ev.Alert] = field(default_factory=lambda: deque(maxlen=_ALERTS))
    log: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    log_lines: int = 0
    seq: int = 0

    def add(self, event: ev.Event) -> None:
        """Take one more event in."""
        self.seq = max(self.seq, event.seq)
        self.clock.newest = max(self.clock.newest, event.t)
        self._fold(event)
        lines = [describe(event) or ""]
        if isinstance(event, ev.Ended) and event.detail:
            lines += event.detail.splitlines()
        for line in filter(None, lines):
            self.log.append((event.t, line))
            self.log_lines += 1

    def series(self, name: str) -> Series:
        """Return the training figure ``name``, empty when it was never sent."""
        return self.metrics.get(name) or Series()

    @property
    def leading(self) -> Leading:
        """The figure that tells how it goes: where answers are rewarded, the loss says nothing."""
        return "reward" if "reward" in self.metrics else "loss"

    def best_evaluation(self) -> tuple[float, float] | None:
        """Return (step, value) of the lowest evaluation loss so far, or of the highest reward."""
        series = self.evaluations.get(f"eval_{self.leading}")
        if series is None:
            return None
        sign = -1 if self.leading == "reward" else 1
        pairs = [(y * sign, x) for x, y in zip(series.x, series.y, strict=True) if y is not None]
        return None if not pairs else (min(pairs)[1], min(pairs)[0] * sign)

    def _fold(self, event: ev.Event) -> None:
        match event:
            case ev.Metrics():
                self._add_values(self.metrics, event, event.values.get("tokens"))
            case ev.Evaluation():
                self._add_values(self.evaluations, event, self.series("tokens").last())
            case ev.Phase():
                self.phase, self.state = event, ev.STATE_OF_PHASE[event.phase]
                self.ended, self.clock.ended = None, None  # it waits to begin again
            case ev.Attempt():
                self._begin(event)
            case ev.Ended():
                self.ended, self.state, self.clock.ended = event, event.state, event.t
            case _:
                self._keep(event)

    def _keep(self, event: ev.Event) -> None:
        """Keep what is not folded further: the newest, the one of its kind, or the last few."""
        match event:
            case ev.Progress():
                self.progress = event
            case ev.Telemetry():
                self.telemetry.append(event)
            case ev.Plan():
                self.plan = event
            case ev.Sample():
                self.samples.append(event)
            case ev.Score():
                self.scores[event.when] = event
            case ev.Checkpoint():
                self.checkpoints[event.step] = event
            case ev.Artifact():
                self.artifacts[event.kind] = event
            case ev.PeakMemory():
                self.peak_memory = event
            case ev.Alert():
                self.alerts.append(event)
            case ev.Rung():
                self.rungs.append(event)

    def _add_values(
        self,
        into: dict[str, Series],
        event: ev.Metrics | ev.Evaluation,
        tokens: float | None,
    ) -> None:
        for name, value in event.values.items():
            into.setdefault(name, Series()).add(event.step, value, event.t, tokens)

    def _begin(self, attempt: ev.Attempt) -> None:
        """Start an attempt: what lies beyond its checkpoint did not happen."""
        self.attempt, self.ended, self.phase, self.state = attempt, None, None, "preparing"
        self.clock.created = self.clock.created or attempt.t
        self.clock.attempt, self.clock.ended = attempt.t, None
        self.progress = None
        if attempt.number == 1:
            return
        for series in (*self.metrics.values(), *self.evaluations.values()):
            series.forget_after(attempt.step)
        for step in [s for s in self.checkpoints if s > attempt.step]:
            del self.checkpoints[step]


_TOLD_APART: Final = ("eval_rewards/accuracies", "eval_accuracy")
"""Figures of how well answers or classes are told apart, which only some objectives have."""


def _describe_evaluation(event: ev.Evaluation) -> str | None:
    loss, reward = event.values.get("eval_loss"), event.values.get("eval_reward")
    if "eval_reward" in event.values:
        given = "no reward was given" if reward is None else f"reward {reward:.4g}"
        return f"evaluation at step {event.step}: {given}"
    if loss is None:
        return None
    right = [share for name in _TOLD_APART if (share := event.values.get(name)) is not None]
    said = f", accuracy {right[0]:.1%}" if right else ""
    # Of classes of different size accuracy says little: guessing the largest makes it high.
    f1 = event.values.get("eval_f1")
    said += "" if f1 is None else f", F1 {f1:.1%}"
    return f"evaluation at step {event.step}: loss {loss:.4g}{said}"


def describe(event: ev.Event) -> str | None:  # noqa: PLR0911 - one sentence for each kind
    """Return the line that ``event`` is worth in a log, or None for figures and progress."""
    match event:
        case ev.Log():
            return event.text
        case ev.Alert():
            sign = {"note": "note", "warning": "warning", "bad": "problem"}[event.severity]
            return f"{sign}: {event.text}" + (f" ({event.advice})" if event.advice else "")
        case ev.Attempt():
            again = f", attempt {event.number}, from step {event.step}" if event.number > 1 else ""
            return f"started by {event.user} on {event.host}{again}"
        case ev.Ended():
            return f"{event.state}: {event.reason}"
        case ev.Rung():
            how = "begins anew" if event.begins_anew else "goes on"
            return f"{event.reason}; {how} with {event.words} (step {event.number} of its ladder)"
        case ev.Checkpoint():
            best = ", the best so far" if event.best else ""
            return f"checkpoint at step {event.step} saved in {event.seconds:.1f} s{best}"
        case ev.Evaluation():
            return _describe_evaluation(event)
        case ev.Score():
            shares = ", ".join(f"{name} {value:.1%}" for name, value in event.values.items())
            return f"{event.when} training, {event.rows} held-out rows: {shares}"
        case ev.Artifact():
            return f"{event.kind} saved: {event.path}"
        case ev.Commanded():
            return f"{event.command} asked for by {event.user}"
        case _:
            return None
