"""Checkpoints on a disk that ends: the best and the last stay, and sizes are as foretold."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.running import Ran, make_spec, run_worker
from tui_ft.memory.model_facts import model_facts
from tui_ft.runs import events as ev
from tui_ft.runs.checkpoint_sizes import checkpoint_size
from tui_ft.train.callback import folder_bytes

OFTEN = {"max_steps": 10, "eval_steps": 2, "save_steps": 2, "save_total_limit": None}


def _steps(ran: Ran) -> list[int]:
    return [step for step, _ in ran.folder.checkpoints()]


def _notes(ran: Ran) -> list[str]:
    return [alert.text for alert in ran.of(ev.Alert)]


def _disk_of(quota: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch's writer fail, as it does on a full disk, once checkpoints take ``quota`` bytes."""
    real = torch.save

    def save(state: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        real(state, path, *args, **kwargs)
        if folder_bytes(Path(path).parents[1]) > quota:
            with Path(path).open("r+b") as file:
                file.truncate(100)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(torch, "save", save)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> int:
    """Return the bytes of one checkpoint, as it lies there."""
    folder = tmp_path_factory.mktemp("one")
    training = {"max_steps": 1, "eval_steps": 1, "save_steps": 1}
    ran = run_worker(make_spec(folder, tiny_llama, training=training), folder / "run")
    ((_, path),) = ran.folder.checkpoints()
    return folder_bytes(path)


def test_a_full_disk_takes_the_oldest_and_never_the_best_or_the_last(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, one: int
) -> None:
    _disk_of(int(one * 3.5), monkeypatch)
    ran = run_worker(make_spec(tmp_path, tiny_llama, training=OFTEN), tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert _steps(ran)[-2:] == [8, 10]
    assert len(_steps(ran)) == 3
    assert "the disk is full: the checkpoint of step 2 is removed" in _notes(ran)
    best = Path(ran.trainer.state.best_model_checkpoint)
    assert (best / "trainer_state.json").is_file()
    assert [c.step for c in ran.of(ev.Checkpoint)] == [2, 4, 6, 8, 10]


def test_where_nothing_may_go_it_ends_with_a_word_and_the_last_good_one(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, one: int
) -> None:
    _disk_of(int(one * 1.5), monkeypatch)
    ran = run_worker(make_spec(tmp_path, tiny_llama, training=OFTEN), tmp_path / "run")
    assert ran.ended.state == "failed"
    assert ran.ended.reason.startswith("the disk is full at ")
    assert "the last whole checkpoint is kept" in ran.ended.advice[0]
    assert _steps(ran) == [2]
    assert not (ran.folder.checkpoints_dir / "checkpoint-4").exists()  # nothing torn is left
    monkeypatch.undo()
    resumed = run_worker(ran.folder.spec(), tmp_path / "run", resume=True)
    assert resumed.ended.state == "finished"
    assert resumed.history.series("loss").x == list(range(1, 11))


@pytest.mark.parametrize(("checkpoints", "kept"), [(3.4, 3), (0.5, 2)], ids=["three", "too few"])
def test_a_budget_is_kept_but_for_the_best_and_the_last(
    tmp_path: Path, tiny_llama: Path, one: int, checkpoints: float, kept: int
) -> None:
    # A budget below 1 is a share: so small a model has to be measured against what is free.
    from tui_ft.runs import checkpoint_sizes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_sizes, "GIGABYTE", one)
        budget = {"checkpoint_budget": max(1.0, checkpoints)}
        # Falling losses make the newest the best; a worse one later leaves an older the best.
        training = {**OFTEN, "learning_rate": 5e-3 if kept == 3 else 0.5}
        spec = make_spec(tmp_path, tiny_llama, training=training, output=budget)
        ran = run_worker(spec, tmp_path / "run")
    steps, best = _steps(ran), int(ran.trainer.state.best_global_step)
    assert steps[-1] == 10
    assert best in steps
    if kept == 3:
        assert steps == [6, 8, 10]
        assert any("they may: the checkpoint of step 2 is removed" in said for said in _notes(ran))
    else:
        assert len(steps) == len({best, 10})


@pytest.mark.parametrize(
    ("method", "training"),
    [
        ({"kind": "full"}, {}),
        ({"kind": "full"}, {"optim": "adamw_8bit"}),
        ({"kind": "full"}, {"optim": "adafactor"}),
        ({"kind": "lora", "r": 64}, {}),
    ],
    ids=["full", "8 bit", "adafactor", "lora"],
)
def test_a_checkpoint_takes_what_was_foretold(
    tmp_path: Path, tiny_llama: Path, method: dict[str, Any], training: dict[str, Any]
) -> None:
    few = {"max_steps": 1, "eval_steps": 1, "save_steps": 1, **training}
    spec = make_spec(tmp_path, tiny_llama, method=method, training=few)
    ran = run_worker(spec, tmp_path / "run")
    ((_, path),) = ran.folder.checkpoints()
    foretold = checkpoint_size(spec, model_facts(str(tiny_llama)))
    assert foretold is not None
    assert foretold.certain
    (weights,) = [file for file in path.glob("*.safetensors") if "unfinished" not in file.name]
    assert foretold.weights == pytest.approx(weights.stat().st_size, rel=0.03)
    states = (path / "optimizer.pt").stat().st_size
    assert foretold.states == pytest.approx(states, rel=0.05, abs=80_000)  # names, headers
