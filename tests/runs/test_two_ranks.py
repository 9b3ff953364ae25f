"""A run in two processes as people have it: started, stopped, killed and taken up again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tests.runs.conftest import end_run, ended, history_of, steps_done, wait_until
from tests.train.running import make_spec, run_worker
from tui_ft.cli import main
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder, find
from tui_ft.runs.reader import read_events
from tui_ft.runs.registry import summary_of
from tui_ft.spec import RunSpec, dump_spec

_LONG = 120.0
_EPOCH = 22  # steps


def _ftui(*arguments: str) -> str:
    said = CliRunner().invoke(main, arguments)
    assert said.exit_code == 0, said.output
    return said.stdout


def _spec(folder: Path, model: Path, processes: int) -> RunSpec:
    hardware = {"gpus": "none", "cpu_threads": 1, "cpu_processes": processes}
    training = {
        "max_steps": 5000,
        "per_device_train_batch_size": 8 // processes,
        "eval_steps": None,
        "save_steps": None,
    }
    # 176 rows, 22 full batches: where the last one of an epoch is short, accelerate fills it up so
    # that each rank has as many, and the curve is no longer that of one process.
    return make_spec(
        folder,
        model,
        data={"eval_fraction": 0.12},
        method={"kind": "lora", "r": 4},
        hardware=hardware,
        training=training,
        evaluation={"samples": 0},
    )


def _ranks(folder: RunFolder) -> list[psutil.Process]:
    """Return the processes that train, the first rank first."""
    worker = psutil.Process(summary_of(folder).worker_pid)
    found = [p for p in worker.children() if "spawn_main" in " ".join(p.cmdline())]
    return sorted(found, key=lambda p: (p.create_time(), p.pid))  # numbers begin anew


def _listens_at(*processes: psutil.Process) -> set[str]:
    """Return the addresses at which they can be reached."""
    open_ones = [one for process in processes for one in process.net_connections()]
    return {one.laddr.ip for one in open_ones if one.status == psutil.CONN_LISTEN}


def _newest(folder: RunFolder) -> int:
    return folder.checkpoints()[-1][0] if folder.checkpoints() else 0


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _more_steps(folder: RunFolder, at_least: int = 0) -> None:
    more = len(history_of(folder).series("loss").x) + 3
    wait_until(folder, steps_done(folder, max(more, at_least)), _LONG)


@pytest.fixture
def folder(home: Path, tiny_llama: Path, tmp_path: Path) -> RunFolder:
    """Return a run of two ranks that has just been started."""
    file = tmp_path / "run.yaml"
    file.write_text(dump_spec(_spec(tmp_path, tiny_llama, 2)))
    name = json.loads(_ftui("train", str(file), "--detach", "--json"))["run"]
    return find(name)


def test_two_ranks_live_as_one_run(folder: RunFolder, tiny_llama: Path, tmp_path: Path) -> None:
    _more_steps(folder)
    ranks = _ranks(folder)
    assert len(ranks) == 2
    # Nobody but this machine's own can reach them, and no store of torch's is there to be asked.
    assert _listens_at(*ranks, psutil.Process(summary_of(folder).worker_pid)) <= {"127.0.0.1"}
    _ftui("stop", folder.id)
    assert wait_until(folder, ended, _LONG).state == "stopped"
    stopped_at = _newest(folder)
    assert stopped_at > 0

    # The supervisor is killed: both save together, and go.
    _ftui("resume", folder.id, "--detach")
    _more_steps(folder)
    ranks = _ranks(folder)
    os.kill(summary_of(folder).pid, signal.SIGKILL)
    _wait_for(lambda: not any(p.is_running() and p.status() != "zombie" for p in ranks))
    assert summary_of(folder).state == "crashed"
    assert _newest(folder) > stopped_at

    # A rank is killed, in the second epoch at the earliest: the run ends with its number.
    _ftui("resume", folder.id, "--detach")
    _more_steps(folder, at_least=_EPOCH + 3)
    os.kill(_ranks(folder)[-1].pid, signal.SIGKILL)
    crashed = wait_until(folder, ended, _LONG)
    assert crashed.state == "crashed"
    assert "rank 1 of 2 was killed by signal 9" in crashed.reason
    end_run(folder)

    plans = [e for e in read_events(folder) if isinstance(e, ev.Plan)]
    assert [plan.processes for plan in plans] == [2, 2, 2]  # one for each attempt: of one rank
    attempts = [e.step for e in read_events(folder) if isinstance(e, ev.Attempt)]
    assert attempts == [0, stopped_at, _newest(folder)]
    losses = history_of(folder).series("loss")
    assert losses.x == sorted(set(losses.x))

    # One process has the same curve, without any of this.
    last = int(losses.x[-1])

    def stop_there(event: ev.Event, tell: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == last:
            tell("stop")

    alone = run_worker(_spec(tmp_path, tiny_llama, 1), tmp_path / "alone", on_event=stop_there)
    one = alone.history.series("loss")
    expected = dict(zip(one.x, one.y, strict=True))
    assert losses.y == pytest.approx([expected[step] for step in losses.x], abs=1e-4)
