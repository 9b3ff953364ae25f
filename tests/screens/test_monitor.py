from __future__ import annotations

import fcntl
import json
import shutil
import socket
import time

import msgspec
import pytest
from textual.widgets import Static

from tests.screens.conftest import (
    FAILED,
    FINISHED,
    NOW,
    OVERFITTING,
    SCORES,
    START,
    MakeRun,
    make_app,
    training,
)
from tests.screens.test_home import settled, shown, until
from tui_ft.app import FtuiApp
from tui_ft.runs import control, launch
from tui_ft.runs import events as ev
from tui_ft.runs.changes import Change, ChangedError
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory
from tui_ft.runs.reader import RunReader
from tui_ft.runs.registry import summarise
from tui_ft.screens.home.screen import HomeScreen
from tui_ft.screens.monitor import text as run_text
from tui_ft.screens.monitor.charts import RunCharts
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.screens.top_line import TopLine
from tui_ft.widgets.chart import LineChart
from tui_ft.widgets.confirm import Confirm
from tui_ft.widgets.log_view import LogView


def _history(*events: ev.Event) -> RunHistory:
    history = RunHistory()
    attempt = ev.Attempt(t=START, number=1, host="gpu01", user="anna", pid=1)
    for number, event in enumerate((attempt, *events), start=1):
        history.add(ev.stamped(event, number))
    return history


def _monitor(app: FtuiApp) -> MonitorScreen:
    assert isinstance(app.screen, MonitorScreen)
    return app.screen


async def test_the_whole_history_is_there_at_once(make_run: MakeRun) -> None:
    make_run("support", *SCORES, FINISHED, steps=400)
    app = make_app("support")
    async with app.run_test(size=(200, 60)) as pilot:
        await settled(app, pilot)
        assert "step 400/400" in shown(app, "#headline")
        assert "by anna" in shown(app, "#headline")
        assert "all 400 steps done" in shown(app, "#notice")
        assert "88 %" in shown(app, "#scores")
        assert "Error 17 means" in shown(app, "#answers")
        assert "lowest" not in shown(app, "#facts")
        log = "\n".join(app.screen.query_one("#log", LogView).lines)
        assert "checkpoint at step 200 saved in 1.2 s, the best so far" in log


async def test_a_growing_run_is_followed(make_run: MakeRun) -> None:
    folder = make_run("support", steps=10, live=True)
    app = make_app("support")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "step 10/400" in shown(app, "#headline")
        with folder.events_file.open("ab") as file:
            file.writelines(ev.encode(event) for event in training(30, START)[2:])
        folder.status_file.unlink()  # written by the supervisor, which is not there
        await until(lambda: "step 30/400" in shown(app, "#headline"), app, pilot)
        log = "\n".join(app.screen.query_one("#log", LogView).lines)
        assert "started by anna on gpu01" in log
        assert "step 30/400" in shown(app, "#headline")


async def test_stop_asks_first_and_keys_fit_the_state(make_run: MakeRun) -> None:
    folder = make_run("support", steps=10, live=True)
    app = make_app("support")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        await pilot.press("r")  # it runs: there is nothing to resume
        assert _monitor(app).check_action("resume", ()) is False
        await pilot.press("s")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await settled(app, pilot)
        await pilot.press("w")
        await settled(app, pilot)
        lines = folder.control_file.read_text().splitlines()
        assert [json.loads(line)["command"] for line in lines] == ["stop", "checkpoint"]


async def test_an_ended_run_offers_resume_and_not_stop(make_run: MakeRun) -> None:
    make_run("broken", FAILED)
    app = make_app("broken")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        screen = _monitor(app)
        assert screen.check_action("stop", ()) is False
        assert screen.check_action("resume", ()) is True
        assert "ran out of memory" in shown(app, "#notice")
        assert "→ method.kind: lora" in shown(app, "#notice")
        await pilot.press("d")
        assert isinstance(app.screen, HomeScreen)


