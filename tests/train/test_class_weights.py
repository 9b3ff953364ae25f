"""How a classifier weighs classes, and the figures that it is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_model import labelled_rows, write_rows
from tests.train.running import make_spec, make_trainer
from tui_ft.runs import events as ev
from tui_ft.runs.history import describe
from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunFailure
from tui_ft.train.objectives.classification import macro_scores

Rows = list[dict[str, object]]


def _spec(folder: Path, model: Path, rows: Rows, **groups: Any) -> RunSpec:
    write_rows(folder / "rows.jsonl", rows)
    return make_spec(folder, model, **groups)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, None),
        ("balanced", [40 / (2 * 30), 40 / (2 * 10)]),
        ({"rare": 5.0}, [1.0 / 2, 5.0 / 2]),
    ],
)
def test_the_weights_of_classes(
    tmp_path: Path, tiny_bert: Path, asked: Any, expected: list[float] | None
) -> None:
    rows: Rows = [
        {"text": "bob has a fig", "label": "rare" if n < 10 else "common"} for n in range(40)
    ]
    objective = {"kind": "classification", "class_weights": asked}
    weights = make_trainer(_spec(tmp_path, tiny_bert, rows, objective=objective), tmp_path)
    found = weights.class_weights
    assert (None if found is None else found.tolist()) == (
        None if expected is None else pytest.approx(expected)
    )


def test_a_row_weighs_what_its_class_does_whatever_shares_its_pass(
    tmp_path: Path, tiny_bert: Path
) -> None:
    rows: Rows = [
        {"text": f"bob has {n} figs", "label": "rare" if n < 10 else "common"} for n in range(40)
    ]
    objective = {"kind": "classification", "class_weights": "balanced"}
    trainer = make_trainer(_spec(tmp_path, tiny_bert, rows, objective=objective), tmp_path)
    batch = trainer.data_collator(trainer.train_dataset.select(range(12)))
    assert set(batch["labels"].tolist()) == {0, 1}
    trainer.model.eval()
    with torch.no_grad():
        together = float(trainer.compute_loss(trainer.model, dict(batch)))
        alone = [
            float(trainer.compute_loss(trainer.model, {k: v[n : n + 1] for k, v in batch.items()}))
            for n in range(12)
        ]
        logits = trainer.model(**{k: v for k, v in batch.items() if k != "labels"}).logits
    assert together == pytest.approx(sum(alone) / 12, rel=1e-5)
    plain = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none")
    weighed = plain * trainer.class_weights[batch["labels"]]
    assert alone == pytest.approx(weighed.tolist(), rel=1e-4)


def test_a_weight_for_a_class_that_is_not_there_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    objective = {"kind": "classification", "class_weights": {"fruits": 2.0}}
    spec = _spec(tmp_path, tiny_bert, labelled_rows(40), objective=objective)
    with pytest.raises(RunFailure, match="no row is of class fruits") as caught:
        make_trainer(spec, tmp_path)
    assert "fruit, sweet, vegetable" in caught.value.advice[0]


def test_macro_scores_by_hand() -> None:
    predicted = torch.tensor([0, 0, 1, 1, 1, 0])
    labels = torch.tensor([0, 0, 1, 1, 0, 2])
    found = macro_scores(predicted, labels)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["precision"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_where_classes_are_told_apart_macro_f1_is_said_beside_accuracy() -> None:
    values: dict[str, float | None] = {"eval_loss": 0.5, "eval_accuracy": 0.9, "eval_f1": 0.32}
    said = describe(ev.Evaluation(step=3, epoch=1.0, values=values))
    assert said == "evaluation at step 3: loss 0.5, accuracy 90.0%, F1 32.0%"
