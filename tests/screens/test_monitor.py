from __future__ import annotations

import json

from textual.widgets import Static

from tests.screens.conftest import FAILED, FINISHED, NOW, SCORES, START, MakeRun, make_app, training
from tests.screens.test_home import settled, shown
from tui_ft.app import FtuiApp
from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory
from tui_ft.runs.registry import summarise
from tui_ft.screens import run_text
from tui_ft.screens.home import HomeScreen
from tui_ft.screens.monitor import MonitorScreen
from tui_ft.screens.run_charts import RunCharts
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
        await pilot.pause(1.2)
        await settled(app, pilot)
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


async def test_a_narrow_window_shows_one_pane_and_v_goes_on(make_run: MakeRun) -> None:
    make_run("support", FINISHED, steps=50)
    app = make_app("support")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        panes = ("#loss", "#small", "#side", "#samples", "#log-box")
        visible = []
        for _ in panes:
            visible.append([p for p in panes if app.screen.query_one(p).display])
            await pilot.press("v")
            await pilot.pause()
        assert visible == [[pane] for pane in panes]
        await pilot.resize_terminal(200, 60)
        await pilot.pause(0.2)
        assert all(app.screen.query_one(pane).display for pane in panes)


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
    line = run_text.headline(summarise("support", history), history).plain
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
