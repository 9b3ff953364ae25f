"""Why a run ended, in a sentence a person can act on, when the worker could not say so itself."""

from __future__ import annotations

import contextlib
import shutil
import signal
from pathlib import Path
from typing import Final, Literal

import msgspec

from tui_ft import text
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory
from tui_ft.runs.out_of_memory import Memory, memory_that_ran_out

Cause = Literal["", "gpu_memory", "host_memory"]

_NEARLY_FULL: Final = 0.9
_FULL_BYTES: Final = 1 << 20
_LOG_TAIL_BYTES: Final = 16_384
_LOG_TAIL_LINES: Final = 12

_NO_REASON: Final = " and no reason"
_SMALLER: Final = (
    "make training.per_device_train_batch_size or max_length smaller, or turn "
    "training.gradient_checkpointing on",
    "training.on_out_of_memory: {} lets the run try such things by itself",
)
_MEMORIES: Final[dict[Memory, str]] = {
    "gpu": "the GPU's memory",
    "host": "the host's memory",
    "shared": "shared memory (/dev/shm)",
}
_LESS: Final[dict[Memory, tuple[str, ...]]] = {
    "gpu": _SMALLER,
    "host": ("use a smaller model, batch or dataloader_num_workers, or free memory",),
    "shared": (
        "set training.dataloader_num_workers to 0, or give the container more: "
        "`docker run --shm-size=8g`",
    ),
}
_CAUSES: Final[dict[Memory, Cause]] = {"gpu": "gpu_memory", "host": "host_memory", "shared": ""}
_BY_OTHERS: Final = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
"""Signals by which others end a process, whatever it wrote last."""
_NATIVE_FAULTS: Final = frozenset(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
)


def worker_died(
    folder: RunFolder, history: RunHistory, exit_code: int, who: str = "the worker"
) -> ev.Ended:
    """Return the end of a run whose worker, or one of its processes, went without a word.

    Args:
        exit_code: as `multiprocessing` gives it: negative for the signal that killed it.
        who: the process, for people.
    """
    if exit_code >= 0:
        reason = f"{who} ended with exit code {exit_code}{_NO_REASON}"
        advice: tuple[str, ...] = ()
        if _disk_is_full(folder.path):
            reason, advice = f"{reason}, on a full disk", (f"make room for {folder.path}",)
    else:
        reason, advice = _by_signal(-exit_code, history, who)
    killed = -exit_code == signal.SIGKILL
    tail = log_tail(folder.worker_log)
    cause: Cause = "host_memory" if killed and _host_was_full(history) else ""
    if not killed and -exit_code not in _BY_OTHERS:
        missing = memory_that_ran_out(tail or "")
        if missing is not None:
            reason = f"{_MEMORIES[missing]} ran out: {reason.removesuffix(_NO_REASON)}"
            advice, cause = _LESS[missing], _CAUSES[missing]
    return ev.Ended(
        state="crashed",
        reason=reason,
        advice=(*advice, how_to_go_on(folder), f"the worker's output is in {folder.worker_log}"),
        detail=tail,
        cause=cause,
    )


def at_the_ladders_end(ended: ev.Ended, history: RunHistory) -> ev.Ended:
    """Return the end of a run, with a word on its ladder where that did not help in the end."""
    if not (ended.cause and history.rungs):
        return ended
    steps = "one step" if len(history.rungs) == 1 else f"{len(history.rungs)} steps"
    tried = ", ".join(rung.words for rung in history.rungs)
    reason = f"{ended.reason}; after {steps} its ladder is at its end (tried: {tried})"
    return msgspec.structs.replace(ended, reason=reason)


def killed_by_request(folder: RunFolder, user: str) -> ev.Ended:
    """Return the end of a run that a person killed."""
    return ev.Ended(state="stopped", reason=f"killed by {user}", advice=(how_to_go_on(folder),))


def stopped_before_training(folder: RunFolder, user: str) -> ev.Ended:
    """Return the end of a run that was stopped while it still waited or prepared."""
    nothing = "nothing was trained yet; resume starts it from the beginning"
    return ev.Ended(
        state="stopped",
        reason=f"stopped by {user} before training began",
        advice=(how_to_go_on(folder) if folder.checkpoints() else nothing,),
    )


def how_to_go_on(folder: RunFolder) -> str:
    """Return what resuming would do."""
    checkpoints = folder.checkpoints()
    if checkpoints:
        return f"resume from step {checkpoints[-1][0]}: `ftui resume {folder.id}`"
    return f"no checkpoint was saved: `ftui resume {folder.id}` starts from the beginning"


def log_tail(path: Path) -> str | None:
    """Return the last lines of the worker's output, made plain; None when there are none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            data = file.read().decode(errors="replace")
    except OSError:
        return None
    lines = [text.one_line(line, 200) for line in data.replace("\r", "\n").splitlines()]
    kept = [line for line in lines if line][-_LOG_TAIL_LINES:]
    return "\n".join(kept) or None


def _disk_is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path).free < _FULL_BYTES
    return False


def _by_signal(number: int, history: RunHistory, who: str) -> tuple[str, tuple[str, ...]]:
    name = _signal_name(number)
    reason = f"{who} was killed by signal {number} ({name})"
    memory = _host_memory(history)
    if number == signal.SIGKILL:
        if memory and _host_was_full(history):
            used, total = (text.gibibytes(value) for value in memory)
            return (
                f"{reason} while {used} of {total} GiB of the host's memory were in use: "
                "the system ran out of memory",
                ("use a smaller model, batch or dataloader_num_workers, or free memory",),
            )
        return (
            f"{reason}: by the system for want of memory, by a job scheduler, or by a person",
            ("`dmesg -T | grep -i oom` or the scheduler's log says which",),
        )
    if number in _NATIVE_FAULTS:
        advice = "a fault in native code (driver, CUDA, a compiled extension): see its last lines"
        return reason, (advice,)
    return reason, ()


def _host_was_full(history: RunHistory) -> bool:
    memory = _host_memory(history)
    return memory is not None and memory[0] / memory[1] > _NEARLY_FULL


def _host_memory(history: RunHistory) -> tuple[int, int] | None:
    if not history.telemetry:
        return None
    newest = history.telemetry[-1]
    if newest.memory_used is None or not newest.memory_total:
        return None
    return newest.memory_used, newest.memory_total


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