async def test_a_worker_without_its_supervisor_is_named_and_can_be_killed(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("support", steps=10, host=socket.gethostname())
    ended: list[str] = []

    def end(run: RunFolder) -> int:
        ended.append(run.id)
        return 4711

    monkeypatch.setattr(control, "end_orphan", end)
    folder.worker_lock.write_text("4711")
    with folder.worker_lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        app = make_app("support")
        async with app.run_test(size=(100, 30)) as pilot:
            await settled(app, pilot)
            assert "its worker (process 4711, without a supervisor" in shown(app, "#notice")
            screen = _monitor(app)
            assert screen.check_action("stop", ()) is False
            await pilot.press("K", "y")
            await settled(app, pilot)
    assert ended == ["support"]


PANES = ("#loss", "#small", "#side", "#samples", "#log-box")


@pytest.mark.parametrize(
    ("size", "always", "turns"),
    [
        ((80, 24), [], [["#loss"], ["#small"], ["#side"], ["#samples"], ["#log-box"]]),
        ((90, 44), ["#loss", "#small"], [["#log-box"], ["#samples"], ["#side"]]),
        ((120, 30), ["#side"], [["#loss"], ["#small"], ["#samples"], ["#log-box"]]),
    ],
)
async def test_every_pane_has_its_turn_in_every_window(
    make_run: MakeRun, size: tuple[int, int], always: list[str], turns: list[list[str]]
) -> None:
    make_run("support", FINISHED, steps=50)
    app = make_app("support")
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        visible = []
        for _ in turns:
            shown_now = [p for p in PANES if app.screen.query_one(p).display]
            visible.append([p for p in shown_now if p not in always])
            assert set(always) <= set(shown_now)
            assert all(app.screen.query_one(p).region.area for p in shown_now)
            await pilot.press("v")
            await pilot.pause()
            focused = app.screen.focused
            assert focused is not None
            assert focused.region.area
        assert visible == turns


async def test_a_large_window_shows_every_pane_and_needs_no_turns(make_run: MakeRun) -> None:
    make_run("support", FINISHED, steps=50)
    app = make_app("support")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        assert _monitor(app).check_action("pane", ()) is True
        await pilot.resize_terminal(200, 60)
        await settled(app, pilot)
        assert all(app.screen.query_one(pane).region.area for pane in PANES)
        assert _monitor(app).check_action("pane", ()) is False


async def test_the_keys_reach_the_pane_in_sight_after_a_window_shrank(make_run: MakeRun) -> None:
    make_run("support", FINISHED, steps=50)
    app = make_app("support")
    async with app.run_test(size=(200, 60)) as pilot:
        await settled(app, pilot)
        app.screen.query_one("#log").focus()
        await pilot.resize_terminal(80, 24)
        await settled(app, pilot)
        assert app.screen.focused is app.screen.query_one("#loss")


async def test_follow_shows_everything_again(make_run: MakeRun) -> None:
    make_run("support", FINISHED, steps=50)
    app = make_app("support")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        chart = app.screen.query_one("#loss", LineChart)
        await pilot.press("plus", "left")
        assert chart.view.right is not None
        await pilot.press("f")
        assert chart.view.span is None
        assert chart.view.right is None


async def test_x_plots_over_tokens_and_time(make_run: MakeRun) -> None:
    make_run("support", FINISHED, steps=50)
    app = make_app("support")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        chart = app.screen.query_one("#loss", LineChart)
        kinds = [chart.x_kind]
        for _ in range(3):
            await pilot.press("x")
            await pilot.pause()
            kinds.append(chart.x_kind)
        assert kinds == ["step", "tokens", "time", "step"]


async def test_a_run_deleted_while_one_watches_leads_back_home(make_run: MakeRun) -> None:
    folder = make_run("support", FINISHED, steps=5)
    app = make_app("support")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        shutil.rmtree(folder.path)
        await until(lambda: isinstance(app.screen, HomeScreen), app, pilot)
        assert any("support was deleted" in note.message for note in app._notifications)


async def test_the_first_line_counts_the_live_runs_while_one_watches(make_run: MakeRun) -> None:
    make_run("support", steps=5, live=True)
    app = make_app("support")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        make_run("second", steps=2, live=True)
        top = app.screen.query_one(TopLine)
        await until(lambda: "2 live" in str(top.render()), app, pilot)
        assert isinstance(app.screen, MonitorScreen)


async def test_a_run_that_failed_before_its_first_step_says_so(make_run: MakeRun) -> None:
    ended = msgspec.structs.replace(FAILED, detail="held 78.9 GB\n[b]in[/b] activations")
    make_run("broken", ended)
    app = make_app("broken")
    async with app.run_test(size=(200, 60)) as pilot:
        await settled(app, pilot)
        assert app.screen.query_one("#loss", LineChart).empty == "no step was done"
        log = list(app.screen.query_one("#log", LogView).lines)
        assert any("held 78.9 GB" in line for line in log)
        assert any("[b]in[/b] activations" in line for line in log)


async def test_foreign_text_is_harmless(make_run: MakeRun) -> None:
    sample = ev.Sample(t=START, step=1, row=1, prompt="[b]x[/b]", answer="\x1b[31mred\x1b[0m")
    make_run("evil", sample, FINISHED, steps=2)
    app = make_app("evil")
    async with app.run_test(size=(200, 60)) as pilot:
        await settled(app, pilot)
        answers = app.screen.query_one("#answers", Static)
        assert "> [b]x[/b]\nred" in str(answers.render())


async def test_an_unknown_run_is_said_and_home_shown(home: None) -> None:
    app = make_app("nobody")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app, pilot)
        assert isinstance(app.screen, HomeScreen)
        assert any("no run `nobody`" in note.message for note in app._notifications)


