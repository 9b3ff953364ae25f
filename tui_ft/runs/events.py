"""What a run says: one struct for each kind of event, one JSON object on a line of `events.jsonl`.

The worker and the supervisor make events; the supervisor alone numbers and writes them. Readers
decode with `decode`; a line of a kind they do not know (a newer ftui wrote it) decodes to None.
Every figure is measured; one that could not be had is None, and so is NaN or infinity (JSON has
neither): readers show it as a gap.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final, Literal

import msgspec

State = Literal[
    "queued",
    "preparing",
    "training",
    "evaluating",
    "saving",
    "finished",
    "stopped",
    "failed",
    "crashed",
]
EndState = Literal["finished", "stopped", "failed", "crashed"]
ENDED: Final[frozenset[State]] = frozenset(("finished", "stopped", "failed", "crashed"))

PhaseName = Literal[
    "wait", "preflight", "download", "load", "tokenise", "train", "evaluate", "score", "save"
]
STATE_OF_PHASE: Final[dict[PhaseName, State]] = {
    "wait": "queued",
    "preflight": "preparing",
    "download": "preparing",
    "load": "preparing",
    "tokenise": "preparing",
    "train": "training",
    "evaluate": "evaluating",
    "score": "evaluating",
    "save": "saving",
}


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Common to all: `t` is wall time (Unix seconds) when it happened, `seq` its number."""

    t: float = 0.0
    seq: int = 0


class Attempt(_Event, frozen=True, tag="attempt"):
    """A supervisor took the run up: for the first time, or again after an end.

    Attributes:
        number: 1 for the first.
        step: the checkpoint's step it goes on from; what was logged beyond it is superseded.
    """

    number: int
    host: str
    user: str
    pid: int
    step: int = 0


class Ended(_Event, frozen=True, tag="ended"):
    """The attempt is over. Nothing follows but another `Attempt`.

    Attributes:
        reason: one sentence a person can act on.
        advice: concrete things to do, the likeliest first.
        detail: more to read (what memory was held, the last lines of a traceback).
        cause: what a run can help itself with, where it has been told to.
    """

    state: EndState
    reason: str
    advice: tuple[str, ...] = ()
    detail: str | None = None
    cause: Literal["", "gpu_memory", "host_memory"] = ""


class Rung(_Event, frozen=True, tag="rung"):
    """Memory ran out, and the run took a step down its ladder; the next `Attempt` follows.

    Attributes:
        number: 1 for the first of the run.
        reason: how memory ran out.
        words: what is other from now on, for people.
        changes: dotted key of the RunSpec -> (value before, value now).
        begins_anew: whether what was trained so far is left aside.
    """

    number: int
    reason: str
    words: str
    changes: dict[str, tuple[Any, Any]]
    begins_anew: bool = False


class Phase(_Event, frozen=True, tag="phase"):
    """What the run does now, and how far it is; the same phase again is progress in it."""

    phase: PhaseName
    text: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""


class Plan(_Event, frozen=True, tag="plan"):
    """What is fixed once model and data are loaded.

    Attributes:
        effective_batch_size: rows of one optimizer step, of all processes together.
        longest_row: tokens of the longest row that is trained on, after the cut.
        processes: how many train together.
        strategy: how the run is spread over them; None for one.
    """

    total_steps: int
    num_train_epochs: float
    train_rows: int
    eval_rows: int
    train_tokens: int
    supervised_tokens: int
    effective_batch_size: int
    trainable_parameters: int
    total_parameters: int
    device: str
    precision: str
    method: str
    longest_row: int | None = None
    objective: str = "sft"
    processes: int = 1
    strategy: str | None = None


class Progress(_Event, frozen=True, tag="progress"):
    """Where training is. Sent at most about once a second; may be dropped.

    Attributes:
        eta_s: seconds left, from the rate since this attempt began to train.
        tokens: tokens trained on in all attempts together.
    """

    step: int
    total_steps: int
    epoch: float
    eta_s: float | None = None
    tokens: int | None = None


