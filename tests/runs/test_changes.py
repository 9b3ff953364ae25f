"""A run taken up again says what has changed since, and whether it goes on with that."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import Start, ended, history_of, steps_done, wait_until
from tui_ft.hardware import Gpu
from tui_ft.runs import control
from tui_ft.runs import events as ev
from tui_ft.runs.changes import Change, ChangedError, changes_since, refuse_unless_told
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.runs.launch import resume
from tui_ft.runs.reader import read_events
from tui_ft.spec import RunSpec, dump_spec
from tui_ft.spec.ladder import with_changes

WORKER = "tests.runs.workers:train"


@pytest.fixture
def stopped(start: Start) -> RunFolder:
    """Return a run that was stopped after a checkpoint, and its data's hash known."""
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    wait_until(folder, lambda _: bool(json.loads(folder.environment_file.read_text())["data"]))
    control.request_stop(folder)
    wait_until(folder, ended)
    return folder


def _edit(folder: RunFolder, **values: Any) -> None:
    changes = {key.replace("__", "."): value for key, value in values.items()}
    folder.spec_file.write_text(dump_spec(with_changes(folder.spec(), changes)))


def _record(folder: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what is written of the attempt before."""
    facts = json.loads(folder.environment_file.read_text())
    change(facts)
    folder.environment_file.write_text(json.dumps(facts))


def _only(changes: tuple[Change, ...]) -> Change:
    (change,) = changes
    return change


def test_nothing_has_changed(stopped: RunFolder) -> None:
    assert changes_since(stopped) == ()
    data = Path(stopped.spec().data.train)
    os.utime(data, ns=(1, 1))  # touched, and the same rows
    assert changes_since(stopped) == ()


def test_other_rows_stop_it_unless_it_is_told_to_go_on(stopped: RunFolder) -> None:
    step = stopped.checkpoints()[-1][0]
    with Path(stopped.spec().data.train).open("a") as file:
        file.write('{"prompt": "say more", "completion": "more"}\n')
    change = _only(changes_since(stopped))
    assert (change.what, change.weight) == ("data.train", "asks")
    assert change.old != change.new
    assert f"until step {step}" in change.consequence
    with pytest.raises(ChangedError, match=r"does not go on: data\.train was .*--anyway"):
        resume(stopped, worker=WORKER)
    assert resume(stopped, anyway=True, worker=WORKER) == (change,)
    assert wait_until(stopped, ended).state == "finished"
    said = [e.text for e in read_events(stopped) if isinstance(e, ev.Alert) and e.kind]
    assert said == [change.sentence]


def test_rows_that_only_moved_are_the_same(stopped: RunFolder, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.jsonl"
    shutil.move(stopped.spec().data.train, moved)
    _edit(stopped, data__train=str(moved))
    change = _only(changes_since(stopped))
    assert (change.what, change.weight, change.new) == ("data.train", "note", str(moved))


@pytest.mark.parametrize(
    ("key", "value", "weight"),
    [
        ("training__learning_rate", 1e-5, "warning"),
        ("training__logging_steps", 7, "note"),
        ("evaluation__samples", 0, "note"),
        ("method__lora_dropout", 0.1, "warning"),
        ("method__r", 4, "bad"),
        ("training__optim", "sgd", "bad"),
        ("model__revision", "v2", "bad"),
    ],
)
def test_an_edited_spec_is_weighed_by_what_the_checkpoint_can_take(
    stopped: RunFolder, key: str, value: Any, weight: str
) -> None:
    _edit(stopped, **{key: value})
    change = _only(changes_since(stopped))
    assert (change.what, change.weight) == (key.replace("__", "."), weight)
    assert change.new == str(value)
    if weight == "bad":
        with pytest.raises(ChangedError, match="cannot go on") as error:
            refuse_unless_told(stopped, anyway=True)
        assert not error.value.can_be_told
    else:
        assert refuse_unless_told(stopped, anyway=False) == (change,)


def test_another_machine_and_other_libraries_are_said(stopped: RunFolder) -> None:
    def other(facts: dict[str, Any]) -> None:
        facts["libraries"] |= {"torch": "1.0", "datasets": "0.1"}

    _record(stopped, other)
    changes = {change.what: change for change in changes_since(stopped)}
    assert {name: change.weight for name, change in changes.items()} == {
        "torch": "warning",
        "datasets": "note",
    }
    assert changes["torch"].old == "1.0"
    assert changes["torch"].new.startswith("2.")


def _plan(device: str, processes: int = 1, strategy: str | None = None) -> ev.Plan:
    return ev.Plan(
        total_steps=1,
        num_train_epochs=1,
        train_rows=1,
        eval_rows=0,
        train_tokens=1,
        supervised_tokens=1,
        effective_batch_size=1,
        trainable_parameters=1,
        total_parameters=1,
        device=device,
        precision="bf16",
        method="lora",
        processes=processes,
        strategy=strategy,
    )


@pytest.mark.parametrize(
    ("device", "gpus", "said"),
    [
        ("CPU, 2 threads", (), None),
        ("NVIDIA A100", (), "many times slower; training.precision is auto, and was bf16"),
        ("NVIDIA A100", (Gpu(0, "GPU-0", "NVIDIA H100"),), "near the old curve and not on it"),
        ("NVIDIA H100", (Gpu(0, "GPU-0", "NVIDIA H100"),), None),
    ],
)
def test_another_device_goes_on_with_a_word(
    stopped: RunFolder, device: str, gpus: tuple[Gpu, ...], said: str | None
) -> None:
    journal = Journal(stopped)
    journal.write(_plan(device))
    journal.close()
    changes = changes_since(stopped, gpus)
    if said is None:
        assert changes == ()
    else:
        change = _only(changes)
        assert (change.what, change.weight, change.old) == ("the device", "warning", device)
        assert said in change.consequence


FSDP = {"kind": "fsdp"}


@pytest.mark.parametrize(
    ("before", "distributed", "weight", "said"),
    [
        ((2, "FSDP2"), FSDP, None, ""),
        ((4, "FSDP2"), FSDP, "warning", "other rows than before"),
        ((2, "DDP"), FSDP, "bad", "lays out its checkpoints otherwise"),
        ((1, None), FSDP, "bad", "lays out its checkpoints otherwise"),
        ((1, None), None, "warning", "gradient_accumulation_steps makes up for it"),
    ],
)
def test_a_run_spread_otherwise_goes_on_where_its_checkpoint_allows(
    stopped: RunFolder,
    before: tuple[int, str | None],
    distributed: dict[str, str] | None,
    weight: str | None,
    said: str,
) -> None:
    journal = Journal(stopped)
    journal.write(_plan("CPU, 2 threads", *before))
    journal.close()
    hardware = {"gpus": "none", "cpu_processes": 2, "distributed": distributed}
    values = {**stopped.spec().model_dump(), "hardware": hardware}
    stopped.spec_file.write_text(dump_spec(RunSpec.model_validate(values)))
    found = [
        c
        for c in changes_since(stopped, ())
        if not c.what.startswith("hardware.") or c.weight == "bad"
    ]
    if weight is None:
        assert found == []
    else:
        change = _only(tuple(found))
        assert change.weight == weight
        assert said in change.consequence


def test_without_a_checkpoint_everything_may_change(start: Start) -> None:
    folder = start("leave")
    wait_until(folder, ended)
    assert history_of(folder).checkpoints == {}
    _edit(folder, method__r=4)
    change = _only(changes_since(folder))
    assert (change.weight, change.what) == ("note", "method.r")
    assert "begins anew" in change.consequence
