"""What went wrong, said for a person: the cause first, then what can be done about it."""

from __future__ import annotations

import contextlib
import errno
import resource
from pathlib import Path
from typing import Final

import psutil
import torch

from tui_ft import text
from tui_ft.data import DataError
from tui_ft.runs import events as ev
from tui_ft.runs.out_of_memory import Memory, memory_that_ran_out
from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunFailure, RunStopped

_LONGEST_MESSAGE: Final = 400
_SHORT_ENOUGH: Final = 512


def explain(error: BaseException, spec: RunSpec | None, run_dir: Path) -> ev.Ended:
    """Return the end of the run in ``run_dir`` that broke with ``error``."""
    if isinstance(error, RunFailure):
        return ev.Ended(state="failed", reason=error.reason, advice=tuple(error.advice))
    if isinstance(error, DataError):
        return ev.Ended(state="failed", reason=str(error))
    return _out_of_something(error, spec, run_dir) or _by_kind(error)


def is_of_the_run(error: BaseException) -> bool:
    """Tell whether ``error`` is about the run as it was written, or its data: any rank's alike."""
    return isinstance(error, RunFailure | RunStopped | DataError)


def _out_of_something(error: BaseException, spec: RunSpec | None, run_dir: Path) -> ev.Ended | None:
    match out_of_memory(error):
        case "gpu":
            return _out_of_gpu_memory(spec)
        case "shared":
            return _out_of_shared_memory()
        case "host":
            return _out_of_host_memory(spec)
    if is_about_disk_space(error):
        return _disk_full(error, run_dir)
    return None


def out_of_memory(error: BaseException | None) -> Memory | None:
    """Return which memory was missing, if ``error`` or what led to it was for want of it.

    A compiler, a process that prepares batches or a trainer may put an error of its own around it.
    """
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return "gpu"
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return "host"
        found = memory_that_ran_out(str(error))
        if found is not None:
            return found
        error = error.__cause__ or error.__context__
    return None


def _by_kind(error: BaseException) -> ev.Ended:
    if isinstance(error, KeyboardInterrupt):
        return ev.Ended(
            state="failed",
            reason="interrupted by SIGINT (ctrl+c), without a checkpoint",
            advice=("`ftui stop` saves a checkpoint first",),
        )
    if isinstance(error, OSError) and _is_about_the_model(error):
        return _model_unavailable(error)
    return _unexpected(error)


def _unexpected(error: BaseException) -> ev.Ended:
    return ev.Ended(
        state="failed",
        reason=f"{type(error).__name__}: {_first_line(error)}",
        advice=("worker.log has the whole traceback: `ftui logs --worker`",),
    )


def not_finite(step: int, last_good: int | None) -> ev.Ended:
    """Return the end of a run whose loss became NaN or infinite at ``step``."""
    kept = (
        f"the checkpoint of step {last_good} is good and was kept"
        if last_good
        else "there is no checkpoint from before"
    )
    return ev.Ended(
        state="failed",
        reason=f"the loss or the weights became NaN or infinite by step {step}; {kept}",
        advice=(
            "lower training.learning_rate (a third of it), or lengthen warmup_steps",
            "use bf16 or fp32 if this was fp16",
            "look for broken rows around this step in the data",
        ),
    )


def memory_settings(spec: RunSpec) -> tuple[str, ...]:
    """Return the settings of ``spec`` that would free most memory, the cheapest first."""
    training, advice = spec.training, []
    if not training.gradient_checkpointing:
        advice.append("training.gradient_checkpointing: true (activations, about a third slower)")
    batch = training.per_device_train_batch_size
    if batch > 1:
        steps = training.gradient_accumulation_steps
        advice.append(
            f"training.per_device_train_batch_size: {batch // 2} and "
            f"training.gradient_accumulation_steps: {steps * 2} (the same effective batch)"
        )
    if training.max_length > _SHORT_ENOUGH:
        advice.append(f"training.max_length: {training.max_length // 2} (see what it would cut)")
    if spec.method.kind == "full":
        advice.append("method.kind: lora (no gradients and optimizer states for the base)")
    elif spec.method.kind == "lora":
        advice.append("method.kind: qlora (the base in 4 bits: a quarter of its memory)")
    if "8bit" not in training.optim and spec.method.kind == "full":
        advice.append("training.optim: paged_adamw_8bit (a quarter of the optimizer states)")
    if training.on_out_of_memory is None:
        advice.append("training.on_out_of_memory: {} (the run then tries such things by itself)")
    return tuple(advice)


