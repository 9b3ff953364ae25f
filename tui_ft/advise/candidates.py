"""Every way to train against the memory that is free: how it would be run, and which fits best."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.objective import FIRST_STAGE
from tui_ft.advise.situation import DataFacts, GpuFacts, LengthOption
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.ways import ADAPTER_FIRST, WAYS, WEIGHTS_FIRST, Way, is_adapter
from tui_ft.memory.allocator import GIB
from tui_ft.memory.cards import Fit, fit
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.step import Step
from tui_ft.spec.run_spec import DataSpec, ModelSpec, RunSpec, TrainingSpec

PlanFit = Literal["fits", "tight", "no", "unknown"]

FULL_PASS_TOKENS: Final = 2048
"""Tokens in one pass from which a GPU is busy enough that more rows at once hardly save time."""
_MOST_CUT: Final = 0.1
_MOST_AT_ONCE: Final = 64
VIRTUAL_TOKENS: Final = 8
"""Learned tokens of prompt tuning (Complete Guide, 5.2)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How one way would be run.

    Attributes:
        batch: rows in one pass on one GPU.
        accumulation: passes before a step of the optimizer.
        step: the step that was estimated; None where the model's configuration is not known.
        free: bytes on the GPU that has least of those it takes; None where not known.
        model: which model, where it is a smaller one.
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

    @property
    def fit(self) -> PlanFit:
        """Whether it fits: surely, perhaps, not, or nobody knows."""
        if isinstance(self.figure, Unknown) or self.free is None:
            return "unknown"
        found: Fit = fit(self.figure, self.free)
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """The way that suits best, and why."""

    way: str
    reason: str
    source: str = ""
    guessed: bool = False


def gib(size: int | None) -> str:
    """Return memory as `nvidia-smi` counts it: 23.5 GiB is a card of 24 GB."""
    return text.NOT_AVAILABLE if size is None else f"{size / GIB:.1f} GiB"


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


def used_gpus(state: State) -> tuple[GpuFacts, ...]:
    """Return the GPUs that the run can have, the one with most free memory first."""
    best_first = tuple(sorted(state.gpus, key=lambda gpu: -(gpu.free or 0)))
    return best_first[: {"none": 0, "one": 1}.get(state.choice("gpus"))]


def best_gpu(state: State) -> GpuFacts | None:
    """Return the GPU with most free memory; None on a machine without, or where none is known."""
    return next(iter(used_gpus(state)), None)


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


def possible_ways(state: State) -> tuple[Way, ...]:
    """Return the ways that can be thought of here: what is shared out needs several GPUs."""
    several = len(used_gpus(state)) > 1
    found = [way for way in WAYS.values() if several or not way.spreads]
    plan = plan_of(state, "qlora")
    if plan.fit in ("fits", "unknown") or not _shorter_lengths(state):
        found = [way for way in found if not way.shorter]
    return tuple(found)


def best_fitting(state: State) -> Found:
    """Return the way to take: the first in order of preference that fits and can be started.

    What cannot be started yet is taken where nothing else fits; then what fits with luck; then a
    smaller model.
    """
    wishes_all = state.choice("capacity") == "all"
    order = WEIGHTS_FIRST if wishes_all else ADAPTER_FIRST
    possible = {way.id for way in possible_ways(state)}
    plans = [plan_of(state, way) for way in order if way in possible]
    fitting = [plan for plan in plans if plan.fit == "fits"]
    # Where the objective cannot be started by ftui anyway, nor need the way.
    any_way = state.choice("objective") not in FIRST_STAGE
    ready = [plan for plan in fitting if any_way or WAYS[plan.way].startable]
    tight = [plan for plan in plans if plan.fit == "tight" and WAYS[plan.way].startable]
    for chosen in (*ready[:1], *fitting[:1], *tight[:1]):
        return Found(chosen.way, _why(state, chosen, order), WAYS[chosen.way].source)
    unknown = [plan for plan in plans if plan.fit == "unknown"]
    if unknown:
        figure = unknown[0].figure
        why = figure.reason if isinstance(figure, Unknown) else "the GPU's memory cannot be read"
        return Found("qlora", f"what it takes is not known: {why}", guessed=True)
    least = min(plans, key=_high)
    said = f"even {WAYS[least.way].name} takes {_sizes(least)}"
    return Found("smaller", f"{said}: a smaller model fits", at(sources.COMPLETE, "1.2"))


