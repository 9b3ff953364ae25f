"""The ranks of a run that trains in several processes, and what they agree on.

Whatever one rank decides alone (a person's stop, a loss that is no number) would leave the others
waiting for it for ever: it is told to all at the same step. That goes over a group of its own, on
the CPU (gloo), which neither waits for a GPU nor gives up while the first rank prepares the data.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec
import torch
import torch.distributed as dist
from transformers import TrainerCallback

from tui_ft.runs import events as ev
from tui_ft.runs.out_of_memory import memory_that_ran_out
from tui_ft.spec.distributed import DeepSpeedStrategy, FsdpStrategy, Strategy, strategy_name
from tui_ft.spec.run_spec import HardwareSpec
from tui_ft.train.errors import RunFailure, RunStopped

T = TypeVar("T")

_PATIENCE: Final = timedelta(days=7)
"""How long ranks wait for the first one, which fetches a model, prepares data, grades answers."""
MEETING: Final = "FTUI_MEETING"
"""The environment variable with the file over which the ranks find each other."""
_SLOWEST_COLLECTIVE: Final = timedelta(minutes=30)
"""How long a step's exchange may take before a rank is taken for dead; transformers' default."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: this one's number, 0 for the first.
        count: how many there are.
        strategy: how the run is spread over them; None for one.
        control: the group on which they agree; None for one.
    """

    rank: int = 0
    count: int = 1
    strategy: Strategy | None = None
    control: dist.ProcessGroup | None = None

    @property
    def name(self) -> str | None:
        """How the run is spread, for people; None for one process."""
        return None if self.strategy is None else strategy_name(self.strategy)

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that speaks and writes."""
        return self.rank == 0

    @property
    def shares_weights(self) -> bool:
        """Whether a rank holds only a part of the weights: what computes takes all ranks."""
        match self.strategy:
            case FsdpStrategy():
                return True
            case DeepSpeedStrategy(zero_stage=stage):
                return stage == 3  # noqa: PLR2004 - ZeRO's stage
            case _:
                return False

    @property
    def answers(self) -> bool:
        """Whether this rank has to take part when the model answers something."""
        return self.is_first or self.shares_weights

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set on any rank. All ranks have to call it."""
        if self.count == 1:
            return flags
        told = torch.tensor([int(flag) for flag in flags], dtype=torch.uint8)
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self.control)
        return tuple(bool(flag) for flag in told.tolist())

    def all(self, flag: bool) -> bool:
        """Return whether a flag is set on all ranks. All have to call it."""
        (unset_somewhere,) = self.any(not flag)
        return not unset_somewhere

    def largest(self, *numbers: int | None) -> tuple[int | None, ...]:
        """Return the largest of each number over all ranks; None where none has one."""
        if self.count == 1:
            return numbers
        told = torch.tensor([-1 if number is None else number for number in numbers])
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self.control)
        return tuple(None if number < 0 else int(number) for number in told.tolist())

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.any(False)

    @contextlib.contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Let the first rank do it, and then the others: they find what it has left."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def from_first(self, value: Any) -> Any:  # noqa: ANN401 - whatever it is, it comes out again
        """Return what the first rank has; others give None. It has to be picklable."""
        if self.count == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, src=0, group=self.control)
        return told[0]

    def answer(self, ask: Callable[[], T]) -> T | None:
        """Return what ``ask`` finds out where it takes this rank; None on the others, which wait.

        Raises:
            RunStopped: on all ranks, when it was raised on one.
        """
        found: T | None = None
        stopped = False
        try:
            found = ask() if self.answers else None
        except RunStopped:
            stopped = True
        if any(self.any(stopped)):
            raise RunStopped
        return found


ALONE: Final = Ranks()
"""The only process of a run."""


@contextlib.contextmanager
def ranks_of(rank: int, hardware: HardwareSpec, gpus: int) -> Iterator[Ranks]:
    """Be the rank of that number while this lasts; the only one where a run has one process.

    Raises:
        RunFailure: not all ranks have come together.
    """
    count = hardware.processes_on(gpus)
    if count == 1:
        yield ALONE
        return
    yield _join(rank, count, hardware.strategy(count), on_gpu=gpus > 0)
    # Not after an error: a group whose members are gone cannot be left in good order.
    dist.destroy_process_group()


def threads_of_each(hardware: HardwareSpec, count: int) -> int:
    """Return the threads of each of ``count`` processes: as asked, or the machine's shared out."""
    available = len(os.sched_getaffinity(0))
    return hardware.cpu_threads or max(1, available // count)


def before_training(trainer: Any, ranks: Ranks, do: Callable[[], None]) -> None:  # noqa: ANN401
    """Do something with the model before its first step.

    One whose weights are shared out is no whole model before the trainer has spread it.
    """
    if ranks.shares_weights:
        trainer.add_callback(_AtTheBeginning(do))
    else:
        do()


class _AtTheBeginning(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Do it: the model is spread, and no step is done."""
        self._do()


def peak_of_all(memory: ev.PeakMemory, ranks: Ranks) -> ev.PeakMemory:
    """Return the highest memory of any rank. All ranks have to call it."""
    allocated, reserved, resident = ranks.largest(
        memory.allocated, memory.reserved, memory.resident
    )
    return msgspec.structs.replace(
        memory, allocated=allocated, reserved=reserved, resident=resident
    )


def _join(rank: int, count: int, strategy: Strategy | None, *, on_gpu: bool) -> Ranks:
    """Join the other ranks, of which the elastic launcher has told by the environment.

    Raises:
        RunFailure: not all have come together. `accelerate launch --cpu`, for one, starts a single
            process whatever it is asked for, and training would go on with a part of the batch.
    """
    if on_gpu and torch.cuda.is_available():
        torch.cuda.set_device(rank)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    if not dist.is_initialized():
        here = _meeting(rank, count)
        dist.init_process_group(backend, timeout=_SLOWEST_COLLECTIVE, **here)
    found = dist.get_world_size()
    if found != count or dist.get_rank() != rank:
        raise RunFailure(f"{count} processes were to train together, and {found} came together")
    _prepare_environment(strategy)
    return Ranks(rank, count, strategy, dist.new_group(backend="gloo", timeout=_PATIENCE))


def _meeting(rank: int, count: int) -> dict[str, Any]:
    """Return where the ranks meet: in the launcher's file, where it has named one.

    torch's own way, which is to ask at a port, is open to all.
    """
    file = os.environ.get(MEETING)
    if file is None:
        return {}
    store = dist.FileStore(file, count)  # type: ignore[attr-defined]  # torch exports it
    store.set_timeout(_SLOWEST_COLLECTIVE)
    return {"store": store, "rank": rank, "world_size": count}


def _prepare_environment(strategy: Strategy | None) -> None:
    """Say by the environment what accelerate's launcher says, before a model is loaded.

    transformers looks there whether only the first rank is to read the weights.
    """
    if isinstance(strategy, FsdpStrategy):
        os.environ["ACCELERATE_USE_FSDP"] = "true"
        os.environ["FSDP_VERSION"] = str(strategy.fsdp_version)
        efficient = str(strategy.cpu_ram_efficient_loading).lower()
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = efficient


def lost_a_peer(error: BaseException | None) -> bool:
    """Tell whether ``error`` only says that another rank is gone: that one knows the reason."""
    if memory_that_ran_out(str(error)) is not None:
        return False  # NCCL's own buffers, for one: that is said by this rank alone
    while error is not None:
        said = str(error)
        if isinstance(error, dist.DistBackendError | dist.DistNetworkError):
            return True
        if isinstance(error, RuntimeError) and any(word in said for word in _GONE):
            return True
        error = error.__cause__ or error.__context__
    return False


_GONE: Final = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "gloo/transport",
    "Broken pipe",
    "NCCL communicator was aborted",
    "NCCL error",
    "ncclRemoteError",
)