def test_the_headline_tells_state_step_loss_rate_and_time_left() -> None:
    history = _history(*training(320, START))
    line = run_text.headline(summarise("support", history), history, NOW, 200).plain
    assert "▶ training" in line
    assert "step 320/400" in line
    assert "epoch 2.4/3" in line
    assert "left 10:40" in line
    assert "11." in line.partition("tok/s")[0]


def test_waiting_says_for_what_and_how_long() -> None:
    history = _history(ev.Phase(t=NOW - 90, phase="wait", text="waits for GPU 0, after demo"))
    assert run_text.phase_text(history, NOW) == "◷ waits for GPU 0, after demo  for 1:30"


def test_progress_of_a_phase_has_its_unit() -> None:
    rows = ev.Phase(t=NOW, phase="score", text="answers", done=16, total=64, unit="rows")
    fetched = ev.Phase(t=NOW, phase="download", text="fetches", done=1e9, total=4e9, unit="B")
    assert run_text.phase_text(_history(rows), NOW) == "◷ answers  16 of 64  ██▌        rows"
    assert "1.00 GB of 4.00 GB" in run_text.phase_text(_history(fetched), NOW)


def test_charts_plot_over_steps_tokens_and_time() -> None:
    history = _history(*training(3, START))
    charts = RunCharts(history)
    chart = LineChart("loss")
    expected = {"step": [1, 2, 3], "tokens": [4096.0, 8192.0, 12288.0], "time": [38.0, 46.0, 54.0]}
    for kind, xs in expected.items():
        charts.x_kind = kind  # type: ignore[assignment]
        assert charts._x(history.series("loss")) == xs
        charts.update_loss(chart)


def test_an_alert_stays_in_sight_while_the_run_evaluates() -> None:
    evaluating = ev.Phase(t=NOW, phase="evaluate", text="evaluates", done=16, total=64, unit="rows")
    history = _history(*training(50, START), OVERFITTING, evaluating)
    lines = run_text.notice(summarise("support", history), history, NOW).plain.splitlines()
    assert lines[0].startswith("▲ evaluation loss rises")
    assert lines[0].endswith("→ stop now and keep the best checkpoint, or train fewer epochs")
    assert lines[1].startswith("◷ evaluates  16 of 64")


