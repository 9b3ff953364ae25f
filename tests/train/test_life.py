"""Stop and resume to the same curve; and every way in which a run can go wrong says why."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_model import chat_rows, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.train.objectives.common import SoundnessTrainer
from tui_ft.train.objectives.sft import SftRunTrainer

DROPOUT = {"kind": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.1}


def _stop_at(step: int) -> Callable[[ev.Event, Callable[[str], None]], None]:
    def on_event(event: ev.Event, send: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == step:
            send("stop")

    return on_event


@pytest.mark.parametrize("method", [{"kind": "full"}, DROPOUT], ids=["full", "lora with dropout"])
def test_stopped_and_resumed_it_follows_the_same_curve(
    tmp_path: Path, tiny_llama: Path, method: dict[str, Any]
) -> None:
    spec = make_spec(tmp_path, tiny_llama, method=method)
    whole = run_worker(spec, tmp_path / "whole")
    stopped = run_worker(spec, tmp_path / "halves", on_event=_stop_at(7))
    assert stopped.ended.state == "stopped"
    reached = len(stopped.losses)
    assert 7 <= reached < 20
    assert stopped.folder.checkpoints()[-1][0] == reached
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.ended.state == "finished"
    assert resumed.history.series("loss").x == list(range(1, 21))
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
    tokens, expected = (r.history.series("tokens").y for r in (resumed, whole))
    assert tokens == expected


def test_figures_that_died_with_their_worker_come_back_with_its_checkpoint(
    tmp_path: Path, tiny_llama: Path
) -> None:
    spec = make_spec(tmp_path, tiny_llama)
    whole = run_worker(spec, tmp_path / "whole")
    stopped = run_worker(spec, tmp_path / "halves", on_event=_stop_at(12))
    saved = stopped.folder.checkpoints()[-1][0]
    lines = stopped.folder.events_file.read_bytes().splitlines(keepends=True)
    lost = (ev.Metrics, ev.Evaluation, ev.Ended)
    kept = [
        line
        for line in lines
        if not (isinstance(event := ev.decode(line), lost) and getattr(event, "step", 99) > 8)
    ]
    stopped.folder.events_file.write_bytes(b"".join(kept))
    assert saved >= 12
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.history.series("loss").x == list(range(1, 21))
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
    assert resumed.history.series("tokens").y == whole.history.series("tokens").y
    evaluations = resumed.history.evaluations["eval_loss"]
    assert evaluations.x == [10, 20]


def test_a_checkpoint_is_saved_when_asked_for(tmp_path: Path, tiny_llama: Path) -> None:
    def ask(event: ev.Event, send: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == 3:
            send("checkpoint")

    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run", on_event=ask)
    assert ran.ended.state == "finished"
    steps = [checkpoint.step for checkpoint in ran.of(ev.Checkpoint)]
    assert steps[0] in range(3, 10)
    assert steps[1:] == [10, 20]


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _poison_step(monkeypatch, 15)
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    assert ran.ended.state == "failed"
    assert "NaN or infinite by step 15" in ran.ended.reason
    assert "checkpoint of step 10 is good" in ran.ended.reason
    assert any("learning_rate" in advice for advice in ran.ended.advice)
    assert [step for step, _ in ran.folder.checkpoints()] == [10]
    assert ran.losses[-1] is None
    assert not (ran.folder.path / "model").exists()


def _poison_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    real = SftRunTrainer.compute_loss

    def compute_loss(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = real(self, *args, **kwargs)
        bad = self.model.training and self.state.global_step == step - 1
        return loss * float("nan") if bad else loss

    monkeypatch.setattr(SftRunTrainer, "compute_loss", compute_loss)


def _break_training(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def training_step(*_: Any, **__: Any) -> torch.Tensor:
        raise error

    monkeypatch.setattr(SoundnessTrainer, "training_step", training_step)


def test_out_of_gpu_memory_says_what_to_change(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_training(monkeypatch, torch.OutOfMemoryError("CUDA out of memory."))
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    assert ran.ended.state == "failed"
    assert "ran out of memory at batch 8 x 64 tokens, full, checkpointing off" in ran.ended.reason
    assert ran.ended.cause == "gpu_memory"
    advice = "\n".join(ran.ended.advice)
    assert "gradient_checkpointing: true" in advice
    assert "per_device_train_batch_size: 4" in advice
    assert "gradient_accumulation_steps: 2" in advice
    assert "on_out_of_memory" in advice


def test_a_full_disk_is_told_as_such(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_training(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    assert ran.ended.reason.startswith("the disk is full at /data/x: ")
    assert ran.ended.reason.endswith("are free")


def test_an_unexpected_error_leaves_its_traceback_in_the_log(
    tmp_path: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    _break_training(monkeypatch, RuntimeError("shapes do not match"))
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    assert ran.ended.reason == "RuntimeError: shapes do not match"
    assert "Traceback (most recent call last)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("group", "extra", "said"),
    [
        ("training", {"warmup_rato": 1}, "training.extra.warmup_rato"),
        ("method", {"alpha_patern": {}}, "method.extra.alpha_patern"),
    ],
)
def test_an_unknown_extra_is_refused_with_the_nearest_name(
    tmp_path: Path, tiny_llama: Path, group: str, extra: dict[str, Any], said: str
) -> None:
    method = {"kind": "lora", "r": 4}
    groups: dict[str, Any] = {"method": method}
    groups[group] = {**groups.get(group, {}), "extra": extra}
    ran = run_worker(make_spec(tmp_path, tiny_llama, **groups), tmp_path / "run")
    assert ran.ended.state == "failed"
    assert said in ran.ended.reason
    assert any("did you mean" in advice for advice in ran.ended.advice)


def _refused(tmp_path: Path, model_dir: Path, rows: list[dict[str, object]], **groups: Any) -> Ran:
    write_rows(tmp_path / "rows.jsonl", rows)
    ran = run_worker(make_spec(tmp_path, model_dir, **groups), tmp_path / "run")
    assert ran.ended.state == "failed", ran.ended
    assert not [e for e in ran.of(ev.Phase) if e.phase == "train"]
    return ran


def test_rows_without_a_supervised_token_are_refused(tmp_path: Path, tiny_llama: Path) -> None:
    rows = chat_rows(30)
    ran = _refused(tmp_path, tiny_llama, rows, training={"max_length": 8})
    assert "no row has a token to learn from" in ran.ended.reason
    assert "max_length" in ran.ended.reason
    assert "lines 1, 2" in ran.ended.reason


def test_a_template_that_never_ends_a_turn_is_refused(tmp_path: Path, tiny_llama: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")
    model = {"name_or_path": str(tiny_llama), "chat_template": str(template)}
    ran = _refused(tmp_path, tiny_llama, chat_rows(30), model=model)
    assert "never learn to stop" in ran.ended.reason


def test_broken_rows_are_left_out_and_counted(tmp_path: Path, tiny_llama: Path) -> None:
    rows = chat_rows(100)
    rows[4] = {"messages": [{"role": "user", "content": "nobody answers"}]}
    write_rows(tmp_path / "rows.jsonl", rows)
    ran = run_worker(make_spec(tmp_path, tiny_llama, training={"max_steps": 2}), tmp_path / "run")
    assert ran.ended.state == "finished"
    (alert,) = [a for a in ran.of(ev.Alert) if a.kind == "data"]
    assert alert.text.startswith("1 rows of rows.jsonl are left out")
    assert "line 5" in alert.text


def test_early_stopping_ends_a_run_that_gets_no_better(tmp_path: Path, tiny_llama: Path) -> None:
    training = {
        "learning_rate": 1e-9,
        "max_steps": 40,
        "eval_steps": 2,
        "save_steps": 2,
        "early_stopping_patience": 2,
        "extra": {"torch_empty_cache_steps": 100},
    }
    spec = make_spec(tmp_path, tiny_llama, training=training)
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished"
    if "stopped early" not in ran.ended.reason:
        losses = [e.values["eval_loss"] for e in ran.of(ev.Evaluation)]
        pytest.fail(f"not stopped early: {losses}")


def test_packing_makes_fewer_and_longer_rows(tmp_path: Path, tiny_llama: Path) -> None:
    training = {"packing": True, "max_length": 128, "max_steps": 3}
    ran = run_worker(make_spec(tmp_path, tiny_llama, training=training), tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    tokens = ran.history.series("tokens").y
    assert tokens[0] is not None
    assert tokens[0] > 8 * 100  # eight rows of nearly 128 tokens in the first step
