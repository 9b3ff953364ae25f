"""Fields of training, trained for real: each does what it says, and to the loss it should."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.tiny_model import labelled_rows, write_rows
from tests.train.running import Ran, make_spec, make_trainer, run_worker
from tui_ft.runs import events as ev
from tui_ft.spec import RunSpec, build_spec
from tui_ft.spec.combinations.table import COMBINATIONS
from tui_ft.spec.installed import arguments_of
from tui_ft.spec.passed_on import CONFIGURATIONS
from tui_ft.train.objectives import MODULES

_TAKE_EXTRA = (
    *set(CONFIGURATIONS.values()),
    *(("peft", name) for name in ("LoraConfig", "AdaLoraConfig", "PromptEncoderConfig")),
    *(("accelerate", name) for name in ("DeepSpeedPlugin", "FullyShardedDataParallelPlugin")),
)
FEW = {"max_steps": 4, "eval_steps": None, "save_steps": None}


def _spec(folder: Path, model: Path, training: dict[str, Any], **groups: Any) -> RunSpec:
    return make_spec(folder, model, training={**FEW, **training}, **groups)


def _run(folder: Path, model: Path, name: str, **training: Any) -> Ran:
    ran = run_worker(_spec(folder, model, training), folder / name)
    assert ran.ended.state == "finished", ran.ended
    return ran


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Ran:
    folder = tmp_path_factory.mktemp("plain")
    return _run(folder, tiny_llama, "run")


def test_neftune_makes_noise_in_training_and_none_in_evaluation(
    tmp_path: Path, tiny_llama: Path, plain: Ran
) -> None:
    trainer = make_trainer(_spec(tmp_path, tiny_llama, {"neftune_noise_alpha": 200.0}), tmp_path)
    seen: list[torch.Tensor] = []
    embeddings = trainer.model.get_input_embeddings()
    ids = torch.arange(8).unsqueeze(0)

    def look(*_: Any) -> None:
        seen.append(embeddings(ids).detach())

    real = trainer.training_step

    def training_step(model: Any, inputs: Any, *args: Any) -> torch.Tensor:
        model.train()
        look()
        look()
        model.eval()
        look()
        look()
        loss: torch.Tensor = real(model, inputs, *args)
        return loss

    trainer.training_step = training_step
    trainer.train()
    first, second, quiet, quiet_too = seen[:4]
    assert not torch.equal(first, second)
    assert torch.equal(quiet, quiet_too)
    # alpha / sqrt(length x width) bounds the noise (arXiv:2310.05914, section 2).
    assert (first - quiet).abs().max() <= 200.0 / (8 * 64) ** 0.5
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[1:] != pytest.approx(plain.losses[1:], rel=1e-3)


def _smoothed(logits: torch.Tensor, labels: torch.Tensor, share: float) -> float:
    """Return cross-entropy with a share of each target spread over the vocabulary."""
    shifted, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return float(F.cross_entropy(shifted, targets, ignore_index=-100, label_smoothing=share))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_label_smoothing_is_in_the_loss_of_sft(
    tmp_path: Path, tiny_llama: Path, share: float
) -> None:
    trainer = make_trainer(_spec(tmp_path, tiny_llama, {"label_smoothing_factor": share}), tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    with torch.no_grad():
        logits = trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = trainer.compute_loss(trainer.model, dict(batch))
    assert float(loss) == pytest.approx(_smoothed(logits, batch["labels"], share), abs=1e-4)


def test_label_smoothing_is_in_the_loss_of_classification(tmp_path: Path, tiny_bert: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", labelled_rows(60))
    losses = []
    for share in (0.0, 0.2):
        training = {"label_smoothing_factor": share}
        objective = {"kind": "classification"}
        spec = _spec(tmp_path, tiny_bert, training, objective=objective)
        trainer = make_trainer(spec, tmp_path / f"at-{share}")
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.model.eval()
        with torch.no_grad():
            logits = trainer.model(**{k: v for k, v in batch.items() if k != "labels"}).logits
            loss = float(trainer.compute_loss(trainer.model, dict(batch)))
        expected = F.cross_entropy(logits, batch["labels"], label_smoothing=share)
        assert loss == pytest.approx(float(expected), abs=1e-5)
        losses.append(loss)
    assert losses[0] != pytest.approx(losses[1], abs=1e-5)


def test_rows_of_a_length_come_together_and_a_resumed_run_keeps_their_order(
    tmp_path: Path, tiny_llama: Path
) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "say it", "completion": "apple " * (1 + 7 * n % 40)} for n in range(100)
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    training = {"train_sampling_strategy": "group_by_length", "max_steps": 18, "save_steps": 10}
    method = {"kind": "lora", "r": 4, "lora_dropout": 0.1}
    spec = _spec(tmp_path, tiny_llama, training, method=method)
    whole = run_worker(spec, tmp_path / "whole")

    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == 15:  # in the second epoch
            send("stop")

    stopped = run_worker(spec, tmp_path / "halves", on_event=stop)
    assert stopped.ended.state == "stopped"
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert len(whole.losses) == 18
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)

    lengths = whole.trainer.train_dataset.with_format(None)["input_ids"]
    sampler = whole.trainer._get_train_sampler()
    order = [len(lengths[row]) for row in sampler]
    assert sorted(sampler) == list(range(len(lengths)))
    sampler.set_epoch(1)
    assert [len(lengths[row]) for row in sampler] != order
    spread = [max(order[n : n + 8]) - min(order[n : n + 8]) for n in range(8, len(order) - 8, 8)]
    # Of eight random rows the longest and the shortest are 7/9 of the whole range apart.
    assert sum(spread) / len(spread) < 0.55 * (max(order) - min(order))


def test_without_padding_the_loss_is_the_same(
    tmp_path: Path, tiny_llama: Path, plain: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SDPA computes the same with a mask by rows; only the table of combinations refuses it.
    kept = tuple(one for one in COMBINATIONS if one.name != "no padding without FlashAttention")
    monkeypatch.setattr("tui_ft.spec.combinations.table.COMBINATIONS", kept)
    ran = _run(tmp_path, tiny_llama, "run", padding_free=True)
    assert ran.losses == pytest.approx(plain.losses, abs=1e-4)
    batch = next(iter(ran.trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] == 1
    assert "attention_mask" not in batch


@pytest.mark.parametrize(
    ("training", "arguments"),
    [
        ({"packing": True, "packing_strategy": "wrapped"}, {"packing_strategy": "wrapped"}),
        ({"torch_empty_cache_steps": 2}, {"torch_empty_cache_steps": 2}),
        (
            {"optim": "adamw_8bit", "adam_beta2": 0.95, "adam_epsilon": 1e-6},
            {"adam_beta1": 0.9, "adam_beta2": 0.95, "adam_epsilon": 1e-6},
        ),
        (
            {"optim": "sgd", "optim_args": "momentum=0.9", "learning_rate": 1e-2},
            {"optim_args": "momentum=0.9"},
        ),
        (
            {
                "lr_scheduler_type": "cosine_with_min_lr",
                "lr_scheduler_kwargs": {"min_lr_rate": 0.5},
            },
            {"lr_scheduler_kwargs": {"min_lr_rate": 0.5}},
        ),
    ],
    ids=["wrapped", "empty cache", "adam", "sgd", "schedule"],
)
def test_what_is_asked_for_reaches_the_optimizer(
    tmp_path: Path, tiny_llama: Path, training: dict[str, Any], arguments: dict[str, Any]
) -> None:
    ran = _run(tmp_path, tiny_llama, "run", **training)
    assert {name: getattr(ran.trainer.args, name) for name in arguments} == arguments
    group = ran.trainer.optimizer.param_groups[0]
    if "adam_beta2" in arguments:
        assert tuple(group["betas"]) == (0.9, 0.95)
        assert group["eps"] == 1e-6
    if "optim_args" in arguments:
        assert group["momentum"] == 0.9
    if "lr_scheduler_kwargs" in arguments:
        assert group["lr"] == pytest.approx(0.5 * 5e-3)


@pytest.mark.parametrize("strategy", ["bfd_split", "wrapped"])
def test_where_packing_splits_long_rows_nothing_of_them_is_cut_off(
    tmp_path: Path, tiny_llama: Path, strategy: str
) -> None:
    packing = {"packing": True, "packing_strategy": strategy, "max_length": 20}
    trainer = make_trainer(_spec(tmp_path, tiny_llama, packing), tmp_path)
    whole = make_trainer(_spec(tmp_path, tiny_llama, {"max_length": 64}), tmp_path / "whole")
    learned, expected = (
        sorted(t for row in one.train_dataset for t in row["labels"] if t != -100)
        for one in (trainer, whole)
    )
    assert learned == expected
    assert max(len(row["input_ids"]) for row in whole.train_dataset) > 20
    assert max(len(row["input_ids"]) for row in trainer.train_dataset) == 20


def test_early_stopping_counts_the_evaluations_before_a_resume(
    tmp_path: Path, tiny_llama: Path
) -> None:
    training = {
        "learning_rate": 1e-15,  # less than a weight can take up
        "max_steps": 20,
        "eval_steps": 2,
        "save_steps": 2,
        "early_stopping_patience": 3,
    }
    spec = _spec(tmp_path, tiny_llama, training)
    whole = run_worker(spec, tmp_path / "whole")
    at = whole.trainer.state.global_step
    assert "stopped early" in whole.ended.reason

    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Evaluation) and event.step == at - 2:
            send("stop")

    stopped = run_worker(spec, tmp_path / "halves", on_event=stop)
    assert stopped.ended.state == "stopped", stopped.ended
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.ended.reason.startswith(f"stopped early at step {at}"), resumed.ended


def test_defaults_are_those_of_the_library() -> None:
    from trl import SFTConfig

    from tui_ft.spec.trainer_arguments import _UNLESS_DEFAULT

    training = build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d"}}).training
    config = SFTConfig(output_dir="x", use_cpu=True)
    for name in (*_UNLESS_DEFAULT, "packing_strategy", "padding_free"):
        theirs = getattr(config, name)
        assert getattr(training, name) == (theirs if theirs is not None else None) or (
            not theirs and not getattr(training, name)
        ), name


@pytest.mark.parametrize(("module", "name"), sorted(_TAKE_EXTRA))
def test_what_a_class_takes_is_read_off_its_source(module: str, name: str) -> None:
    taken = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert arguments_of(module, name) == frozenset(taken)


def test_every_objective_says_what_takes_its_extra() -> None:
    assert set(CONFIGURATIONS) == set(MODULES)