def _why(state: State, plan: Plan, order: Sequence[str]) -> str:
    way = WAYS[plan.way]
    said = f"{way.name} fits: {_sizes(plan)}"
    if plan.fit == "tight" and isinstance(plan.figure, Figure):
        said = f"{way.name} may fit: {gib(plan.figure.expected)} expected, {_sizes(plan)}"
    before = [
        WAYS[name].name
        for name in order[: order.index(plan.way)]
        if WAYS[name].startable and plan_of(state, name).fit == "no"
    ]
    if before:
        said += f"; {' and '.join(before)} {'does' if len(before) == 1 else 'do'} not"
    if way.kind in ("lora", "qlora") and not way.spreads:
        # Ops Guide goes by the card's size: below 24 GB QLoRA, to 80 GB LoRA.
        said += "; figures for this GPU decide, not the Ops Guide's 24 and 80 GB"
    return said


def _sizes(plan: Plan) -> str:
    if isinstance(plan.figure, Unknown):
        return plan.figure.reason
    return f"{gib(plan.figure.high)} at most of {gib(plan.free)} free"


def _high(plan: Plan) -> int:
    return plan.figure.high if isinstance(plan.figure, Figure) else 1 << 62


def _planned(
    state: State, way: Way, length: int, checkpointing: bool | None, batch: int | None
) -> Plan:
    gpus = max(1, len(used_gpus(state))) if way.spreads else 1
    sequences = max(1, sequences_a_step(state) // gpus)
    batches = [batch] if batch is not None else _divisors(sequences, _fewest(state))
    base = _base_step(state, way, length)
    trials = _Trials(state, way, length, gpus, sequences, base)
    if checkpointing is not None:
        return trials.largest(batches, checkpointing)
    fast = trials.largest(batches, False)
    if fast.fit == "unknown":
        return trials.plan(batches[0], True)
    enough = fast.batch * min(length, _longest(state, length)) >= FULL_PASS_TOKENS
    if fast.fit == "fits" and (enough or fast.batch == batches[-1]):
        return fast
    spared = trials.largest(batches, True)
    return fast if fast.fit == "fits" and spared.batch <= fast.batch else spared


def _longest(state: State, length: int) -> int:
    """Return how long the longest sequence is."""
    known = state.data.longest
    if known is None or state.choice("packing") == "yes":
        return length
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

    def plan(self, batch: int, checkpointing: bool) -> Plan:
        """Return the way with a batch."""
        accumulation = max(1, round(self.sequences / batch))
        step, figure = self._estimate(batch, checkpointing, accumulation)
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
        )

    def largest(self, batches: Sequence[int], checkpointing: bool) -> Plan:
        """Return the way with the most rows at once that fit; with the fewest where none do."""
        best = self.plan(batches[0], checkpointing)
        if best.fit != "fits":
            return best
        low, high = 0, len(batches)
        while high - low > 1:
            middle = (low + high) // 2
            tried = self.plan(batches[middle], checkpointing)
            if tried.fit == "fits":
                low, best = middle, tried
            else:
                high = middle
        return best

    def _estimate(
        self, batch: int, checkpointing: bool, accumulation: int
    ) -> tuple[Step | None, Figure | Unknown]:
        if self.base is None:
            return None, Unknown("the model's configuration is not known")
        step = msgspec.structs.replace(
            self.base,
            batch=batch,
            checkpointing=checkpointing,
            accumulation=accumulation > 1,
            padded=batch > 1 and self.state.choice("packing") != "yes",
        )
        return step, self.state.estimator.memory(step, self.way.sharding, self.gpus)


def free_memory(state: State, way: Way) -> int | None:
    """Return the bytes that each GPU of a way has at least; the host's where there is no GPU."""
    if state.choice("gpus") == "none":
        host = state.situation.host_memory
        return None if host is None else host.value
    free = [gpu.free for gpu in used_gpus(state) if gpu.free is not None]
    if not free:
        return None
    return min(free) if way.spreads else max(free)


