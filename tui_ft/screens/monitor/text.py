"""Runs put into words and bars, for lists and for the monitor. Foreign text is made plain here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.hardware import Gpu, Host, Snapshot
from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory
from tui_ft.runs.place import Place
from tui_ft.runs.registry import RunSummary
from tui_ft.screens.flow import flow
from tui_ft.screens.monitor.reward_text import reward_lines, rows_text
from tui_ft.widgets.bars import bar_string
from tui_ft.widgets.signs import sign, state_content

_BAR_WIDTH: Final = 10
_TREND_POINTS: Final = 20
_SHOWN_EXAMPLES: Final = 3
_LATE_S: Final = 20 * 3_600


def headline(run: RunSummary, history: RunHistory, now: float, width: int) -> Content:
    """Return the monitor's first line: where the run is, and its most important figures.

    Takes more than one line of ``width`` cells where it must, and breaks between figures only.
    """
    parts: list[Content | str] = [
        Content.styled(text.plain(run.id), "bold"),
        state_content(run.state),
    ]
    if run.step is not None:
        parts.append(f"step {run.step:,}/{run.total_steps or 0:,}")
    if run.epoch is not None and history.plan is not None:
        parts.append(f"epoch {run.epoch:.1f}/{history.plan.num_train_epochs:g}")
    leading = history.leading
    newest = history.series(leading).last() if leading == "reward" else run.loss
    if newest is not None:
        parts.append(f"{leading} {text.significant(newest)} {trend(history)}".rstrip())
    rate = history.series("tokens_per_second").last()
    if rate is not None and run.is_live:
        parts.append(f"{text.count(rate)} tok/s")
    if run.eta_s is not None:
        parts.append(f"left {text.duration(run.eta_s)}")
    if run.ended and history.attempt is not None and history.attempt.number == 1:
        parts.append(f"took {text.duration(run.ended - history.attempt.t)}")
    if run.user and run.created is not None:
        parts.append(f"by {text.plain(run.user)} since {clock_or_day(run.created, now)}")
    return flow([Content(p) if isinstance(p, str) else p for p in parts], width)


def trend(history: RunHistory) -> str:
    """Return whether loss or reward falls: the newest values against those before them."""
    values = [y for y in history.series(history.leading).y[-_TREND_POINTS:] if y is not None]
    half = len(values) // 2
    if half < 2:  # noqa: PLR2004 - two points are no trend
        return ""
    early, late = sum(values[:half]) / half, sum(values[-half:]) / half
    if abs(late - early) <= 0.01 * abs(early):
        return sign("level").text()
    return sign("falling" if late < early else "rising").text()


def notice(run: RunSummary, history: RunHistory, now: float) -> Content:
    """Return what matters most now: how it ended, what it waits for, or the newest alert."""
    ended = history.ended
    if ended is not None or run.state == "crashed":
        name = {"finished": "good", "stopped": "stopped"}.get(run.state, "bad")
        mark = sign("good" if name == "good" else "stopped" if name == "stopped" else "bad")
        advice = "".join(f"\n  → {text.plain(a)}" for a in run.advice)
        return Content.assemble(mark.content(text.plain(run.reason)), advice)
    lines = [
        rung_content(history.rungs),
        alert_content(standing_alerts(history)),
        Content(phase_text(history, now)),
    ]
    return Content("\n").join(line for line in lines if line.plain)


def alert_content(alerts: Sequence[ev.Alert]) -> Content:
    """Return the newest of ``alerts`` with its advice, and how many there are."""
    if not alerts:
        return Content("")
    newest = alerts[-1]
    mark = sign("bad" if newest.severity == "bad" else "warning")
    advice = f" → {text.plain(newest.advice)}" if newest.advice else ""
    count = f"  ({len(alerts)} alerts)" if len(alerts) > 1 else ""
    return mark.content(f"{text.plain(newest.text)}{advice}{count}")


def rung_content(rungs: Sequence[ev.Rung]) -> Content:
    """Return what the run changed when memory ran out: the newest step, and how many there are."""
    if not rungs:
        return Content("")
    newest = rungs[-1]
    how = "began anew" if newest.begins_anew else "goes on"
    count = f"  (step {newest.number} of its ladder)" if newest.number > 1 else ""
    said = f"memory ran out: {how} with {text.plain(newest.words)}{count}"
    return sign("warning").content(said)


def loading(share: float) -> Content:
    """Return how far a long history has been read."""
    shown = f"reads the history  {bar_string(share, _BAR_WIDTH)} {text.percent(round(share, 2))}"
    return sign("waiting").content(shown)


def standing_alerts(history: RunHistory) -> list[ev.Alert]:
    """Return the alerts that still hold: a later note of the same kind takes one back."""
    held: dict[str, ev.Alert] = {}
    for number, alert in enumerate(history.alerts):
        key = alert.kind or str(number)
        held.pop(key, None)
        if alert.severity != "note":
            held[key] = alert
    return list(held.values())


def phase_text(history: RunHistory, now: float) -> str:
    """Return what the run does beside training, for how long and how far; "" while it trains."""
    phase = history.phase
    if phase is None or phase.phase == "train":
        return ""
    done = ""
    if phase.done is not None:
        as_size = phase.unit == "B"
        show = text.size if as_size else text.count
        done = f"  {show(phase.done)}"
        if phase.total:
            done += f" of {show(phase.total)}  {bar_string(phase.done / phase.total, _BAR_WIDTH)}"
        done += "" if as_size else f" {phase.unit}"
    waits = f"  for {text.duration(now - phase.t)}" if phase.phase == "wait" else ""
    return f"{sign('waiting').text()} {text.plain(phase.text)}{done}{waits}"


def samples_content(samples: Sequence[ev.Sample]) -> Content:
    """Return the answers of the newest evaluation, each under its question."""
    if not samples:
        return Content.styled("answers to held-out rows come with each evaluation", "$text-muted")
    newest = [sample for sample in samples if sample.step == samples[-1].step]
    parts: list[Content] = [Content.styled(f"answers at step {newest[0].step}", "bold")]
    for sample in newest:
        parts.append(Content.styled(f"> {text.plain(sample.prompt)}", "$text-muted"))
        parts.append(Content(text.plain(sample.answer, keep_newlines=True).strip()))
        if sample.reward is not None:
            parts.append(Content.styled(f"reward {text.significant(sample.reward)}", "$accent"))
        if sample.reference and sample.reference.strip() != sample.answer.strip():
            parts.append(Content.styled(f"= {text.plain(sample.reference)}", "$text-muted"))
    return Content("\n").join(parts)


def scores_content(history: RunHistory) -> Content:
    """Return the rates before and after training, and a few graded answers."""
    before, after = history.scores.get("before"), history.scores.get("after")
    newest = after or before
    if newest is None:
        return Content("")
    lines = [f"{newest.rows} held-out rows".ljust(18) + "before   after"]
    for name in newest.values:
        was = text.percent(before.values.get(name)) if before else ""
        now = text.percent(after.values.get(name)) if after else "…"
        lines.append(f"{name.replace('_', ' '):<18}{was:>6}  {now:>6}")
    shown = [Content("\n".join(lines))]
    for example in newest.examples[:_SHOWN_EXAMPLES]:
        mark = sign("good" if example.correct else "bad")
        shown.append(Content.styled(f"> {text.plain(example.prompt)}", "$text-muted"))
        shown.append(mark.content(text.plain(example.answer).strip()))
    return Content("\n").join(shown)


def run_snapshot(history: RunHistory, host: str) -> Snapshot | None:
    """Return the hardware as the run's own telemetry tells it: the viewer may be elsewhere."""
    if not history.telemetry:
        return None
    newest = history.telemetry[-1]
    return Snapshot(
        time=newest.t,
        host=Host(
            hostname=host,
            cpu_utilization=newest.cpu_utilization,
            memory_total_bytes=newest.memory_total,
            memory_used_bytes=newest.memory_used,
            disk_free_bytes=newest.disk_free,
        ),
        gpus=tuple(_gpu(reading) for reading in newest.gpus),
        gpu_status=None if newest.gpus else "this run uses no GPU",
    )


