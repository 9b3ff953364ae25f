"""The monitor of a run whose answers are rewarded: rewards lead, and answers come with theirs."""

from __future__ import annotations

import math

import pytest

from tests.screens.conftest import START, MakeRun, make_app
from tests.screens.test_snapshots import SIZES, Compare, Size, _settle
from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory, describe
from tui_ft.runs.registry import summarise
from tui_ft.screens.monitor.charts import SMALL_CHARTS
from tui_ft.screens.monitor.reward_text import reward_lines, rows_text
from tui_ft.screens.monitor.text import facts_content, samples_content, trend

STEPS = 120
PLAN = ev.Plan(
    t=START + 20,
    total_steps=300,
    num_train_epochs=1.0,
    train_rows=7_473,
    eval_rows=64,
    train_tokens=1_210_000,
    supervised_tokens=0,
    effective_batch_size=32,
    trainable_parameters=84_000_000,
    total_parameters=8_100_000_000,
    device="NVIDIA H100 80GB HBM3",
    precision="bf16",
    method="lora",
    objective="grpo",
)


def _figures(step: int) -> ev.Metrics:
    learned = 1 - math.exp(-step / 60)
    right = 0.2 + 0.6 * learned + 0.04 * math.sin(step * 1.7)
    form = min(1.0, 0.5 + learned)
    values: dict[str, float | None] = {
        "loss": 0.01 * math.sin(step),
        "reward": right + 0.1 * form,
        "rewards/exact_match/mean": right,
        "rewards/says_its_answer/mean": form,
        "kl": 0.02 * learned,
        "completions/mean_length": 180 + 90 * learned,
        "completions/clipped_ratio": 0.04,
        "frac_reward_zero_std": 0.25,
        "clip_ratio/region_mean": 0.012,
        "tokens": 9_000.0 * step,
        "tokens_per_second": 1_800.0,
    }
    return ev.Metrics(t=START + 20 + step * 8, step=step, epoch=step / 300, values=values)


def _events() -> list[ev.Event]:
    found: list[ev.Event] = [PLAN, ev.Phase(t=START + 25, phase="train", text="trains")]
    for step in range(1, STEPS + 1):
        found.append(_figures(step))
        if step % 30 == 0:
            values: dict[str, float | None] = {
                "eval_loss": 0.0,
                "eval_reward": 0.3 + 0.2 * step / 60 - 0.1 * (step == STEPS),
            }
            at = START + 20 + step * 8
            found.append(ev.Evaluation(t=at, step=step, epoch=step / 300, values=values))
    asked = "A baker sells 48 rolls in April and half as many in May. How many in all?"
    for answer, reward in (("48 + 24 = 72\n#### 72", 1.1), ("48 / 2 = 24\n#### 24", 0.1)):
        sample = ev.Sample(
            t=START + 1_000, step=STEPS, row=3, prompt=asked, answer=answer, reward=reward
        )
        found.append(sample)
    found.append(ev.Progress(t=START + 990, step=STEPS, total_steps=300, epoch=0.4, eta_s=1_440.0))
    return found


@pytest.fixture
def history() -> RunHistory:
    told = RunHistory()
    for event in _events():
        told.add(event)
    return told


@SIZES
def test_a_monitor_of_rewards(make_run: MakeRun, snap_compare: Compare, size: Size) -> None:
    make_run("maths-grpo", *_events(), live=True, gpus=(0,))
    keys = ("v", "v", "v") if size[0] == 80 else ()
    app = make_app("maths-grpo")
    assert snap_compare(app, terminal_size=size, run_before=_settle(*keys))


def test_the_best_is_the_highest_reward(history: RunHistory) -> None:
    assert summarise("maths-grpo", history).reward == history.series("reward").y[-1]
    assert history.leading == "reward"
    best = history.best_evaluation()
    assert best is not None
    assert best[0] == 90
    assert best[1] == pytest.approx(0.6)
    assert "best evaluation reward 0.600 at step 90" in facts_content(history).plain
    assert trend(history)


def test_small_charts_show_what_tells_of_answers(history: RunHistory) -> None:
    assert [chart.shown(history)[0] for chart in SMALL_CHARTS] == [
        "KL", "answer tokens", "tokens/s",
    ]  # fmt: skip
    del history.metrics["kl"]
    assert SMALL_CHARTS[0].shown(history)[0] == "prompts all alike"


def test_each_rewards_own_mean_is_said_where_there_are_several(history: RunHistory) -> None:
    lines = reward_lines(history)
    assert lines[0].startswith("exact match 0.7")
    assert lines[1].startswith("says its answer 1")
    assert "25 % of prompts with answers all alike" in lines
    del history.metrics["rewards/says_its_answer/mean"]
    assert not [line for line in reward_lines(history) if line.startswith("exact match")]
    assert rows_text(PLAN) == "7.47 k prompts, 1.21 M tokens"


def test_answers_are_shown_with_their_rewards(history: RunHistory) -> None:
    shown = samples_content(history.samples).plain.splitlines()
    assert shown[0] == f"answers at step {STEPS}"
    assert shown[shown.index("#### 72") + 1] == "reward 1.10"
    assert shown[shown.index("#### 24") + 1] == "reward 0.100"


def test_an_evaluation_is_told_by_its_reward() -> None:
    values: dict[str, float | None] = {"eval_loss": 0.0, "eval_reward": 0.8125}
    event = ev.Evaluation(step=3, epoch=0.5, values=values)
    assert describe(event) == "evaluation at step 3: reward 0.8125"


def test_a_run_without_rewards_is_led_by_its_loss() -> None:
    told = RunHistory()
    told.add(ev.Metrics(step=1, epoch=0.1, values={"loss": 1.0}))
    for step, loss in ((1, 0.5), (2, 0.4), (3, 0.6)):
        told.add(ev.Evaluation(step=step, epoch=0.1, values={"eval_loss": loss}))
    assert told.leading == "loss"
    assert told.best_evaluation() == (2, 0.4)
    assert reward_lines(told) == []
