"""Ask for a probe: a few real steps of a run, measured, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import CONTEXT, CONTEXT_LOW, UNSEEN, Figure, Term

if TYPE_CHECKING:
    from tui_ft.spec import RunSpec

_SECONDS: Final = 1800


class ProbeQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What is probed.

    Attributes:
        spec: the run, as plain values.
        config: the values of the model's config.json, for random weights where the model's own are
            not there.
        longest: tokens of the longest row, of which all rows of the probe are.
        supervised: share of tokens that carry loss.
        device: where: cpu is for tests alone, and measures by torch's profiler.
    """

    spec: dict[str, Any]
    config: dict[str, Any]
    longest: int
    supervised: float = 1.0
    device: Literal["cuda", "cpu"] = "cuda"


class ProbeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; bytes.

    Attributes:
        allocated: `torch.cuda.max_memory_allocated`; on the CPU what tensors took by the profiler.
        reserved: `torch.cuda.max_memory_reserved`; on the CPU as ``allocated``.
        process: what NVML says that the process holds; None where it does not say.
        steps: optimizer steps that were made.
        real_weights: the model's own weights were loaded; random ones otherwise.
        device: the GPU's name.
        trainable_parameters: how many values were trained.
        parameters: how many values the model has.
        needed_at_least: memory ran out; what was held then, and asked for on top.
        problem: why nothing was measured, for people.
    """

    allocated: int = 0
    reserved: int = 0
    process: int | None = None
    steps: int = 0
    real_weights: bool = False
    device: str = ""
    trainable_parameters: int = 0
    parameters: int = 0
    needed_at_least: int | None = None
    problem: str = ""


def probe(
    spec: RunSpec,
    config: Mapping[str, Any],
    *,
    longest: int | None = None,
    supervised: float = 1.0,
    device: Literal["cuda", "cpu"] = "cuda",
    timeout: float = _SECONDS,
) -> Figure | Unknown:
    """Return what real steps of a run took of a GPU, or why that could not be measured.

    Takes as long as loading the model and three steps; nothing is kept of them.

    Args:
        spec: the run.
        config: the values of the model's config.json.
        longest: tokens of the longest row; `training.max_length` when not known.
        supervised: share of tokens that carry loss.
        device: where.
        timeout: seconds after which the probe is ended.
    """
    most = spec.training.max_length
    question = ProbeQuestion(
        spec=spec.model_dump(mode="json"),
        config=dict(config),
        longest=min(most, longest or most),
        supervised=supervised,
        device=device,
    )
    answer = ask(question, timeout)
    if answer.problem:
        return Unknown(answer.problem)
    if answer.needed_at_least is not None:
        gib = answer.needed_at_least / 2**30
        return Unknown(f"memory ran out on {answer.device}: it needs {gib:.1f} GiB at least")
    return figure_of_probe(answer)


def figure_of_probe(answer: ProbeAnswer) -> Figure:
    """Return the figure of what was measured; it sums up to what NVML saw of the process."""
    process = max(answer.process or 0, answer.reserved + CONTEXT_LOW)
    if answer.process is None:
        process = answer.reserved + CONTEXT
    return Figure(
        low=answer.allocated + CONTEXT_LOW,
        expected=process,
        # Rows of one length follow each other here; a real order cuts memory up a little more.
        high=process + int(answer.reserved * UNSEEN),
        terms=(
            Term("tensors", answer.allocated),
            Term("fragmentation", answer.reserved - answer.allocated),
            Term("CUDA context", process - answer.reserved),
        ),
        stage="probed",
        source="probe",
        trainable_parameters=answer.trainable_parameters,
        parameters=answer.parameters,
    )


def ask(question: ProbeQuestion, timeout: float) -> ProbeAnswer:
    """Return what a probe in a process of its own found.

    Args:
        question: what is probed.
        timeout: seconds after which it is ended.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tui_ft.train.probe"],
            input=msgspec.json.encode(question),
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "TRL_EXPERIMENTAL_SILENCE": "1"},
        )
    except subprocess.TimeoutExpired:
        return ProbeAnswer(problem=f"the probe took more than {timeout:.0f} s and was ended")
    except OSError as error:
        return ProbeAnswer(problem=f"the probe could not be started: {error.strerror}")
    try:
        return msgspec.json.decode(done.stdout, type=ProbeAnswer)
    except msgspec.DecodeError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return ProbeAnswer(
            problem=f"the probe ended with {done.returncode}: {said[-1] if said else 'in silence'}"
        )
