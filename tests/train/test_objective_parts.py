"""What an objective's trainer is handed, against the data room's masks and formulas by hand."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.tiny_model import judged_rows, labelled_rows, pair_rows, text_rows, write_rows
from tests.train.running import Ran, make_spec, make_trainer, run_worker
from tui_ft.data import MaskedRow, Row, RowProblem, convert, detect, mask_row
from tui_ft.data.items import Pair
from tui_ft.runs import events as ev
from tui_ft.spec import RunSpec
from tui_ft.train.objectives.kto import JudgedBatch
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.protocol import IGNORED

LORA = {"kind": "lora", "r": 8, "lora_alpha": 16}
Rows = list[dict[str, object]]

PAIRS_OF_SEVERAL_TURNS: Rows = [
    {
        "prompt": [{"role": "user", "content": f"Question {number}?"}],
        "chosen": [
            {"role": "assistant", "content": f"Do you mean {number}?"},
            {"role": "user", "content": "Yes, I do."},
            {"role": "assistant", "content": f"Then it is {number * 3}."},
        ],
        "rejected": [{"role": "assistant", "content": "No. " * (number % 4 + 1)}],
    }
    for number in range(20)
]


def _spec(folder: Path, model: Path, rows: Rows, **groups: Any) -> RunSpec:
    write_rows(folder / "rows.jsonl", rows)
    groups = {"method": LORA, "hardware": {"gpus": "none", "cpu_threads": 1}, **groups}
    return make_spec(folder, model, **groups)


def _masked(model: Path, rows: Rows, max_length: int) -> dict[tuple[int, ...], list[bool]]:
    """Return the data room's mask of every answer, by its tokens."""
    tokenizer = TransformersChatTokenizer(AutoTokenizer.from_pretrained(model))
    numbered = [Row(line, dict(row)) for line, row in enumerate(rows, start=1)]
    detection = detect(numbered)
    found = {}
    for row in numbered:
        pair = convert(row, detection)
        assert not isinstance(pair, RowProblem)
        assert isinstance(pair, Pair)
        for side in (pair.chosen, pair.rejected):
            masked = mask_row(side, tokenizer, max_length=max_length)
            assert isinstance(masked, MaskedRow)
            found[tuple(masked.input_ids)] = masked.supervised
    return found


@pytest.mark.parametrize("max_length", [64, 40])
def test_a_batch_of_dpo_holds_the_tokens_and_masks_of_the_data_room(
    tmp_path: Path, tiny_llama: Path, max_length: int
) -> None:
    rows = [*PAIRS_OF_SEVERAL_TURNS, *pair_rows(20)]
    training = {"max_length": max_length}
    spec = _spec(tmp_path, tiny_llama, rows, objective={"kind": "dpo"}, training=training)
    expected = _masked(tiny_llama, rows, max_length)
    batch = next(iter(make_trainer(spec, tmp_path).get_train_dataloader()))
    assert batch["input_ids"].shape[0] == 16
    lengths = batch["attention_mask"].sum(1)
    for ids, mask, length in zip(
        batch["input_ids"], batch["completion_mask"], lengths.tolist(), strict=True
    ):
        supervised = expected[tuple(ids[:length].tolist())]
        assert mask[:length].bool().tolist() == supervised
        assert not mask[length:].any()
    assert any(len(ids) == max_length for ids in expected) is (max_length == 40)


