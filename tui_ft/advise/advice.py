"""What advice is: the path through the tree, the candidates, the run, the reason for each field."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tui_ft.advise.node import Stage
from tui_ft.advise.plans import PlanFit
from tui_ft.advise.situation import How
from tui_ft.spec import RunSpec


class Other(msgspec.Struct, frozen=True):
    """A branch that was not taken."""

    choice: str
    label: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A node on the path, with the branch that was taken.

    Attributes:
        own: what the tree would have chosen where a person chose otherwise; empty else.
        number: whether any number may be answered.
    """

    node: str
    stage: Stage
    question: str
    choice: str
    label: str
    how: How
    reason: str
    source: str = ""
    own: str = ""
    others: tuple[Other, ...] = ()
    number: bool = False


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A way to train, against the memory that is free. Sizes in bytes, times in seconds.

    Attributes:
        fit: `tight` is between expected and high.
        free: on the GPU that has least of those it takes.
        seconds: expected; low and high beside it.
        problem: why there is no figure.
        why_not: why it was not taken; of the one that was, why it was.
        startable: whether ftui can start it today.
        host: bytes of the host's memory that it takes, where it offloads; what is available beside
            it, None where nobody said.
    """

    way: str
    name: str
    chosen: bool
    fit: PlanFit
    low: int | None
    expected: int | None
    high: int | None
    free: int | None
    batch: int
    accumulation: int
    checkpointing: bool
    max_length: int
    gpus: int
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    quality: str
    risk: str
    why_not: str
    source: str
    startable: bool
    problem: str = ""
    model: str = ""
    host: int = 0
    host_free: int | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A field, its value, and why.

    Attributes:
        key: dotted, as in a RunSpec; of an objective that no RunSpec has yet, as trl names it.
        node: of the tree, where the value was chosen; empty where it follows from others.
    """

    key: str
    value: Any
    reason: str
    source: str = ""
    how: How = "measured"
    node: str = ""


class Caution(msgspec.Struct, frozen=True, kw_only=True):
    """Something to beware of."""

    id: str
    severity: Literal["note", "warning", "bad"]
    text: str
    source: str = ""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of the training that is advised. Sizes in bytes, times in seconds.

    Attributes:
        objective: as a RunSpec calls it; the stage's name in a chain.
        startable: whether ftui can start it today.
        choices: each field of its run with the reason.
        run: with `previous` or `stage:NAME` where it takes what another leaves; None where no way
            to train it fits or model or data are not known.
        fill: fields of it that only a person can fill in; what stands there stands for nothing.
        method: the way to train.
        free: on the GPU that has least of those it takes.
        seconds: expected; low and high beside it.
    """

    objective: str
    name: str
    startable: bool
    text: str
    choices: tuple[Choice, ...] = ()
    run: RunSpec | None = None
    fill: tuple[str, ...] = ()
    method: str = ""
    fit: PlanFit = "unknown"
    low: int | None = None
    expected: int | None = None
    high: int | None = None
    free: int | None = None
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it.

    Attributes:
        path: nodes in the order in which they were asked.
        approach: its id; `cost` and `time` (to deploy) in words.
        objective: None where nothing is trained.
        method: the way to train; None where nothing is.
        run: starts as it stands; None where there is none, `no_run` says why.
        choices: the reason for each field of the run.
        phases: what is trained in which order; the run is the first of them.
        chain: what a chain of several phases is called; empty where there is one, or none to write.
        unused: nodes that a person answered and the path did not pass.
    """

    path: tuple[Taken, ...]
    approach: str
    approach_name: str
    cost: str
    time: str
    objective: str | None = None
    method: str | None = None
    candidates: tuple[Candidate, ...] = ()
    run: RunSpec | None = None
    no_run: str = ""
    choices: tuple[Choice, ...] = ()
    phases: tuple[Phase, ...] = ()
    chain: str = ""
    cautions: tuple[Caution, ...] = ()
    unused: tuple[str, ...] = ()

    def taken(self, node: str) -> Taken | None:
        """Return the node on the path; None where the path does not pass it."""
        return next((one for one in self.path if one.node == node), None)

    @property
    def to_write(self) -> RunSpec | None:
        """Return the first run, though a field of it may be left to fill in; None without."""
        ready = self.phases and (self.run is not None or self.fill)
        return self.phases[0].run if ready else None

    @property
    def fill(self) -> tuple[str, ...]:
        """Return the fields that only a person can fill in, with their stage in a chain."""
        return tuple(
            f"{phase.objective}.{key}" if self.chain else key
            for phase in self.phases
            for key in phase.fill
        )

    @property
    def candidate(self) -> Candidate | None:
        """Return the way that was chosen."""
        return next((one for one in self.candidates if one.chosen), None)