class Metrics(_Event, frozen=True, tag="metrics"):
    """Training figures at a step, such as loss, learning_rate, grad_norm, tokens_per_second."""

    step: int
    epoch: float
    values: dict[str, float | None]


class Evaluation(_Event, frozen=True, tag="evaluation"):
    """Figures on the held-out rows at a step, such as eval_loss."""

    step: int
    epoch: float
    values: dict[str, float | None]


class Sample(_Event, frozen=True, tag="sample"):
    """What the model answers to a held-out row at a step. Foreign text: show it made plain.

    Attributes:
        reward: what the answer was given for, where answers are rewarded; all of them weighed.
    """

    step: int
    row: int
    prompt: str
    answer: str
    reference: str | None = None
    reward: float | None = None


class Example(msgspec.Struct, frozen=True):
    """One graded answer."""

    prompt: str
    answer: str
    reference: str
    correct: bool


class Score(_Event, frozen=True, tag="score"):
    """Graded answers to held-out rows, before or after training; values are shares from 0 to 1."""

    when: Literal["before", "after"]
    rows: int
    values: dict[str, float]
    examples: tuple[Example, ...] = ()


class Checkpoint(_Event, frozen=True, tag="checkpoint"):
    """A checkpoint was written whole."""

    step: int
    path: str
    bytes: int
    seconds: float
    best: bool = False


class Artifact(_Event, frozen=True, tag="artifact"):
    """Something the run leaves behind: `adapter`, `model`, …; the path is within the run folder."""

    kind: str
    path: str
    bytes: int


class PeakMemory(_Event, frozen=True, tag="peak_memory"):
    """Highest memory so far, in bytes: of torch's allocator on a GPU, of the process on the CPU."""

    device: str
    allocated: int | None
    reserved: int | None
    resident: int | None = None


class GpuReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One GPU at one moment; None where the driver does not say."""

    index: int
    uuid: str
    name: str
    memory_used: int | None = None
    memory_total: int | None = None
    utilization: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: int | None = None
    throttling: tuple[str, ...] | None = None
    error: str | None = None


class Telemetry(_Event, frozen=True, tag="telemetry"):
    """The run's GPUs and its host at one moment, sampled by the supervisor; may be dropped."""

    gpus: tuple[GpuReading, ...]
    cpu_utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    disk_free: int | None = None
    worker_resident: int | None = None


class Alert(_Event, frozen=True, tag="alert"):
    """Something a person should know while the run goes on."""

    severity: Literal["note", "warning", "bad"]
    text: str
    advice: str | None = None
    kind: str = ""


class Log(_Event, frozen=True, tag="log"):
    """A line worth reading later."""

    text: str


class Commanded(_Event, frozen=True, tag="commanded"):
    """The supervisor took a command from a person."""

    command: Literal["stop", "kill", "checkpoint"]
    user: str


Event = (
    Attempt
    | Ended
    | Rung
    | Phase
    | Plan
    | Progress
    | Metrics
    | Evaluation
    | Sample
    | Score
    | Checkpoint
    | Artifact
    | PeakMemory
    | Telemetry
    | Alert
    | Log
    | Commanded
)
DROPPABLE: Final = (Progress, Telemetry)

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def stamped(event: Event, seq: int) -> Event:
    """Return ``event`` numbered, and dated now unless it carries its own time."""
    changed: Event = msgspec.structs.replace(event, seq=seq, t=event.t or time.time())
    return changed


def encode(event: Event) -> bytes:
    """Return ``event`` as one line of JSON, the newline included."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes) -> Event | None:
    """Return the event on ``line``, or None when the line is torn or of an unknown kind."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None


def finite(value: float | None) -> float | None:
    """Return ``value``, or None for NaN and infinity, which JSON cannot carry."""
    return value if value is not None and math.isfinite(value) else None