def _out_of_gpu_memory(spec: RunSpec | None) -> ev.Ended:
    held = "its size could not be read"
    # After a fault the driver may answer nothing more, and the reason is known without it.
    with contextlib.suppress(RuntimeError, AssertionError):
        free, total = torch.cuda.mem_get_info()
        peak = torch.cuda.max_memory_allocated()
        reserved = torch.cuda.memory_reserved()
        others = max(0, total - free - reserved)
        held = (
            f"this run held {text.memory(reserved)} of {text.memory(total)} "
            f"(peak {text.memory(peak)} allocated), others {text.memory(others)}, "
            f"{text.memory(free)} were free"
        )
    settings = ""
    if spec is not None:
        t = spec.training
        settings = (
            f" at batch {t.per_device_train_batch_size} x {t.max_length} tokens, "
            f"{spec.method.kind}, checkpointing {'on' if t.gradient_checkpointing else 'off'}"
        )
    return ev.Ended(
        state="failed",
        reason=f"the GPU ran out of memory{settings}: {held}",
        advice=memory_settings(spec) if spec else (),
        cause="gpu_memory",
    )


def _out_of_host_memory(spec: RunSpec | None) -> ev.Ended:
    memory = psutil.virtual_memory()
    own = psutil.Process().memory_info().rss
    return ev.Ended(
        state="failed",
        reason=(
            f"the host ran out of memory: this run held {text.memory(own)} of "
            f"{text.memory(memory.total)}, {text.memory(memory.available)} were free{_limited()}"
        ),
        advice=_host_settings(spec) if spec else (),
        cause="host_memory",
    )


def _host_settings(spec: RunSpec) -> tuple[str, ...]:
    """Return what frees the host's memory; where a GPU computes, other things than on the CPU."""
    if not torch.cuda.is_available() or spec.hardware.gpus == "none":
        return memory_settings(spec)
    advice = ["free memory on the host: other processes, caches held in RAM (/dev/shm, /tmp)"]
    if spec.training.dataloader_num_workers:
        advice.append("training.dataloader_num_workers: 0 (each holds a process's memory)")
    spread = spec.hardware.distributed
    for name in ("cpu_offload", "offload_optimizer_device", "offload_param_device"):
        if getattr(spread, name, None) not in (None, False, "none"):
            advice.append(f"leave hardware.distributed.{name} out: it fills the host's memory")
    return tuple(advice)


def _out_of_shared_memory() -> ev.Ended:
    free = ""
    with contextlib.suppress(OSError):
        there = psutil.disk_usage("/dev/shm")  # noqa: S108 - where torch has it
        free = f": {text.size(there.free)} of {text.size(there.total)} are free"
    return ev.Ended(
        state="failed",
        reason=f"shared memory (/dev/shm) ran out{free}; processes hand batches on over it",
        advice=(
            "set training.dataloader_num_workers to 0",
            "or give the container more: `docker run --shm-size=8g`",
        ),
    )


def _limited() -> str:
    """Return what the process may take at most, where a shell or a scheduler has set a limit."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    set_ = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return f", and it may take {text.memory(min(set_))} (ulimit)" if set_ else ""


def _disk_full(error: BaseException, run_dir: Path) -> ev.Ended:
    named = error.filename if isinstance(error, OSError) else None
    where = Path(str(named)) if named else run_dir
    free = ""
    with contextlib.suppress(OSError):
        there = next(path for path in (where, *where.parents) if path.exists())
        free = f": {text.size(psutil.disk_usage(str(there)).free)} are free"
    return ev.Ended(
        state="failed",
        reason=f"the disk is full at {where}{free}",
        advice=(
            "make room and resume: the last whole checkpoint is kept",
            "lower training.save_total_limit, or set FTUI_HOME to a larger disk",
        ),
    )


def _model_unavailable(error: OSError) -> ev.Ended:
    return ev.Ended(
        state="failed",
        reason=f"the model cannot be loaded: {_first_line(error)}",
        advice=(
            "give the path of a local folder, or a Hub id that you may read",
            "for a gated model ask for access on its page and log in with `hf auth login`",
        ),
    )


def is_about_disk_space(error: BaseException | None) -> bool:
    """Tell whether ``error``, or what led to it, is a full disk.

    Only Python's own files say so by errno: safetensors gives the system's words, and torch's
    writer of archives neither, but that it could not go on writing.
    """
    while error is not None:
        said = str(error)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in said:
            return True
        if "inline_container" in said and ("unexpected pos" in said or "failed writing" in said):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_about_the_model(error: OSError) -> bool:
    module = type(error).__module__
    return module.startswith("huggingface_hub") or any(
        word in str(error) for word in ("huggingface.co", "safetensors", "config.json", "tokenizer")
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return text.one_line(" ".join(lines[:3]), _LONGEST_MESSAGE) if lines else "no message"