def _base_step(state: State, way: Way, length: int) -> Step | None:
    """Return the step of a way with one row; None where the model's configuration is not known."""
    config = state.model.config
    if config is None:
        return None
    supervised = state.data.supervised_share
    longest = state.data.longest
    gpu = best_gpu(state)
    objective = state.choice("objective")
    step = step_of(
        _skeleton(state, way, length),
        config,
        capability=gpu.capability if gpu is not None else None,
        longest=longest.value if longest is not None else None,
        supervised=max(0.01, supervised.value) if supervised is not None else 1.0,
    )
    changes: dict[str, Any] = {} if objective in FIRST_STAGE else {"objective": objective}
    return msgspec.structs.replace(step, **changes)


def _skeleton(state: State, way: Way, length: int) -> RunSpec:
    """Return a run of a way, as far as its memory goes."""
    on_cpu = state.choice("gpus") == "none"
    return RunSpec(
        model=ModelSpec(
            name_or_path="-",
            dtype="bfloat16" if way.half_weights else "auto",
            attn_implementation=attention(state),
        ),
        data=DataSpec(train="-"),
        objective=_objective(state),
        method=method_values(state, way.id),
        training=TrainingSpec(
            per_device_train_batch_size=1,
            max_length=length,
            packing=state.choice("packing") == "yes",
            optim=optimizer(way, on_cpu=on_cpu),
            precision="fp32" if on_cpu else "auto",
        ),
    )


def _objective(state: State) -> Any:  # noqa: ANN401 - a member of the union
    return {"kind": FIRST_STAGE.get(state.choice("objective"), "sft")}


def attention(state: State) -> Literal["auto", "flash_attention_2"]:
    """Return the attention kernel: flash-attn where it is installed and the card can run it."""
    flash, gpu = state.situation.flash_attention, best_gpu(state)
    ampere = gpu is not None and (gpu.capability or (0, 0)) >= (8, 0)
    return "flash_attention_2" if flash is not None and flash.value and ampere else "auto"


def optimizer(way: Way, *, on_cpu: bool) -> str:
    """Return transformers' name of the optimizer for a way."""
    if on_cpu:
        return "adamw_torch"
    if way.half_weights:
        return "adamw_8bit"
    return "paged_adamw_8bit" if way.kind == "qlora" else "adamw_torch_fused"


def alpha_of(rank: int) -> int:
    """Return lora_alpha for a rank: twice it, but once from 64 on, where the update is large."""
    return rank if rank >= 64 else 2 * rank  # noqa: PLR2004 - as documented


def method_values(state: State, way_id: str) -> Any:  # noqa: ANN401 - a member of the union
    """Return the method of a run, as a RunSpec takes it."""
    if WAYS[way_id].kind == "prompt_tuning":
        return {"kind": "prompt_tuning", "num_virtual_tokens": VIRTUAL_TOKENS}
    if not is_adapter(way_id):
        return {"kind": "full"}
    rank = int(state.choice("rank"))
    values: dict[str, Any] = {
        "kind": WAYS[way_id].kind,
        "r": rank,
        "lora_alpha": alpha_of(rank),
        "lora_dropout": dropout(state),
        "target_modules": targets(state),
    }
    return values


def targets(state: State) -> str | list[str]:
    """Return the layers that get an update."""
    known = state.model.targets
    if known is None or known.value == "all-linear":
        return "all-linear"
    return list(known.value)


def dropout(state: State) -> float:
    """Return the adapter's dropout: some where rows are few, none where a reference is compared."""
    if state.choice("objective") in ("dpo", "kto", "orpo"):
        return 0.0
    return 0.05 if (state.rows or 0) < 10_000 else 0.0  # noqa: PLR2004 - said in the reason


def _shorter_lengths(state: State) -> list[int]:
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
    for shorter in _shorter_lengths(state):
        if plan.fit == "fits":
            break
        plan = _planned(state, way, shorter, checkpointing, batch)
    return plan


def _smaller(state: State) -> Plan:
    """Return the plan of the largest smaller model that fits with LoRA, or else with QLoRA."""
    length = int(state.choice("max_length"))
    last: Plan | None = None
    for model in state.model.smaller:
        for way_id in ("lora", "qlora"):
            way = WAYS[way_id]
            base = _base_step(state, way, length)
            step = None if base is None else msgspec.structs.replace(base, config=model.config)
            sequences = sequences_a_step(state)
            trials = _Trials(state, way, length, 1, sequences, step)
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
