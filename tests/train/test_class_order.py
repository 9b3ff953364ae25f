"""A classifier that is trained further keeps its outputs for the classes that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.tiny_model import labelled_rows, write_rows
from tests.train.running import Ran, make_spec, make_trainer, run_worker
from tui_ft.data.classes import are_others, in_order
from tui_ft.eject import eject
from tui_ft.runs import events as ev

SAVED = ("vegetable", "fruit", "sweet")
ONE_STEP = {"max_steps": 1, "learning_rate": 1e-30, "eval_steps": None, "save_steps": None}


@pytest.mark.parametrize(
    ("names", "head", "expected", "others"),
    [
        ("b a", "", "a b", False),
        ("10 9 1", "", "1 9 10", False),
        ("a b", "b a", "b a", False),
        ("a b", "B A", "b a", False),
        ("a", "b a", "b a", False),
        ("a c", "b a", "a c", True),
        ("c b a", "b a", "a b c", True),
        ("a A", "A a", "A a", False),
    ],
)
def test_in_which_order_classes_are_outputs(
    names: str, head: str, expected: str, others: bool
) -> None:
    assert in_order(names.split(), head.split()) == tuple(expected.split())
    assert are_others(names.split(), head.split()) == others


def _classifier(folder: Path, bert: Path, names: tuple[str, ...]) -> torch.Tensor:
    """Save a classifier with these classes; return the weights of its head."""
    torch.manual_seed(5)
    model = AutoModelForSequenceClassification.from_pretrained(
        bert, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(bert).save_pretrained(folder)
    head: torch.Tensor = model.classifier.weight.detach().clone()
    return head


def _run(folder: Path, model: Path, method: dict[str, Any], adapter: str = "merge") -> Ran:
    spec = make_spec(
        folder,
        model,
        objective={"kind": "classification"},
        method=method,
        training=ONE_STEP,
        model={"name_or_path": str(model), "adapter": adapter},
    )
    return run_worker(spec, folder / "run")


@pytest.mark.parametrize("capitals", [False, True])
def test_a_head_keeps_its_outputs_also_one_without_rows(
    tmp_path: Path, tiny_bert: Path, capitals: bool
) -> None:
    saved = tuple(name.upper() for name in SAVED) if capitals else SAVED
    head = _classifier(tmp_path / "model", tiny_bert, saved)
    rows = [row for row in labelled_rows(60) if row["label"] != "sweet"]
    write_rows(tmp_path / "rows.jsonl", rows)
    ran = _run(tmp_path, tmp_path / "model", {"kind": "full"})
    assert ran.ended.state == "finished", ran.ended
    kept = AutoModelForSequenceClassification.from_pretrained(ran.folder.output_dir())
    names = ("vegetable", "fruit", saved[2])
    assert tuple(kept.config.id2label[number] for number in range(3)) == names
    torch.testing.assert_close(kept.classifier.weight, head)
    said = [one.text for one in ran.of(ev.Alert)]
    assert f"classes without a row, which the model's head has: {saved[2]}" in said
    done = eject(ran.folder.spec(), "script", tmp_path / "script")
    assert tuple(name for name, _ in done.rows.classes) == names


def test_a_head_of_other_classes_begins_anew(tmp_path: Path, tiny_bert: Path) -> None:
    head = _classifier(tmp_path / "model", tiny_bert, ("good", "bad", "ugly"))
    write_rows(tmp_path / "rows.jsonl", labelled_rows(60))
    ran = _run(tmp_path, tmp_path / "model", {"kind": "full"})
    assert ran.ended.state == "finished", ran.ended
    kept = AutoModelForSequenceClassification.from_pretrained(ran.folder.output_dir())
    assert list(kept.config.id2label.values()) == ["fruit", "sweet", "vegetable"]
    assert (kept.classifier.weight - head).abs().max() > 1e-3
    assert any("tells good, bad, ugly apart" in one.text for one in ran.of(ev.Alert))
    done = eject(ran.folder.spec(), "script", tmp_path / "script")
    assert any("tells good, bad, ugly apart" in said for said in done.left_out)


def test_an_adapter_says_its_classes_and_keeps_them(tmp_path: Path, tiny_bert: Path) -> None:
    """Merged into its base, trained further, or refused where the rows are of other classes."""
    lora = {"kind": "lora", "r": 4, "lora_alpha": 8, "target_modules": ["query"]}
    _classifier(tmp_path / "model", tiny_bert, SAVED)
    write_rows(tmp_path / "rows.jsonl", labelled_rows(60))
    first = _run(tmp_path, tmp_path / "model", lora)
    adapter = first.folder.output_dir()
    assert tuple(orjson.loads((adapter / "classes.json").read_bytes())) == SAVED
    for name, how in (("merged", "merge"), ("further", "continue")):
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "rows.jsonl", labelled_rows(60))
        ran = _run(tmp_path / name, adapter, lora, how)
        assert ran.ended.state == "finished", ran.ended
        assert tuple(orjson.loads((ran.folder.output_dir() / "classes.json").read_bytes())) == SAVED
    other = tmp_path / "other"
    other.mkdir()
    write_rows(
        other / "rows.jsonl", [row | {"label": f"{row['label']}s"} for row in labelled_rows(60)]
    )
    refused = _run(other, adapter, lora, "continue")
    assert refused.ended.state == "failed"
    assert "the model's head tells vegetable, fruit, sweet apart" in refused.ended.reason


def test_a_head_without_names_says_what_its_outputs_are_taken_for(
    tmp_path: Path, tiny_bert: Path
) -> None:
    _classifier(tmp_path / "model", tiny_bert, ("LABEL_0", "LABEL_1", "LABEL_2"))
    write_rows(tmp_path / "rows.jsonl", labelled_rows(60))
    ran = _run(tmp_path, tmp_path / "model", {"kind": "full"})
    said = [one.text for one in ran.of(ev.Alert)]
    assert any("outputs are taken for fruit, sweet, vegetable" in one for one in said)


def test_a_class_weighs_as_much_in_passes_of_one_row(tmp_path: Path, tiny_bert: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": f"bob has {n} figs", "label": "rare" if n < 10 else "common"} for n in range(40)
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    asked = {"kind": "classification", "class_weights": {"rare": 5.0}}
    data = {"eval_fraction": 0}
    trainer = make_trainer(make_spec(tmp_path, tiny_bert, objective=asked, data=data), tmp_path)
    trainer.model.eval()
    with torch.no_grad():
        one, whole = (
            [trainer.compute_loss(trainer.model, trainer.data_collator(some)) for some in passes]
            for passes in ([[row] for row in trainer.train_dataset], [list(trainer.train_dataset)])
        )
        trainer.class_weights, trainer.mean_weight = None, 1.0
        plain = [
            trainer.compute_loss(trainer.model, trainer.data_collator([row]))
            for row in trainer.train_dataset
        ]
    assert float(torch.stack(one).mean()) == pytest.approx(float(whole[0]), rel=1e-5)
    mean = (10 * 5 + 30) / 40
    for row, weighed, bare in zip(trainer.train_dataset, one, plain, strict=True):
        expected = (5 if row["label"] == "rare" else 1) / mean
        assert float(weighed / bare) == pytest.approx(expected, rel=1e-5)