def _gpu(reading: ev.GpuReading) -> Gpu:
    free = None
    if reading.memory_total is not None and reading.memory_used is not None:
        free = reading.memory_total - reading.memory_used
    return Gpu(
        index=reading.index,
        uuid=reading.uuid,
        name=reading.name,
        memory_total_bytes=reading.memory_total,
        memory_used_bytes=reading.memory_used,
        memory_free_bytes=free,
        utilization=reading.utilization,
        power_w=reading.power_w,
        power_limit_w=reading.power_limit_w,
        temperature_c=reading.temperature_c,
        sm_clock_mhz=reading.sm_clock_mhz,
        throttle_reasons=reading.throttling,
        error=reading.error,
    )


def _spread_lines(plan: ev.Plan) -> list[str]:
    """Return how a run is spread over several processes; nothing for one."""
    if plan.processes == 1:
        return []
    spread = f"{plan.processes} processes, {text.plain(plan.strategy or '')}"
    return [f"{spread}: {plan.effective_batch_size} rows a step"]


def facts_content(history: RunHistory, place: str = "") -> Content:
    """Return what is fixed in this run and what it needed: method, batch, memory, checkpoints.

    Args:
        history: the run's.
        place: its place in a chain, in words.
    """
    chained = Place.parse(place)
    lines = [] if chained is None else [text.plain(chained.sentence)]
    plan, memory = history.plan, history.peak_memory
    if plan is not None:
        share = plan.trainable_parameters / max(1, plan.total_parameters)
        lines += [
            f"{plan.method} {plan.precision} on {text.plain(plan.device)}",
            *_spread_lines(plan),
            f"{text.count(plan.trainable_parameters)} of {text.count(plan.total_parameters)} "
            f"parameters trained ({text.percent(share)})",
            rows_text(plan),
            *reward_lines(history),
        ]
    if history.rungs:
        words = ", ".join(rung.words for rung in history.rungs)
        lines.append(f"out of memory, so changed: {text.plain(words)}")
    if memory is not None and memory.allocated is not None:
        reserved = text.memory(memory.reserved)
        lines.append(f"peak {text.memory(memory.allocated)} ({reserved} reserved)")
    elif memory is not None and memory.resident is not None:
        lines.append(f"peak {text.memory(memory.resident)} of host memory")
    best = history.best_evaluation()
    if best is not None:
        value, step = text.significant(best[1]), f"{best[0]:.0f}"
        lines.append(f"best evaluation {history.leading} {value} at step {step}")
    if history.checkpoints:
        lines.append(f"last checkpoint: step {max(history.checkpoints)}")
    return Content("\n".join(lines))


def clock_or_day(t: float, now: float) -> str:
    """Return the wall time as `14:02`, with the day before it where it was not of late."""
    form = "%H:%M" if now - t < _LATE_S else "%b %d %H:%M"
    return time.strftime(form, time.localtime(t))


def clock_time(t: float) -> str:
    """Return a wall time as `14:31:02`."""
    return time.strftime("%H:%M:%S", time.localtime(t))
