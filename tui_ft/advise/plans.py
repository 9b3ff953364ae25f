"""How each way to train would be run here: batch, checkpointing, length, and what that takes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from tui_ft.advise.online import GROUPS, is_online
from tui_ft.advise.situation import DataFacts, LengthOption
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import free_memory, host_memory, used_gpus
from tui_ft.advise.way_step import base_step
from tui_ft.advise.ways import WAYS, Way
from tui_ft.memory.cards import Fit, fit
from tui_ft.memory.estimate.offload import host_of, loaded_in_host
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.step import Step

PlanFit = Literal["fits", "tight", "no", "unknown"]

FULL_PASS_TOKENS: Final = 2048
"""Tokens in one pass from which a GPU is busy enough that more rows at once hardly save time."""
_MOST_CUT: Final = 0.1
MINI_BATCHES: Final = 4
"""Steps that PPO makes of one rollout."""
_MOST_ANSWERS: Final = 16
"""Rows of prompt and answer in one pass, from which more save no time."""
MOST_PARTS: Final = 4
_MOST_AT_ONCE: Final = 64
_SURELY: Final = 1.15
"""How far below what is free the most of a rough figure has to be, so that it fits for sure."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How one way would be run.

    Attributes:
        batch: rows in one pass on one GPU.
        accumulation: passes before a step of the optimizer.
        step: the step that was estimated; None where the model's configuration is not known.
        free: bytes on the GPU that has least of those it takes; None where not known.
        model: which model, where it is a smaller one.
        at_once: answers that each GPU generates at once; 0 where none are generated.
        host: bytes that it takes of the host's memory, where weights or states are offloaded.
        host_free: bytes of it that are available; None where nobody said.
    """

    way: str
    batch: int
    accumulation: int
    checkpointing: bool
    max_length: int
    gpus: int
    step: Step | None
    figure: Figure | Unknown
    free: int | None
    model: str = ""
    at_once: int = 0
    host: int = 0
    host_free: int | None = None

    @property
    def fit(self) -> PlanFit:
        """Whether it fits: surely, perhaps, not, or nobody knows; in the host's memory as well."""
        if isinstance(self.figure, Unknown) or self.free is None:
            return "unknown"
        found: Fit = fit(self.figure, self.free)
        if not self.host or found == "no":
            return found
        if self.host_free is None:
            return "tight"
        return found if self.host <= self.host_free else "no"

    @property
    def fits_gpus(self) -> bool:
        """Whether it surely fits the GPUs, whatever the host has."""
        if isinstance(self.figure, Unknown) or self.free is None:
            return False
        return fit(self.figure, self.free) == "fits"


def longest_option(data: DataFacts, max_length: int) -> LengthOption | None:
    """Return what the longest known length up to ``max_length`` does to the rows."""
    at_most = bisect_right(data.lengths, max_length, key=lambda option: option.max_length)
    return data.lengths[at_most - 1] if at_most else None


