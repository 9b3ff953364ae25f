"""Figures, their bands, and what fits a card."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.memory.models import LORA, TINY
from tui_ft.memory.allocator import GIB, MIB
from tui_ft.memory.cards import CARDS, fit
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimating import Unknown, figures
from tui_ft.memory.figure import CONTEXT, Figure, figure_of, nearby_lengths
from tui_ft.memory.fitting import largest_batch
from tui_ft.memory.question import Question
from tui_ft.memory.replayed import Replayed
from tui_ft.memory.step import Step


def _replayed(allocated: int, reserved: int) -> Replayed:
    return Replayed(
        requested=allocated,
        allocated=allocated,
        reserved=reserved,
        held_between_steps=0,
        by_kind={"weights": allocated - 100, "activations": 100, "inputs": 0},
        stage="backward",
        operation="aten::mm",
        stage_peaks={},
        timeline=(),
        trainable_parameters=1,
        parameters=2,
        seconds=0.0,
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))


def test_the_parts_sum_up_to_what_is_expected() -> None:
    figure = figure_of([_replayed(10 * GIB, 11 * GIB), _replayed(9 * GIB, 12 * GIB)])
    assert figure.expected == sum(term.size for term in figure.terms) == 11 * GIB + CONTEXT
    assert figure.low == 9 * GIB + 300 * MIB
    assert figure.high == int(12 * GIB * 1.05) + 800 * MIB
    assert [term.name for term in figure.terms] == [
        "weights",
        "activations",
        "fragmentation",
        "CUDA context",
    ]


def test_nearby_lengths_begin_with_the_own_one_and_stay_usable() -> None:
    assert nearby_lengths(2048) == (2048, 2040, 2024)
    assert nearby_lengths(8) == (8,)


def test_a_run_fits_surely_perhaps_or_not() -> None:
    figure = figure_of([_replayed(10 * GIB, 11 * GIB)])
    assert fit(figure, 24 * GIB) == "fits"
    assert fit(figure, figure.expected) == "tight"
    assert fit(figure, figure.expected - 1) == "no"


def test_cards_are_in_the_order_of_their_memory() -> None:
    sizes = [card.memory_bytes for card in CARDS]
    assert sizes == sorted(sizes)


def test_what_has_no_figure_says_why() -> None:
    known, unknown = figures(
        [
            Step(config=TINY, batch=1, length=64),
            Step(config={**TINY, "model_type": "martian"}, batch=1, length=64),
        ]
    )
    assert isinstance(known, Figure)
    assert isinstance(unknown, Unknown)
    assert unknown.reason.startswith("a step of this model cannot be replayed")
    assert "martian" in unknown.reason


def test_one_row_more_than_the_largest_batch_does_not_fit() -> None:
    step = Step(config=TINY, batch=1, length=512, adapter=LORA, checkpointing=True)
    free = 2 * GIB
    most = largest_batch(step, free)
    questions = [
        Question(step=msgspec.structs.replace(step, batch=rows)) for rows in (most, most + 1)
    ]
    fitting, beyond = (
        figure_of([answer.replayed]).high
        for answer in dry_runs(questions)
        if answer.replayed is not None
    )
    assert fitting <= free < beyond


def test_nothing_fits_where_the_weights_do_not() -> None:
    assert largest_batch(Step(config=TINY, batch=1, length=64), 100 * MIB) == 0