def test_the_sides_of_a_pair_stand_half_a_batch_apart(tmp_path: Path, tiny_llama: Path) -> None:
    spec = _spec(tmp_path, tiny_llama, pair_rows(40), objective={"kind": "dpo"})
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    batch = next(iter(make_trainer(spec, tmp_path).get_train_dataloader()))
    texts = [
        tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    assert all(text.startswith("The ") for text in texts[:8])
    assert set(texts[8:]) == {"Nobody has told me that.<|im_end|>"}


@pytest.mark.parametrize("kind", ["orpo", "cpo"])
def test_a_batch_side_by_side_has_labels_where_the_masks_say(
    tmp_path: Path, tiny_llama: Path, kind: str
) -> None:
    rows = PAIRS_OF_SEVERAL_TURNS
    spec = _spec(tmp_path, tiny_llama, rows, objective={"kind": kind})
    expected = _masked(tiny_llama, rows, 64)
    batch = next(iter(make_trainer(spec, tmp_path).get_train_dataloader()))
    for side in ("chosen", "rejected"):
        ids, labels = batch[f"{side}_input_ids"], batch[f"{side}_labels"]
        lengths = batch[f"{side}_attention_mask"].sum(1).tolist()
        for row, label, length in zip(ids, labels, lengths, strict=True):
            supervised = expected[tuple(row[:length].tolist())]
            assert (label[:length] != IGNORED).tolist() == supervised
            assert (label[length:] == IGNORED).all()


def _first_loss(folder: Path, model: Path, rows: Rows, **groups: Any) -> tuple[float, Any]:
    """Return the loss of a first batch by the trainer, and that batch's log-probabilities."""
    trainer = make_trainer(_spec(folder, model, rows, **groups), folder)
    trainer.model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        loss = float(trainer.compute_loss(trainer.model, dict(batch)))
        logits = trainer.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
    log_probs = logits[:, :-1].log_softmax(-1)
    taken = log_probs.gather(-1, batch["input_ids"][:, 1:, None]).squeeze(-1)
    return loss, (taken * batch["completion_mask"][:, 1:]).sum(1)


def test_without_a_reference_only_the_models_own_log_probabilities_count(
    tmp_path: Path, tiny_llama: Path
) -> None:
    objective = {"kind": "dpo", "reference_free": True, "beta": 0.05}
    loss, answers = _first_loss(tmp_path, tiny_llama, pair_rows(40), objective=objective)
    chosen, rejected = answers.chunk(2)
    by_hand = -torch.nn.functional.logsigmoid(0.05 * (chosen - rejected)).mean()
    assert loss == pytest.approx(float(by_hand), rel=1e-4)
    assert loss != pytest.approx(math.log(2), rel=1e-2)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({"kind": "dpo"}, math.log(2)),
        ({"kind": "dpo", "loss_type": "hinge"}, 1.0),
        ({"kind": "dpo", "loss_type": "ipo", "beta": 0.5}, 1.0),  # (0 - 1 / (2 beta))^2
        ({"kind": "dpo", "loss_type": ["sigmoid", "hinge"], "loss_weights": [1, 2]}, None),
    ],
)
def test_at_the_reference_each_loss_is_what_its_formula_says(
    tmp_path: Path, tiny_llama: Path, objective: dict[str, Any], expected: float | None
) -> None:
    loss, _ = _first_loss(tmp_path, tiny_llama, pair_rows(40), objective=objective)
    assert loss == pytest.approx(math.log(2) + 2.0 if expected is None else expected, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "rows", "accumulated"),
    [
        ("dpo", pair_rows, 1e-4),
        ("orpo", pair_rows, 2e-2),  # the mean over tokens is one of means
        ("reward", pair_rows, 1e-4),
        ("classification", labelled_rows, 1e-4),
    ],
)
def test_passes_before_a_step_do_not_multiply_the_loss(
    tmp_path: Path,
    tiny_llama: Path,
    kind: str,
    rows: Callable[[int], Rows],
    accumulated: float,
) -> None:
    first = []
    for passes in (1, 2):
        folder = tmp_path / str(passes)
        folder.mkdir()
        training = {
            "max_steps": 1,
            "per_device_train_batch_size": 8 // passes,
            "gradient_accumulation_steps": passes,
            "eval_steps": None,
            "save_steps": None,
        }
        spec = _spec(folder, tiny_llama, rows(40), objective={"kind": kind}, training=training)
        ran = run_worker(spec, folder / "run")
        assert ran.ended.state == "finished", ran.ended
        norms = ran.history.series("grad_norm").y
        first.append((ran.losses[0], norms[0]))
    assert first[1][0] == pytest.approx(first[0][0], rel=accumulated)
    assert first[1][1] == pytest.approx(first[0][1], rel=0.5)