def sequences_a_step(state: State) -> int:
    """Return how many sequences make one step of the optimizer.

    Rows are held to what was chosen: packed sequences count for the rows in them, rounded to a
    power of two, so that they can be shared out evenly.
    """
    rows = int(state.choice("effective_batch"))
    if state.choice("packing") != "yes":
        return rows
    option = longest_option(state.data, int(state.choice("max_length")))
    if option is None or not option.sequences or not state.rows:
        return max(1, rows // 4)
    wanted = rows * option.sequences / state.rows
    power = 1
    while power * 1.5 < wanted:
        power *= 2
    return power


def plan_of(
    state: State, way_id: str, *, checkpointing: bool | None = None, batch: int | None = None
) -> Plan:
    """Return how a way would be run: the largest batch that fits, checkpointing only when needed.

    Args:
        state: the path so far.
        way_id: of `WAYS`.
        checkpointing: set by a person; None decides by memory.
        batch: rows in one pass, set by a person; None takes the most that fit.
    """
    key = (way_id, checkpointing, batch)
    if key not in state.plans:
        way = WAYS[way_id]
        length = int(state.choice("max_length"))
        if way.kind == "smaller":
            state.plans[key] = _smaller(state)
        elif way.shorter:
            state.plans[key] = _shorter(state, way, length, checkpointing, batch)
        else:
            state.plans[key] = _planned(state, way, length, checkpointing, batch)
    return state.plans[key]


def _planned(
    state: State, way: Way, length: int, checkpointing: bool | None, batch: int | None
) -> Plan:
    gpus = max(1, len(used_gpus(state))) if way.spreads else 1
    base = base_step(state, way, length)
    objective = state.choice("objective")
    if not is_online(objective):
        sequences = math.ceil(sequences_a_step(state) / gpus)
        trials = _Trials(state, way, length, gpus, sequences, base)
        return _largest(trials, batch, checkpointing)
    whole = int(state.choice("group")) if objective in GROUPS else 1
    unit = whole // math.gcd(whole, gpus)
    sequences = unit * max(1, round(sequences_a_step(state) / (gpus * unit)))
    if batch is not None:
        sequences = math.lcm(unit, batch) * max(1, sequences // math.lcm(unit, batch))
    trials = _Trials(state, way, length, gpus, sequences, base)
    return _answering(trials, unit, batch, checkpointing)


def _answering(trials: _Trials, unit: int, batch: int | None, checkpointing: bool | None) -> Plan:
    """Return the plan of a run that answers: all of a step's at once, or in the fewest parts.

    Args:
        trials: of the way.
        unit: answers that a GPU has to generate together, so that none of a prompt's are apart.
        batch: rows in one pass, set by a person.
        checkpointing: set by a person.
    """
    rollout = trials.sequences * (1 if trials.state.choice("objective") in GROUPS else MINI_BATCHES)
    unit = unit if batch is None else math.lcm(unit, batch)
    parts = [n for n in range(rollout, 0, -1) if rollout % n == 0 and n % unit == 0]
    parts = parts[:MOST_PARTS]
    trials.at_once = parts[-1]
    fewest = 1 if batch is None else batch
    least = trials.plan(fewest, checkpointing is not False, only_fit=True)
    if least.fit == "no":  # nor do more at once
        return least
    plan: Plan | None = None
    for at_once in parts:
        trials.at_once = at_once
        plan = _largest(trials, batch, checkpointing)
        if plan.fit in ("fits", "unknown"):
            break
    assert plan is not None, "all of a step's answers are one part"
    return plan


def _largest(trials: _Trials, batch: int | None, checkpointing: bool | None) -> Plan:
    """Return the way with the most rows at once that fit, checkpointing only when needed."""
    state, length = trials.state, trials.length
    whole = trials.sequences if not trials.at_once else math.gcd(trials.sequences, trials.at_once)
    batches = [batch] if batch is not None else _divisors(whole, _fewest(state))
    if trials.at_once and batch is None:
        batches = [rows for rows in batches if rows <= _MOST_ANSWERS]
    if checkpointing is not None:
        return trials.largest(batches, checkpointing)
    fast = trials.largest(batches, False)
    if fast.fit == "unknown":
        return trials.plan(batches[0], True)
    enough = fast.batch * min(length, _longest(state, length)) >= FULL_PASS_TOKENS
    if fast.fits_gpus and (enough or fast.batch == batches[-1]):
        return fast
    spared = trials.largest(batches, True)
    return fast if fast.fits_gpus and spared.batch <= fast.batch else spared


def _longest(state: State, length: int) -> int:
    """Return how long the longest sequence is."""
    known = state.data.longest
    if known is None or state.choice("packing") == "yes" or is_online(state.choice("objective")):
        return length  # answers run up to their limit, at first at least
    return min(length, known.value)


@dataclass(slots=True)
class _Trials:
    """Estimates of one way with different batches."""

    state: State
    way: Way
    length: int
    gpus: int
    sequences: int
    base: Step | None
    at_once: int = 0

    def plan(self, batch: int, checkpointing: bool, *, only_fit: bool = False) -> Plan:
        """Return the way with a batch.

        Args:
            batch: rows in one pass.
            checkpointing: whether activations are computed twice.
            only_fit: only whether it fits is asked for: a rough figure will do where it is clear.
        """
        accumulation = max(1, round(self.sequences / batch))
        step, figure = self._estimate(batch, checkpointing, accumulation, only_fit)
        return Plan(
            way=self.way.id,
            batch=batch,
            accumulation=accumulation,
            checkpointing=checkpointing,
            max_length=self.length,
            gpus=self.gpus,
            step=step,
            figure=figure,
            free=free_memory(self.state, self.way),
            at_once=self.at_once,
            host=self._host(step),
            host_free=host_memory(self.state),
        )

    def largest(self, batches: Sequence[int], checkpointing: bool) -> Plan:
        """Return the way with the most rows at once that fit; with the fewest where none do."""
        if not self.plan(batches[0], checkpointing, only_fit=True).fits_gpus:
            return self.plan(batches[0], checkpointing)
        low, high = 0, len(batches)
        while high - low > 1:
            middle = (low + high) // 2
            if self.plan(batches[middle], checkpointing, only_fit=True).fits_gpus:
                low = middle
            else:
                high = middle
        return self.plan(batches[low], checkpointing)

    def _estimate(
        self, batch: int, checkpointing: bool, accumulation: int, only_fit: bool
    ) -> tuple[Step | None, Figure | Unknown]:
        if self.base is None:
            return None, Unknown("the model's configuration is not known")
        generation = self.base.generation
        if generation is not None:
            generation = msgspec.structs.replace(generation, rows=self.at_once)
        step = msgspec.structs.replace(
            self.base,
            generation=generation,
            batch=batch,
            checkpointing=checkpointing,
            accumulation=accumulation > 1,
            padded=batch > 1 and self.state.choice("packing") != "yes",
        )
        asked = self.state.estimator
        spread = self.way.spread(self.gpus)
        rough = asked.rough(step, spread)
        free = free_memory(self.state, self.way)
        if isinstance(rough, Unknown):
            return step, rough
        surely = only_fit and free is not None and rough.high * _SURELY <= free
        if surely or (free is not None and rough.low > free):
            return step, rough
        return step, asked.memory(step, spread)

    def _host(self, step: Step | None) -> int:
        """Return what the way takes of the host's memory: while it is loaded, or trained."""
        if step is None or not self.way.offloads:
            return 0
        spread = self.way.spread(self.gpus)
        try:
            return max(host_of(step, spread).held, loaded_in_host(step, spread))
        except ValueError:
            return 0  # why there is no figure is said with the GPU's


def shorter_lengths(state: State) -> list[int]:
    """Return the lengths that cut some rows, but few, longest first."""
    length = int(state.choice("max_length"))
    fits = [
        option.max_length
        for option in state.data.lengths
        if option.max_length < length and option.rows_cut <= _MOST_CUT
    ]
    return fits[::-1]


def _shorter(
    state: State, way: Way, length: int, checkpointing: bool | None, batch: int | None
) -> Plan:
    """Return the plan with the longest rows that fit."""
    plan = _planned(state, way, length, checkpointing, batch)
    for shorter in shorter_lengths(state):
        if plan.fit == "fits":
            break
        plan = _planned(state, way, shorter, checkpointing, batch)
    return plan


def _smaller(state: State) -> Plan:
    """Return the plan of the largest smaller model that fits with LoRA, or else with QLoRA."""
    length = int(state.choice("max_length"))
    last: Plan | None = None
    online = is_online(state.choice("objective"))
    for model in state.model.smaller:
        for way_id in ("lora", "qlora"):
            way = WAYS[way_id]
            base = base_step(state, way, length)
            step = None if base is None else msgspec.structs.replace(base, config=model.config)
            sequences = sequences_a_step(state)
            at_once = min(sequences, _MOST_AT_ONCE) if online else 0
            trials = _Trials(state, way, length, 1, sequences, step, at_once)
            plan = trials.largest(_divisors(sequences, _fewest(state)), True)
            last = msgspec.structs.replace(plan, way="smaller", model=f"{model.name}, {way.name}")
            if plan.fit == "fits":
                return last
    if last is not None:
        return last
    return Plan(
        way="smaller",
        batch=1,
        accumulation=1,
        checkpointing=True,
        max_length=length,
        gpus=1,
        step=None,
        figure=Unknown("no smaller model of this family is known"),
        free=free_memory(state, WAYS["smaller"]),
    )


def _fewest(state: State) -> int:
    """Return the rows that a pass needs: KTO compares a row with others of its batch."""
    return 2 if state.choice("objective") == "kto" else 1


def _divisors(sequences: int, fewest: int) -> list[int]:
    """Return the batches that make just so many sequences by accumulation, fewest first."""
    most = min(sequences, _MOST_AT_ONCE)
    return [n for n in range(fewest, most + 1) if sequences % n == 0] or [fewest]
