"""Cells of the table of objectives and methods that no other test trains: they reach their margin.

The whole table is printed by `python -m benchmarks.bench_cells`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_cells import Models, make_models, spec_of, train
from tui_ft.spec.combinations.table import impossible


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize(
    ("objective", "method"),
    [
        ("pretraining", "p-tuning"),
        ("dpo", "ia3"),
        ("kto", "prompt"),
        ("orpo", "adalora"),
        ("cpo", "dora"),
        ("reward", "ln tuning"),
        ("classification", "peft: OFT"),
        ("grpo", "bottleneck"),
        ("rloo", "adalora"),
        ("ppo", "qlora"),
    ],
)
def test_it_trains_and_what_it_saves_is_what_was_trained(
    tmp_path: Path, models: Models, objective: str, method: str
) -> None:
    folder = tmp_path / "cell"
    spec = spec_of(folder, models, objective, method)
    assert not impossible(spec)
    cell = train(spec, folder, objective, method)
    assert not cell.trouble, cell
    assert cell.reaches, cell
