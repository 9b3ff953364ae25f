"""Workers for tests of the supervisor: real processes that say and do one thing, without torch."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.ladder import as_trained
from tui_ft.runs.link import WorkerLink
from tui_ft.runs.run_data import with_files

STEPS = 40
HELD_AT = 20
"""Beyond this step `train_when_let` only goes once it is let."""

_LET = "let-go"
_LONGEST = 600.0
"""So many seconds are waited for what may never come: no test leaves a process behind for ever."""


def let_go(folder: RunFolder) -> None:
    """Let the run's worker, and those that take it up later, go on to the end."""
    (folder.path / _LET).touch(mode=0o600)


def _save(run_dir: Path, step: int, link: WorkerLink) -> None:
    folder = RunFolder(run_dir).checkpoints_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text("{}")
    link.send(ev.Checkpoint(step=step, path=str(folder), bytes=2, seconds=0.0))


def train(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Take steps of 20 ms, obey commands, and finish."""
    _train(run_dir, gpus, checkpoint, link, held_at=STEPS)


def train_when_let(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Do as `train`, and half-way wait until it is let go: nobody has to act in time."""
    _train(run_dir, gpus, checkpoint, link, held_at=HELD_AT)


def _train(
    run_dir: Path,
    gpus: tuple[int, ...],
    checkpoint: Path | None,
    link: WorkerLink,
    held_at: int,
) -> None:
    print(f"gpus={gpus} visible={os.environ['CUDA_VISIBLE_DEVICES']}")
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    link.send(ev.Phase(phase="train"))
    until = time.monotonic() + _LONGEST
    while step < STEPS and time.monotonic() < until:
        time.sleep(0.02)
        if step < held_at or (run_dir / _LET).exists():
            step += 1
            link.send(ev.Metrics(step=step, epoch=step / STEPS, values={"loss": 100.0 / step}))
            link.send(ev.Progress(step=step, total_steps=STEPS, epoch=step / STEPS))
        if link.take_checkpoint_request():
            _save(run_dir, step, link)
        if link.stop_requested:
            _save(run_dir, step, link)
            link.send(ev.Ended(state="stopped", reason="stopped at a person's wish"))
            return
    link.send(ev.Ended(state="finished", reason="all steps done"))


def short(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Finish at once."""
    link.send(ev.Phase(phase="train"))
    link.send(ev.Metrics(step=1, epoch=1.0, values={"loss": float("nan")}))
    link.send(ev.Ended(state="finished", reason="all steps done"))


def leaves_a_child(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Finish, and leave a process behind that was forked from this one."""
    child = os.fork()
    if child == 0:
        time.sleep(_LONGEST)
        os._exit(0)
    (run_dir / "child").write_text(str(child))
    link.send(ev.Phase(phase="train"))
    link.send(ev.Ended(state="finished", reason="all steps done"))


def many(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Send 5,000 figures as fast as can be."""
    link.send(ev.Phase(phase="train"))
    for step in range(1, 5_001):
        link.send(ev.Metrics(step=step, epoch=0.0, values={"loss": float(step)}))
    link.send(ev.Ended(state="finished", reason="all steps done"))


def slow_start(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Never get beyond preparing."""
    link.send(ev.Phase(phase="load"))
    time.sleep(_LONGEST)


def count_rows(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Say how many rows there are to train on and to evaluate, and fail so as to be resumed."""
    data = with_files(RunFolder(run_dir), RunFolder(run_dir).spec()).data
    rows = [len(Path(path).read_text().splitlines()) for path in (data.train, data.eval) if path]
    link.send(ev.Phase(phase="train"))
    link.send(ev.Ended(state="failed", reason=f"rows: {rows}"))


def vanish(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Be killed by the system in the middle of training."""
    link.send(ev.Phase(phase="train"))
    _save(run_dir, 3, link)
    link.send(ev.Metrics(step=4, epoch=0.1, values={"loss": 1.0}))
    link.close(_LONGEST)
    os.kill(os.getpid(), signal.SIGKILL)


def leave(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Go with an exit code and no word."""
    print("\x1b[31mlast words\x1b[0m", flush=True)
    sys.exit(3)


def wait_for_orphanhood(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Train until the supervisor is gone, then save and leave a note."""
    link.send(ev.Phase(phase="train"))
    step = 0
    while not link.stop_requested:
        step += 1
        time.sleep(0.02)
        link.send(ev.Metrics(step=step, epoch=0.0, values={"loss": 1.0}))
    _save(run_dir, step, link)
    (run_dir / "orphaned").write_text(str(link.orphaned))


def short_of_memory(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Run out of memory, two steps after a checkpoint, with more than two rows in a pass."""
    training = as_trained(RunFolder(run_dir)).training
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    link.send(ev.Phase(phase="train"))
    too_much = training.per_device_train_batch_size > 2
    for number in range(step + 1, step + 3 if too_much else 9):
        loss = float(training.per_device_train_batch_size)
        link.send(ev.Metrics(step=number, epoch=0.0, values={"loss": loss}))
        if number == step + 1 and too_much:
            _save(run_dir, number, link)
    print(f"in process {os.getpid()}")
    if too_much:
        reason = f"the GPU ran out of memory at step {number}"
        link.send(ev.Ended(state="failed", reason=reason, cause="gpu_memory"))
    else:
        link.send(ev.Ended(state="finished", reason="all steps done"))


def never_enough(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Run out of memory whatever is changed, having saved a checkpoint first."""
    link.send(ev.Phase(phase="train"))
    _save(run_dir, 1, link)
    advice = ("buy a larger one",)
    reason = "the GPU ran out of memory"
    link.send(ev.Ended(state="failed", reason=reason, advice=advice, cause="gpu_memory"))


def save_slowly(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Take steps; without a supervisor, save when it is let go. Taken up again, finish."""
    if checkpoint is not None:
        short(run_dir, gpus, checkpoint, link)
        return
    link.send(ev.Phase(phase="train"))
    step = 0
    while not link.stop_requested:
        step += 1
        link.send(ev.Metrics(step=step, epoch=0.0, values={"loss": 1.0}))
        time.sleep(0.02)
    until = time.monotonic() + _LONGEST
    while not (run_dir / _LET).exists() and time.monotonic() < until:
        time.sleep(0.02)
    _save(run_dir, 5_000, link)


def hang(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Take steps and hear nothing; taken up again, finish."""
    if checkpoint is not None:
        short(run_dir, gpus, checkpoint, link)
        return
    link.send(ev.Phase(phase="train"))
    _save(run_dir, 3, link)
    step = 3
    while True:
        step += 1
        link.send(ev.Metrics(step=step, epoch=0.0, values={"loss": 1.0}))
        time.sleep(0.02)


def talk(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Print a good deal, and finish."""
    link.send(ev.Phase(phase="train"))
    for number in range(2_000):
        print(number)
        print(number, file=sys.stderr)
    sys.stdout.flush()
    link.send(ev.Ended(state="finished", reason="all steps done"))