async def test_a_run_whose_data_changed_asks_before_it_goes_on(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    what = "until step 10 it learned other rows"
    change = Change("data.train", "a.jsonl of 1 MB", "a.jsonl of 2 MB", "asks", what)

    def resume(folder: RunFolder, *, anyway: bool = False) -> tuple[Change, ...]:
        asked.append(anyway)
        if not anyway:
            raise ChangedError(folder.id, [change])
        return (change,)

    monkeypatch.setattr(launch, "resume", resume)
    make_run("support", FAILED, steps=10)
    app = make_app("support")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("r")
        await settled(app, pilot)
        assert isinstance(app.screen, Confirm)
        assert f"data.train: {what}" in shown(app, "#consequence")
        await pilot.press("y")
        await settled(app, pilot)
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("saved", "words"),
    [(True, "goes on from its newest checkpoint"), (False, "begins anew: it has saved no")],
)
async def test_it_is_said_from_where_a_run_goes_on(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, saved: bool, words: str
) -> None:
    monkeypatch.setattr(launch, "resume", lambda folder, **_: ())
    folder = make_run("support", FAILED, steps=10)
    if saved:
        (folder.checkpoints_dir / "checkpoint-5").mkdir(parents=True)
        (folder.checkpoints_dir / "checkpoint-5" / "trainer_state.json").touch()
    app = make_app("support")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("r")
        await settled(app, pilot)
        assert any(words in notice.message for notice in app._notifications)


def test_what_a_run_changed_when_memory_ran_out_stays_in_sight() -> None:
    words = "micro-batch 4, accumulation 2"
    rung = ev.Rung(number=2, reason="out", words=words, changes={"training.seed": (1, 2)})
    history = _history(rung, ev.Phase(phase="train"))
    shown = run_text.notice(summarise("support", history), history, NOW).plain
    assert f"memory ran out: goes on with {words}  (step 2 of its ladder)" in shown
    assert f"out of memory, so changed: {words}" in run_text.facts_content(history).plain


def test_a_run_in_several_processes_says_so_and_counts_all_their_rows() -> None:
    plan = ev.Plan(
        total_steps=1,
        num_train_epochs=1,
        train_rows=1,
        eval_rows=0,
        train_tokens=1,
        supervised_tokens=1,
        effective_batch_size=64,
        trainable_parameters=1,
        total_parameters=1,
        device="H100",
        precision="bf16",
        method="qlora",
        processes=8,
        strategy="FSDP2",
    )
    shown = run_text.facts_content(_history(plan)).plain
    assert "8 processes, FSDP2: 64 rows a step" in shown
    alone = msgspec.structs.replace(plan, processes=1, strategy=None)
    assert "processes" not in run_text.facts_content(_history(alone)).plain


def test_the_headline_breaks_between_figures_only() -> None:
    history = _history(*training(320, START))
    shown = run_text.headline(summarise("support", history), history, NOW, 60).plain
    assert all(len(line) <= 60 for line in shown.splitlines())
    assert [line.split("   ")[0] for line in shown.splitlines()] == [
        "support",
        "loss 0.776 ↑",
        time.strftime("by anna since %H:%M", time.localtime(START)),
    ]


def test_the_headline_of_an_ended_run_tells_how_long_it_took_and_an_old_one_its_day() -> None:
    history = _history(*training(5, START), FINISHED)
    line = run_text.headline(summarise("support", history), history, START + 400_000, 200).plain
    assert "took 55:00" in line
    assert time.strftime("since %b %d %H:%M", time.localtime(START)) in line
    assert (
        time.strftime("since %H:%M", time.localtime(START))
        in run_text.headline(summarise("support", history), history, NOW, 200).plain
    )


def test_reading_a_long_history_says_how_far_it_is(make_run: MakeRun) -> None:
    folder = make_run("support", FINISHED, steps=50)
    reader = RunReader(folder)
    assert reader.share_read() == 0
    size = folder.events_file.stat().st_size
    reader.poll(size // 2)
    assert 0.4 < reader.share_read() <= 0.5
    reader.catch_up()
    assert reader.share_read() == 1
    assert run_text.loading(0.5).plain == "◷ reads the history  █████      50 %"