def test_the_reference_asked_beforehand_gives_the_same_run(
    tmp_path: Path, tiny_llama: Path
) -> None:
    losses = []
    for beforehand in (False, True):
        folder = tmp_path / str(beforehand)
        folder.mkdir()
        spec = _spec(
            folder,
            tiny_llama,
            pair_rows(60),
            method={"kind": "full"},
            objective={"kind": "dpo", "precompute_ref_log_probs": beforehand},
            training={"learning_rate": 1e-3, "max_steps": 5, "eval_steps": 5, "save_steps": None},
        )
        ran = run_worker(spec, folder / "run")
        assert (ran.trainer.ref_model is None) is beforehand
        losses.append(ran.losses)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_kto_sets_each_prompt_before_the_answer_to_another() -> None:
    rows = [
        {"input_ids": [1, 2, 9], "supervised": [False, False, True], "label": True},
        {"input_ids": [3, 8, 8, 5], "supervised": [False, True, True, False], "label": False},
    ]
    batch = JudgedBatch(pad_token_id=0, max_length=4, with_kl=True)(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 9, 0], [3, 8, 8, 5]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 0], [0, 1, 1, 0]]
    assert batch["label"].tolist() == [True, False]
    assert batch["KL_input_ids"].tolist() == [[1, 2, 8, 8], [3, 9, 0, 0]]  # cut to 4 tokens
    assert batch["KL_completion_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    assert batch["KL_attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_kto_mixes_what_the_file_has_sorted_by_verdict(tmp_path: Path, tiny_llama: Path) -> None:
    spec = _spec(tmp_path, tiny_llama, judged_rows(80), objective={"kind": "kto"})
    batches = list(make_trainer(spec, tmp_path).get_train_dataloader())
    assert sum(0 < batch["label"].sum() < len(batch["label"]) for batch in batches) >= 5


def _alerts(ran: Ran) -> str:
    return "\n".join(alert.text for alert in ran.of(ev.Alert))


def test_verdicts_out_of_balance_are_told_with_the_weight_that_mends_it(
    tmp_path: Path, tiny_llama: Path
) -> None:
    rows = judged_rows(80)
    spec = _spec(
        tmp_path, tiny_llama, rows[20:], objective={"kind": "kto"}, training={"max_steps": 1}
    )
    assert "20 answers are judged good and 40 bad" not in _alerts(run_worker(spec, tmp_path / "a"))
    write_rows(tmp_path / "rows.jsonl", rows[30:])
    said = _alerts(run_worker(spec, tmp_path / "b"))
    assert "10 answers are judged good and 40 bad" in said
    assert "objective.desirable_weight to about 4" in said


def test_pairs_that_teach_nothing_are_left_out_and_counted(
    tmp_path: Path, tiny_llama: Path
) -> None:
    rows = pair_rows(40)
    rows[2]["rejected"] = rows[2]["chosen"]
    spec = _spec(tmp_path, tiny_llama, rows, objective={"kind": "dpo"}, training={"max_steps": 1})
    ran = run_worker(spec, tmp_path / "run")
    assert "1 rows of rows.jsonl are left out: the chosen and the rejected answer are the same" in (
        _alerts(ran)
    )
    plan = ran.history.plan
    assert plan is not None
    assert plan.train_rows + plan.eval_rows == 39


def test_a_reward_model_leaves_out_what_it_cannot_see_whole(
    tmp_path: Path, tiny_llama: Path
) -> None:
    rows = pair_rows(40)
    rows[4]["rejected"] = [{"role": "assistant", "content": "very " * 80}]
    spec = _spec(
        tmp_path, tiny_llama, rows, objective={"kind": "reward"}, training={"max_steps": 1}
    )
    said = _alerts(run_worker(spec, tmp_path / "run"))
    assert "1 rows of rows.jsonl are left out: it is longer than training.max_length" in said
    assert "(line 5)" in said


def test_rows_of_another_format_are_refused_before_anything_is_loaded(
    tmp_path: Path, tiny_llama: Path
) -> None:
    spec = _spec(tmp_path, tiny_llama, judged_rows(40), objective={"kind": "dpo"})
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "failed"
    assert "DPO learns from pairs" in ran.ended.reason
    assert "objective.kind to kto" in ran.ended.reason


def test_texts_longer_than_a_row_become_several_and_nothing_is_lost(
    tmp_path: Path, tiny_llama: Path
) -> None:
    rows = text_rows(20)
    spec = _spec(
        tmp_path,
        tiny_llama,
        rows,
        objective={"kind": "pretraining"},
        data={"eval_fraction": 0.2},
    )
    trainer = make_trainer(spec, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    sides = [trainer.train_dataset, trainer.eval_dataset]
    said = ["".join(tokenizer.decode(row["input_ids"]) for row in side) for side in sides]
    eos, bos = tokenizer.eos_token, tokenizer.bos_token
    texts = [[text.removeprefix(bos) for text in side.split(eos) if text] for side in said]
    assert sorted(texts[0] + texts[1]) == sorted(str(row["text"]) for row in rows)
    assert (len(texts[0]), len(texts[1])) == (16, 4)  # no text is on both sides
    assert len(sides[0]) > 2 * 16
    assert all(len(row["input_ids"]) <= 64 for side in sides for row in side)
    assert all(row["labels"] == row["input_ids"] for side in sides for row in side)


def test_other_text_is_mixed_in_by_its_share_of_the_tokens(
    tmp_path: Path, tiny_llama: Path
) -> None:
    general: Rows = [{"body": f"Once upon a time there were {n} of them."} for n in range(30)]
    mix = {
        "train": str(write_rows(tmp_path / "general.jsonl", general)),
        "weight": 0.25,
        "columns": {"text": "body"},
    }
    data = {"mix": mix, "eval_fraction": 0.2}
    objective = {"kind": "pretraining"}
    spec = _spec(tmp_path, tiny_llama, text_rows(20), objective=objective, data=data)
    trainer = make_trainer(spec, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    own, other = 0, 0
    for row in trainer.train_dataset:
        mixed_in = "Once upon" in tokenizer.decode(row["input_ids"])
        own += 0 if mixed_in else len(row["input_ids"])
        other += len(row["input_ids"]) if mixed_in else 0
    assert other / (own + other) == pytest.approx(0.25, abs=0.01)
    held_out = [tokenizer.decode(row["input_ids"]) for row in trainer.eval_dataset]
    assert not any("Once upon" in text for text in held_out)
    again = make_trainer(spec, tmp_path).train_dataset
    assert [row["input_ids"] for row in again] == [
        row["input_ids"] for row in trainer.train_dataset
    ]


def test_rows_mixed_in_more_than_once_are_told_of(tmp_path: Path, tiny_llama: Path) -> None:
    few = write_rows(tmp_path / "few.jsonl", [{"text": "Once upon a time."}] * 3)
    data = {"mix": {"train": str(few), "weight": 0.2}}
    training = {"max_steps": 1}
    spec = _spec(
        tmp_path, tiny_llama, text_rows(10), objective={"kind": "pretraining"}, data=data,
        training=training,
    )  # fmt: skip
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert "data.mix: 3 rows are seen up to" in _alerts(ran)


def test_a_text_is_given_to_a_classifier_as_its_tokenizer_gives_it(
    tmp_path: Path, tiny_bert: Path
) -> None:
    rows = labelled_rows(40)
    spec = _spec(tmp_path, tiny_bert, rows, objective={"kind": "classification"})
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    trainer = make_trainer(spec, tmp_path)
    expected = {tuple(tokenizer(str(row["text"]))["input_ids"]): row["label"] for row in rows}
    names = trainer.model.config.id2label
    batch = next(iter(trainer.get_train_dataloader()))
    for ids, mask, label in zip(
        batch["input_ids"], batch["attention_mask"], batch["labels"].tolist(), strict=True
    ):
        assert expected[tuple(ids[mask.bool()].tolist())] == names[label]


def test_texts_are_cut_where_the_model_ends_whatever_was_asked(
    tmp_path: Path, tiny_bert: Path
) -> None:
    rows = labelled_rows(40)
    rows[0]["text"] = "bob has a red fig today " * 40
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.model_max_length = 128  # as many places as the model has
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    tokenizer.save_pretrained(model)
    training = {"max_length": 1024, "max_steps": 5, "per_device_train_batch_size": 40}
    spec = _spec(tmp_path, model, rows, objective={"kind": "classification"}, training=training)
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert "the model's own limit of 128 tokens cuts 2.5 % of rows" in _alerts(ran)


def test_classes_that_are_numbers_keep_their_numbers(tmp_path: Path, tiny_bert: Path) -> None:
    rows: Rows = [{"text": f"alice has {n % 11}", "label": n % 11} for n in range(44)]
    spec = _spec(tmp_path, tiny_bert, rows, objective={"kind": "classification"})
    names = make_trainer(spec, tmp_path).model.config.id2label
    assert names == {number: str(number) for number in range(11)}


def test_one_class_alone_is_refused_and_an_unknown_one_left_out(
    tmp_path: Path, tiny_bert: Path
) -> None:
    rows: Rows = [{"text": "bob has a fig", "label": "fruit"}] * 20
    objective = {"kind": "classification"}
    spec = _spec(tmp_path, tiny_bert, rows, objective=objective, training={"max_steps": 1})
    assert "all rows are of one class, fruit" in run_worker(spec, tmp_path / "one").ended.reason
    other: Rows = [{"text": "bob has a pen", "label": "tool"}] * 4
    evaluation = write_rows(tmp_path / "eval.jsonl", labelled_rows(10) + other)
    data = {"eval": str(evaluation)}
    spec = _spec(
        tmp_path, tiny_bert, labelled_rows(40), objective=objective, data=data,
        training={"max_steps": 1},
    )  # fmt: skip
    ran = run_worker(spec, tmp_path / "two")
    assert "4 rows of eval.jsonl are left out: no training row is of its class tool" in _alerts(ran)
    assert ran.history.plan is not None
    assert ran.history.plan.eval_rows == 10


def _stop_at(step: int) -> Callable[[ev.Event, Callable[[str], None]], None]:
    def on_event(event: ev.Event, send: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == step:
            send("stop")

    return on_event


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("dpo", pair_rows),
        ("kto", judged_rows),
        ("orpo", pair_rows),
        ("reward", pair_rows),
    ],
)
def test_stopped_and_resumed_it_follows_the_same_curve(
    tmp_path: Path, tiny_llama: Path, kind: str, rows: Callable[[int], Rows]
) -> None:
    spec = _spec(tmp_path, tiny_llama, rows(200), objective={"kind": kind})
    whole = run_worker(spec, tmp_path / "whole")
    stopped = run_worker(spec, tmp_path / "halves", on_event=_stop_at(7))
    assert stopped.ended.state == "stopped"
    assert 7 <= len(stopped.losses) < 20
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.ended.state == "finished"
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
    tokens, expected = (r.history.series("tokens").y for r in (resumed, whole))
    assert tokens == expected
