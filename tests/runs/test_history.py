from __future__ import annotations

from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory, Series, describe
from tui_ft.runs.registry import summarise


def _history(*events: ev.Event) -> RunHistory:
    history = RunHistory()
    for number, event in enumerate(events, start=1):
        history.add(ev.stamped(event, number))
    return history


def _attempt(number: int, step: int, t: float = 1.0) -> ev.Attempt:
    return ev.Attempt(number=number, step=step, host="gpu01", user="anna", pid=7, t=t)


def _loss(step: int, loss: float | None) -> ev.Metrics:
    return ev.Metrics(step=step, epoch=step / 10, values={"loss": loss, "tokens": step * 100.0})


def test_a_resumed_run_forgets_what_lay_beyond_its_checkpoint() -> None:
    before = [_loss(step, 10.0 - step) for step in range(1, 6)]
    history = _history(
        _attempt(1, 0),
        *before,
        ev.Evaluation(step=5, epoch=0.5, values={"eval_loss": 4.0}),
        ev.Checkpoint(step=3, path="c3", bytes=1, seconds=0.1),
        ev.Checkpoint(step=5, path="c5", bytes=1, seconds=0.1),
        ev.Ended(state="crashed", reason="gone"),
        _attempt(2, 3),
        _loss(4, 6.5),
    )
    assert history.series("loss").x == [1, 2, 3, 4]
    assert history.series("loss").y == [9.0, 8.0, 7.0, 6.5]
    assert history.series("loss").version == 1
    assert history.evaluations["eval_loss"].x == []
    assert list(history.checkpoints) == [3]
    assert history.ended is None


def test_values_keep_their_tokens_and_gaps() -> None:
    history = _history(_attempt(1, 0), _loss(1, 2.0), _loss(2, None))
    series = history.series("loss")
    assert series.y == [2.0, None]
    assert series.tokens == [100.0, 200.0]
    assert series.last() == 2.0


def test_state_follows_the_phases() -> None:
    history = _history(_attempt(1, 0))
    states = []
    phases: tuple[ev.PhaseName, ...] = ("wait", "load", "train", "evaluate", "train", "save")
    for phase in phases:
        history.add(ev.Phase(phase=phase))
        states.append(history.state)
    assert states == ["queued", "preparing", "training", "evaluating", "training", "saving"]


def test_best_evaluation_is_the_lowest_and_ignores_gaps() -> None:
    events = [
        ev.Evaluation(step=step, epoch=0.0, values={"eval_loss": loss})
        for step, loss in ((1, 3.0), (2, None), (3, 1.5), (4, 2.0))
    ]
    assert _history(*events).best_evaluation() == (3, 1.5)


def test_the_summary_says_what_a_list_needs() -> None:
    history = _history(
        _attempt(1, 0, t=50.0),
        ev.Phase(phase="train", text="trains"),
        _loss(3, 0.8),
        ev.Progress(step=3, total_steps=12, epoch=0.3, eta_s=90.0),
        ev.Alert(severity="warning", text="hot"),
        ev.Alert(severity="note", text="fine"),
    )
    summary = summarise("support", history)
    assert (summary.state, summary.step, summary.total_steps) == ("training", 3, 12)
    assert (summary.fraction, summary.loss, summary.eta_s) == (0.25, 0.8, 90.0)
    assert (summary.created, summary.user, summary.host) == (50.0, "anna", "gpu01")
    assert summary.alerts == 1


def test_every_event_survives_its_line() -> None:
    events: list[ev.Event] = [
        _attempt(1, 0),
        ev.Telemetry(gpus=(ev.GpuReading(index=0, uuid="u", name="H100", power_w=71.5),)),
        ev.Score(
            when="after",
            rows=1,
            values={"exact_match": 1.0},
            examples=(ev.Example("p", "a", "r", True),),
        ),
        ev.Ended(state="failed", reason="why", advice=("do this",), detail="more"),
    ]
    for event in events:
        assert ev.decode(ev.encode(event)) == event


def test_what_is_said_in_the_log() -> None:
    assert describe(_attempt(2, 30)) == "started by anna on gpu01, attempt 2, from step 30"
    assert describe(_loss(1, 1.0)) is None
    score = ev.Score(when="after", rows=64, values={"exact_match": 0.875})
    assert describe(score) == "after training, 64 held-out rows: exact_match 87.5%"


def test_replacing_a_step_forgets_what_came_after() -> None:
    series = Series()
    for step in (1, 2, 3):
        series.add(step, float(step), t=0.0, tokens=None)
    series.add(2, 9.0, t=0.0, tokens=None)
    assert (series.x, series.y) == ([1, 2], [1.0, 9.0])


def test_the_log_has_the_details_of_an_end_line_by_line() -> None:
    history = RunHistory()
    history.add(ev.Ended(t=1.0, state="failed", reason="out of memory", detail="held 9 GB\nof 8"))
    assert list(history.log) == [(1.0, "failed: out of memory"), (1.0, "held 9 GB"), (1.0, "of 8")]
    assert history.log_lines == 3
