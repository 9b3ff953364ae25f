"""Several runs, one after another, in the same two processes: starting those takes the most time.

What is a rank's own goes the real way: `run_attempt`, over torch's elastic launcher and gloo.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.spec import RunSpec, dump_spec


@dataclass(frozen=True, slots=True)
class TwoRanks:
    """A run to be trained.

    Attributes:
        stop_at: the step at which the first rank alone is told to stop.
    """

    path: Path
    stop_at: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a rank said of a run, in order.

    Attributes:
        weights: a digest of what it trained, in the end.
        answers: a digest of the answers that it learned from last; of nothing where it made none.
    """

    events: tuple[ev.Event, ...]
    weights: str
    answers: str

    def of(self, kind: type[ev.Event]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def losses(self) -> list[float | None]:
        """The training loss of each step."""
        return [event.values["loss"] for event in self.of(ev.Metrics)]

    @property
    def evaluations(self) -> list[float | None]:
        """The loss of each evaluation."""
        return [event.values["eval_loss"] for event in self.of(ev.Evaluation)]

    @property
    def ended(self) -> ev.Ended:
        """The last word."""
        last = self.events[-1]
        assert isinstance(last, ev.Ended), last
        return last


def prepare(spec: RunSpec, path: Path) -> Path:
    """Make the folder of a run; return it."""
    path.mkdir()
    RunFolder(path).spec_file.write_text(dump_spec(spec))
    return path


def train(runs: Sequence[TwoRanks]) -> list[tuple[Told, Told]]:
    """Train ``runs`` in two processes; return what the ranks said of each."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    os.environ["OMP_NUM_THREADS"] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="tests",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    said = elastic_launch(config, _be_rank)(tuple(runs))
    decoded = [[_decoded(*one) for one in said[rank]] for rank in (0, 1)]
    return list(zip(*decoded, strict=True))


def _decoded(lines: list[bytes], weights: str, answers: str) -> Told:
    events = tuple(event for line in lines if (event := ev.decode(line)) is not None)
    return Told(events, weights, answers)


def _digest(tensors: Iterable[Any]) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().float().contiguous().cpu().numpy().tobytes())
    return found.hexdigest()


def _answers(trainer: Any) -> list[Any]:
    if (rollout := getattr(trainer, "_rollout", None)) is not None:
        return [rollout.rows.input_ids]
    return [batch["completion_ids"] for batch in getattr(trainer, "_buffered_inputs", None) or ()]


class _Link:
    """A line to nobody, which hears one order."""

    orphaned = False

    def __init__(self, journal: Journal | None, stop_at: int | None) -> None:
        self.lines: list[bytes] = []
        self.stop_requested = False
        self._journal, self._stop_at = journal, stop_at

    def take_checkpoint_request(self) -> bool:
        return False

    def send(self, event: ev.Event) -> None:
        self.lines.append(ev.encode(ev.stamped(event, 0)))
        if self._journal is not None:
            self._journal.write(event)
        if isinstance(event, ev.Metrics) and event.step == self._stop_at:
            self.stop_requested = True


def _be_rank(runs: tuple[TwoRanks, ...]) -> list[tuple[list[bytes], str, str]]:
    import torch.distributed as dist

    from tests.train.running import Ran, keeping_the_trainer
    from tui_ft.train.worker import run_attempt

    # The group stays from run to run: there is one launch, and one meeting.
    dist.destroy_process_group = lambda *_: None
    rank = int(os.environ["RANK"])
    said = []
    for run in runs:
        for name in ("ACCELERATE_USE_FSDP", "FSDP_VERSION", "FSDP_CPU_RAM_EFFICIENT_LOADING"):
            os.environ.pop(name, None)
        folder = RunFolder(run.path)
        steps = folder.checkpoints()
        step, checkpoint = steps[-1] if steps else (0, None)
        if dist.is_initialized():
            dist.barrier()  # before the journal is opened, nobody adds to it
        journal = Journal(folder) if rank == 0 else None
        if journal is not None:
            journal.write(ev.Attempt(number=1, host="t", user="t", pid=0, step=step))
        link: Any = _Link(journal, run.stop_at if rank == 0 else None)
        ran = Ran(folder)
        with keeping_the_trainer(ran):
            link.send(run_attempt(run.path, (), checkpoint, link, rank))
        trained = [p for p in ran.trainer.model.parameters() if p.requires_grad]
        whole = not any(hasattr(p, "to_local") for p in trained)  # of shared ones each has a part
        said.append((link.lines, _digest(trained if whole else ()), _digest(_answers(ran.trainer))))
        if journal is not None:
            journal.close()
    return said
