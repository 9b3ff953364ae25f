"""What breaks late or quietly: weights that overflow, a full disk, a supervisor that is gone."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.train.running import Tell, make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.train.errors import RunFailure
from tui_ft.train.failures import explain
from tui_ft.train.generation import answer
from tui_ft.train.objectives.common import SoundnessTrainer
from tui_ft.train.rows.dataset import Question
from tui_ft.train.signature import checked_extra


def _overflow_gradient(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make one gradient of ``step`` infinite; its loss stays finite."""
    real = SoundnessTrainer.training_step

    def training_step(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = real(self, *args, **kwargs)
        if self.state.global_step == step - 1:
            next(p for p in self.model.parameters() if p.grad is not None).grad[0] = float("inf")
        return loss

    monkeypatch.setattr(SoundnessTrainer, "training_step", training_step)


@pytest.mark.parametrize(("step", "kept"), [(15, [10]), (20, [10])], ids=["between", "at the end"])
def test_weights_that_overflow_never_become_a_checkpoint(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, step: int, kept: list[int]
) -> None:
    _overflow_gradient(monkeypatch, step)
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    assert ran.ended.state == "failed"
    assert "became NaN or infinite" in ran.ended.reason
    assert "checkpoint of step 10 is good" in ran.ended.reason
    assert [at for at, _ in ran.folder.checkpoints()] == kept
    weights = safetensors.torch.load_file(ran.folder.checkpoints()[-1][1] / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    assert not (ran.folder.path / "model").exists()


def test_weights_that_overflow_at_a_checkpoints_own_step_are_not_saved(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _overflow_gradient(monkeypatch, 10)
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    assert "by step 10; there is no checkpoint from before" in ran.ended.reason
    assert ran.folder.checkpoints() == []


def _stop_after(step: int) -> Callable[[ev.Event, Callable[[str], None]], None]:
    def on_event(event: ev.Event, send: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == step:
            send("stop")

    return on_event


def test_qlora_resumes_to_the_same_curve_in_the_same_arithmetic(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()
    real = SoundnessTrainer.training_step

    def training_step(self: Any, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.update(p.dtype for p in model.parameters() if p.requires_grad)
        return real(self, model, *args, **kwargs)

    monkeypatch.setattr(SoundnessTrainer, "training_step", training_step)
    method = {"kind": "qlora", "r": 8, "lora_alpha": 16}
    spec = make_spec(tmp_path, tiny_llama, method=method)
    whole = run_worker(spec, tmp_path / "whole")
    # After the evaluation of step 10: inference must leave the 4-bit base as it was.
    stopped = run_worker(spec, tmp_path / "halves", on_event=_stop_after(12))
    assert stopped.ended.state == "stopped"
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
    assert seen == {torch.float32}


def test_a_worker_whose_supervisor_is_gone_saves_and_ends(tmp_path: Path, tiny_llama: Path) -> None:
    def hang_up(event: ev.Event, tell: Tell) -> None:
        if isinstance(event, ev.Metrics) and event.step == 3:
            tell.hang_up()

    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run", on_event=hang_up)
    assert ran.ended.state == "stopped"
    assert "its supervisor is gone" in ran.ended.reason
    assert ran.folder.checkpoints()[-1][0] == len(ran.losses) < 20


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 5120 vs 5012"),
        RuntimeError(
            "[enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing"
        ),
    ],
    ids=["python", "safetensors", "torch", "torch's writer"],
)
def test_a_full_disk_is_told_whoever_noticed_it(tmp_path: Path, error: Exception) -> None:
    ended = explain(error, None, tmp_path)
    assert ended.reason.startswith(f"the disk is full at {tmp_path}: ")
    assert ended.reason.endswith("are free")


def test_a_full_disk_behind_another_error_is_told(tmp_path: Path) -> None:
    error = RuntimeError("iostream error")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert "the disk is full" in explain(error, None, tmp_path).reason


def test_other_errors_are_no_full_disk(tmp_path: Path) -> None:
    assert explain(RuntimeError("no"), None, tmp_path).reason == "RuntimeError: no"
    assert "interrupted" in explain(KeyboardInterrupt(), None, tmp_path).reason


def _takes(learning_rate: float, report_to: str, **kwargs: Any) -> None:
    raise AssertionError


def test_extra_may_not_set_what_has_a_field_of_its_own() -> None:
    with pytest.raises(RunFailure, match=r"training\.extra\.learning_rate: ftui sets this"):
        checked_extra("training", {"learning_rate": 1}, _takes, {}, own=("learning_rate",))
    with pytest.raises(RunFailure, match="no such argument"):
        checked_extra("training", {"kwargs": 1}, _takes, {})
    given = checked_extra("training", {"report_to": "x"}, _takes, {"report_to": "none"}, own=())
    assert given == {"report_to": "x"}


@pytest.mark.parametrize(
    ("group", "extra", "said"),
    [
        ("model", {"use_safetensors": False}, "model.extra.use_safetensors: ftui sets this"),
        ("model", {"trust_remote_code": True}, "model.extra.trust_remote_code: ftui sets this"),
        ("model", {"token": "secret"}, "model.extra.token: ftui sets this"),
        ("model", {"device_mapp": "cpu"}, "no such argument"),
        ("training", {"output_dir": "/elsewhere"}, "training.extra.output_dir: ftui sets this"),
    ],
)
def test_extra_cannot_undo_what_a_run_relies_on(
    tmp_path: Path, tiny_llama: Path, group: str, extra: dict[str, Any], said: str
) -> None:
    spec = make_spec(tmp_path, tiny_llama, **{group: {"extra": extra}})
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "failed"
    assert said in ran.ended.reason


def test_model_extra_reaches_the_models_configuration(tmp_path: Path, tiny_llama: Path) -> None:
    extra = {"attention_dropout": 0.25, "device_map": "cpu"}
    training = {"max_steps": 1}
    spec = make_spec(tmp_path, tiny_llama, model={"extra": extra}, training=training)
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    config = json.loads((ran.folder.path / "model" / "config.json").read_text())
    assert config["attention_dropout"] == 0.25


def test_an_answer_ends_with_the_tokenizers_end_of_turn(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.bos_token_id  # as a base model's may be
    asked: list[Any] = []
    real = model.generate

    def generate(**kwargs: Any) -> Any:
        asked.append(kwargs["eos_token_id"])
        return real(**kwargs)

    model.generate = generate
    answer(model, tokenizer, [Question(1, "short", "", "")], max_new_tokens=2, batch_size=1)
    assert asked == [sorted([tokenizer.bos_token_id, tokenizer.eos_token_id])]
