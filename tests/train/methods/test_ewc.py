"""EWC: the penalty by hand, importance by hand, and that it holds a model nearer to what it was."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

from tests.memory.models import TINY
from tests.tiny_model import chat_rows, pair_rows, text_rows, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.moments import moments_of
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step
from tui_ft.runs import events as ev
from tui_ft.runs.checks.preflight import check_data
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods import ewc


def _spec(folder: Path, model: Path, strength: float | None, **groups: Any) -> Any:
    write_rows(folder / "old.jsonl", text_rows(12, seed=3))
    group = {"train": str(folder / "old.jsonl"), "rows": 8, "ewc_lambda": strength}
    steps = {"learning_rate": 1e-3, "max_steps": 8, "eval_steps": 4, "save_steps": 4}
    return make_spec(
        folder,
        model,
        method={"kind": "full", "ewc": None if strength is None else group},
        training={**steps, "per_device_train_batch_size": 4, **groups.pop("training", {})},
        hardware={"gpus": "none", "cpu_threads": 1},
        **groups,
    )


@pytest.fixture(scope="module")
def free_and_held(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> tuple[Ran, Ran]:
    """Return a run without EWC and one with it, otherwise the same."""
    runs = []
    for strength in (None, 1000.0):
        folder = tmp_path_factory.mktemp("ewc")
        runs.append(run_worker(_spec(folder, tiny_llama, strength), folder / "run"))
        assert runs[-1].ended.state == "finished", runs[-1].ended
    return runs[0], runs[1]


def test_importance_is_the_mean_squared_gradient_of_a_row(tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).train()
    rows = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, 8, 9]},
        {"input_ids": [9, 8, 7], "labels": [9, 8, 7]},
        {"input_ids": [9, 8], "labels": [-100, -100]},
    ]
    fisher = ewc.fisher_diagonal(model, rows)
    assert model.training
    name, weight = "model.norm.weight", model.model.norm.weight
    expected = torch.zeros_like(weight)
    for row, tokens in zip(rows[:2], (3, 2), strict=True):
        ids = torch.tensor([row["input_ids"]])
        chances = model.eval()(input_ids=ids).logits[0, :-1].log_softmax(-1)
        learned = [(n, t) for n, t in enumerate(row["labels"][1:]) if t != -100]
        likelihood = sum(chances[n, t] for n, t in learned)
        (gradient,) = torch.autograd.grad(likelihood, weight)
        expected += gradient**2 / tokens / 3
    torch.testing.assert_close(fisher[name], expected)
    assert all(one.min() >= 0 for one in fisher.values())


def test_the_penalty_and_its_gradient_by_hand() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[3.0, -1.0]])
    anchor, fisher = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.5, 2.0]])
    term = ewc.Consolidation(model, 10.0, {"weight": anchor}, {"weight": fisher})
    model.weight.grad = torch.tensor([[1.0, 1.0]])
    # 10 / 2 (0.5 (3 - 1)^2 + 2 (-1 - 1)^2), and of its gradient a half.
    assert float(term.add_gradients(0.5)) == pytest.approx(50.0)
    torch.testing.assert_close(model.weight.grad, torch.tensor([[1.0 + 5.0, 1.0 - 20.0]]))
    model.weight.grad = None
    with pytest.raises(RunFailure, match="none that it can reach"):
        term.add_gradients(1.0)


def test_it_holds_the_weights_nearer(free_and_held: tuple[Ran, Ran], tiny_llama: Path) -> None:
    before = safetensors.torch.load_file(tiny_llama / "model.safetensors")
    away = []
    for ran in free_and_held:
        after = safetensors.torch.load_file(ran.folder.output_dir() / "model.safetensors")
        squares = [((after[name] - before[name]) ** 2).sum() for name in before]
        away.append(float(torch.stack(squares).sum().sqrt()))
    assert away[1] < 0.9 * away[0]


def test_the_penalty_is_shown_and_is_part_of_the_loss(free_and_held: tuple[Ran, Ran]) -> None:
    free, held = free_and_held
    assert "ewc_penalty" not in free.history.metrics
    penalties = held.history.metrics["ewc_penalty"].y
    assert penalties[0] == 0  # the weights are where they were
    assert all((penalty or 0) > 0 for penalty in penalties[1:])
    assert held.losses[0] == pytest.approx(free.losses[0], abs=1e-5)
    notes = [alert.text for alert in held.of(ev.Alert)]
    assert any("estimated from 8 rows of the old task" in note for note in notes)
    assert not (held.folder.path / ewc.FILE).exists()  # nothing goes on from a finished run


def test_passes_of_one_step_pull_as_much_as_one_pass(tmp_path: Path, tiny_llama: Path) -> None:
    shown = []
    for passes in (1, 2):
        training = {
            **{"gradient_accumulation_steps": passes, "per_device_train_batch_size": 4 // passes},
            **{"max_steps": 4, "eval_steps": None, "save_steps": None, "max_grad_norm": 0.0},
            **{"optim": "sgd", "learning_rate": 0.1},
        }
        spec = _spec(tmp_path, tiny_llama, 1000.0, training=training, data={"eval_fraction": 0})
        ran = run_worker(spec, tmp_path / str(passes))
        assert ran.ended.state == "finished", ran.ended
        shown.append([value or 0.0 for value in ran.history.metrics["ewc_penalty"].y])
        shown.append([loss or 0.0 for loss in ran.losses])
    assert shown[0][-1] > 0
    assert shown[2] == pytest.approx(shown[0], rel=1e-3)
    assert shown[3] == pytest.approx(shown[1], rel=1e-3)


def test_resumed_it_holds_to_the_same_weights(tmp_path: Path, tiny_llama: Path) -> None:
    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == 4:
            send("stop")

    spec = _spec(tmp_path, tiny_llama, 1000.0)
    whole = run_worker(spec, tmp_path / "whole")
    run_worker(spec, tmp_path / "halves", on_event=stop)
    file = tmp_path / "halves" / ewc.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = safetensors.torch.load_file(file)
    base = safetensors.torch.load_file(tiny_llama / "model.safetensors")
    assert torch.equal(kept["anchor/model.norm.weight"], base["model.norm.weight"])
    write_rows(tmp_path / "old.jsonl", chat_rows(20))  # what is kept holds, not what is there now
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)


def test_preferences_take_it_too(tmp_path: Path, tiny_llama: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", pair_rows(30))
    spec = _spec(tmp_path, tiny_llama, 10.0, objective={"kind": "dpo"}, training={"max_steps": 3})
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert (ran.history.metrics["ewc_penalty"].y[-1] or 0) > 0


def test_its_file_is_looked_at_before_the_run(tmp_path: Path, tiny_llama: Path) -> None:
    spec = _spec(tmp_path, tiny_llama, 1.0)
    assert any(found.text.startswith("old task's data: ") for found in check_data(spec))
    (tmp_path / "old.jsonl").unlink()
    assert any(found.severity == "bad" for found in check_data(spec))


def test_two_copies_of_the_weights_are_counted(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    assert step_of(_spec(tmp_path, tiny_llama, 1.0), TINY).consolidated
    assert not step_of(_spec(tmp_path, tiny_llama, None), TINY).consolidated
    held = Step(config=TINY, batch=2, length=64, weights="float32", consolidated=True)
    free = msgspec.structs.replace(held, consolidated=False)
    peaks = [max(m.total for m in moments_of(model_of(step))) for step in (free, held)]
    (answer,) = dry_runs([Question(step=held)])
    assert answer.replayed is not None, answer.error
    assert peaks[1] == pytest.approx(answer.replayed.allocated, rel=0.05)
    weights = 4 * sum(p.numel() for p in AutoModelForCausalLM.from_config(_config()).parameters())
    assert peaks[1] - peaks[0] == pytest.approx(2 * weights, rel=0.01)


def _config() -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**TINY)
