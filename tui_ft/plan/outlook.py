"""What a run comes to before it is started: memory, steps, tokens, time, disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tui_ft.advise.estimator import Estimator, Seconds, Work
from tui_ft.advise.facts import gpu_facts
from tui_ft.data import DataError, held_out
from tui_ft.hardware import Gpu, Snapshot
from tui_ft.memory.cards import Fit, fit
from tui_ft.memory.estimate.offload import host_of, loaded_in_host
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.memory.question import Question
from tui_ft.memory.sharding import Sharding, can_be_replayed, sharding_of
from tui_ft.memory.states import optimizer_states
from tui_ft.memory.step import BYTES, Step
from tui_ft.runs.folder import RunError
from tui_ft.runs.gpu_choice import choose
from tui_ft.runs.reward_models import reward_configs
from tui_ft.spec import RunSpec
from tui_ft.spec.distributed import Strategy, strategy_name
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.tokens import TokenSummary, packed_sequences
from tui_ft.vocabulary import LossOn

_LEAST_SHARE: Final = 0.01
_SAMPLE: Final = 1 << 20


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be looked up or counted for an outlook; None is not known.

    Attributes:
        config: the values of the model's config.json.
        rows: rows that can be learned from.
        tokens: of the model, counted to the end.
        reward_configs: of the models that score answers; empty where one of them is not known.
        lacking: what is not known and why, in sentences.
    """

    config: dict[str, Any] | None = None
    rows: int | None = None
    tokens: TokenSummary | None = None
    reward_configs: tuple[dict[str, Any], ...] = ()
    lacking: tuple[str, ...] = ()


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a run comes to. None is not known; sizes in bytes.

    Attributes:
        memory: peak on each GPU, or why it is not known.
        gpus: the numbers of those that the run gets; none on the CPU.
        frees: on each of them.
        spread: how the run is spread over several, in words; empty on one.
        short: how many GPUs it wants that are not there.
        host: that all processes take of the host's memory, where weights or states are offloaded
            to it; 0 where they are not.
        host_free: what is available of it.
        train_rows: rows that are trained on.
        steps: optimizer steps.
        tokens: trained on over all epochs, after what `max_length` cuts.
        time: of the training alone, or why it is not known.
        disk: that checkpoints and weights take.
        lacking: what is not known and why, in sentences.
    """

    memory: Figure | Unknown
    gpus: tuple[int, ...] = ()
    frees: tuple[int | None, ...] = ()
    spread: str = ""
    short: int = 0
    host: int = 0
    host_free: int | None = None
    train_rows: int | None = None
    steps: int | None = None
    tokens: int | None = None
    time: Seconds | Unknown
    disk: int | None = None
    lacking: tuple[str, ...] = ()

    @property
    def free(self) -> int | None:
        """What is free on the GPU that has least; None where that is not known."""
        return min((free for free in self.frees if free is not None), default=None)

    @property
    def fit(self) -> Fit | None:
        """Whether it fits the GPUs; None where that is not known, or there are none."""
        return self.fit_of(self.free)

    def fit_of(self, free: int | None) -> Fit | None:
        """Return whether it fits a GPU with so much free; None where that is not known."""
        if free is None or not isinstance(self.memory, Figure):
            return None
        return fit(self.memory, free)

    @property
    def host_is_short(self) -> bool:
        """Whether the host has not the memory for what is offloaded to it."""
        return self.host_free is not None and self.host > self.host_free


def facts_key(spec: RunSpec) -> tuple[object, ...]:
    """Return what facts depend on: as long as it is the same, so are they."""
    columns = tuple(sorted(spec.data.columns.items()))
    model = spec.model
    data = (spec.data.train, spec.data.format, columns)
    scorers = tuple(getattr(one, "model", "") for one in getattr(spec.objective, "rewards", ()))
    named = (model.name_or_path, model.revision, model.chat_template, scorers)
    return (*named, data, _loss_on(spec))


def _loss_on(spec: RunSpec) -> LossOn:
    loss_on: LossOn = getattr(spec.objective, "loss_on", "assistant")
    return loss_on


def look_up(spec: RunSpec, is_cancelled: Callable[[], bool] = lambda: False) -> RunFacts | None:
    """Return the facts of a run; takes as long as surveying its data takes. Never raises.

    The survey is the Data screen's, kept until the data change. Broken off, None is returned.
    """
    found = model_facts(spec.model.name_or_path, spec.model.revision)
    lacking = [said for said in (found.problem, found.note) if said]
    known = RunFacts(config=found.config, reward_configs=reward_configs(spec))
    replace = msgspec.structs.replace
    wanted = TokenRequest(spec.model.name_or_path, spec.model.chat_template, _loss_on(spec))
    request = Request(
        spec.data.train, format=spec.data.format, columns=spec.data.columns, tokens=wanted
    )
    try:
        try:
            asked = Asked(request)
        except DataError as error:  # no tokenizer is here: rows can be counted all the same
            lacking.append(str(error))
            asked = Asked(msgspec.structs.replace(request, tokens=None))
        for _ in asked.follow():
            if is_cancelled():
                asked.cancel()
                return None
    except DataError as error:
        return replace(known, lacking=(*lacking, str(error)))
    summary, tokens = asked.summary(), asked.tokens()
    if summary is None or summary.problem is not None:
        why = summary.problem if summary and summary.problem else "the data could not be read"
        return replace(known, lacking=(*lacking, why))
    if tokens is not None and tokens.problem is not None:
        lacking.append(tokens.problem)
    counted = tokens if tokens is not None and tokens.stage == "done" and tokens.lengths else None
    rows = counted.rows if counted is not None else summary.usable
    return replace(known, rows=rows, tokens=counted, lacking=tuple(lacking))


def outlook(
    spec: RunSpec, facts: RunFacts, snapshot: Snapshot | None, estimator: Estimator
) -> Outlook:
    """Return what a run comes to. Quick and pure: to be asked at every key."""
    gpus = _gpus(spec, snapshot)
    step = _step(spec, facts, gpus)
    wanted = spec.hardware.processes or max(1, len(gpus))
    strategy = spec.hardware.strategy(wanted) if gpus else None
    spread = None if strategy is None else sharding_of(strategy, wanted)
    memory: Figure | Unknown = Unknown("the model's configuration is not known")
    if step is not None:
        memory = estimator.memory(step, spread)
    rows = _train_rows(spec, facts)
    passes = _passes(spec, facts, rows, wanted)
    return Outlook(
        memory=memory,
        gpus=tuple(gpu.index for gpu in gpus),
        frees=tuple(gpu.memory_free_bytes for gpu in gpus),
        spread=_spread_name(strategy, spread),
        short=max(0, wanted - len(gpus)) if gpus else 0,
        host=_in_host(step, spread),
        host_free=None if snapshot is None else snapshot.host.memory_available_bytes,
        train_rows=rows,
        steps=None if passes is None else _steps(spec, passes),
        tokens=_tokens(spec, facts, rows, passes),
        time=_time(spec, facts, step, passes, gpus, spread, estimator),
        disk=_disk(spec, step, memory),
        lacking=facts.lacking,
    )


def question_of(spec: RunSpec, facts: RunFacts, snapshot: Snapshot | None) -> Question | None:
    """Return what is asked of a dry run that says more than the closed form; None for nothing.

    Of several GPUs the dry run knows FSDP; on the CPU nobody asks.
    """
    gpus = _gpus(spec, snapshot)
    step = _step(spec, facts, gpus) if gpus else None
    if step is None:
        return None
    count = spec.hardware.processes or len(gpus)
    strategy = spec.hardware.strategy(count)
    spread = None if strategy is None else sharding_of(strategy, count)
    if spread is not None and not can_be_replayed(step, spread):
        return None
    return Question(step=step, sharding=spread)


def _spread_name(strategy: Strategy | None, spread: Sharding | None) -> str:
    if strategy is None or spread is None:
        return ""
    moved = spread.offloads_states or spread.offloads_weights
    return f"{strategy_name(strategy)}{' with offload' if moved else ''}"


def _in_host(step: Step | None, spread: Sharding | None) -> int:
    """Return what offload takes of the host's memory, the loading included."""
    if step is None or spread is None:
        return 0
    try:
        held = host_of(step, spread).held
        return max(held, loaded_in_host(step, spread)) if held else 0
    except ValueError:
        return 0  # why there is no figure is said with the GPU's


def _gpus(spec: RunSpec, snapshot: Snapshot | None) -> tuple[Gpu, ...]:
    """Return the GPUs that the run would get now; fewer than it wants where there are fewer."""
    if snapshot is None:
        return ()
    try:
        return choose(spec.hardware, snapshot, enough=False).now
    except RunError:
        return ()


def _step(spec: RunSpec, facts: RunFacts, gpus: Sequence[Gpu]) -> Step | None:
    if facts.config is None:
        return None
    counted = facts.tokens
    return step_of(
        spec,
        facts.config,
        capability=gpus[0].compute_capability if gpus else None,
        longest=max(counted.lengths) if counted is not None else None,
        supervised=max(counted.supervised_share, _LEAST_SHARE) if counted is not None else 1.0,
        reward_configs=facts.reward_configs,
    )


def _train_rows(spec: RunSpec, facts: RunFacts) -> int | None:
    if facts.rows is None:
        return None
    rows = facts.rows if spec.data.max_rows is None else min(facts.rows, spec.data.max_rows)
    if spec.data.eval is not None:
        return rows
    data = spec.data
    return rows - _held_out_count(rows, data.eval_fraction, data.max_eval_rows)


def _held_out_count(rows: int, fraction: float, most: int | None) -> int:
    """Return how many rows `held_out` takes, without ranking them."""
    few = 10_000
    if rows <= few:
        return len(held_out(rows, fraction, 0, most))
    number = max(1, round(rows * fraction)) if fraction > 0 else 0
    return number if most is None else min(number, most)


def _share_trained(facts: RunFacts, rows: int) -> float:
    return rows / facts.rows if facts.rows else 0.0


def _passes(spec: RunSpec, facts: RunFacts, rows: int | None, gpus: int) -> int | None:
    """Return forward passes of one epoch, as the trainer counts them."""
    if rows is None:
        return None
    sequences = rows
    if spec.training.packing:
        if facts.tokens is None:
            return None
        packed = packed_sequences(facts.tokens.lengths, spec.training.max_length)
        sequences = math.ceil(packed * _share_trained(facts, rows))
    return max(1, math.ceil(sequences / (spec.training.per_device_train_batch_size * gpus)))


def _steps(spec: RunSpec, passes: int) -> int:
    training = spec.training
    if training.max_steps is not None:
        return training.max_steps
    each = max(1, math.ceil(passes / training.gradient_accumulation_steps))
    return math.ceil(each * training.num_train_epochs)


def _epochs(spec: RunSpec, passes: int) -> float:
    training = spec.training
    if training.max_steps is None:
        return training.num_train_epochs
    return training.max_steps * training.gradient_accumulation_steps / passes


def _tokens(spec: RunSpec, facts: RunFacts, rows: int | None, passes: int | None) -> int | None:
    if facts.tokens is None or rows is None or passes is None:
        return None
    kept = facts.tokens.tokens - facts.tokens.at(spec.training.max_length).tokens_lost
    return round(kept * _share_trained(facts, rows) * _epochs(spec, passes))


def _time(
    spec: RunSpec,
    facts: RunFacts,
    step: Step | None,
    passes: int | None,
    gpus: Sequence[Gpu],
    spread: Sharding | None,
    estimator: Estimator,
) -> Seconds | Unknown:
    if step is None or passes is None:
        return Unknown("rows or model are not known")
    mean = step.length
    if facts.tokens is not None and not spec.training.packing:
        mean = min(mean, max(1, facts.tokens.tokens // max(1, facts.tokens.rows)))
    work = Work(
        step=step,
        passes=max(1, round(passes * _epochs(spec, passes))),
        mean_length=mean,
        gpu=gpu_facts(gpus[0]) if gpus else None,
        gpus=max(1, len(gpus)),
        spread=spread,
        updates=_steps(spec, passes),
    )
    return estimator.seconds(work)


def _disk(spec: RunSpec, step: Step | None, memory: Figure | Unknown) -> int | None:
    """Return what is written: checkpoints (weights and optimizer states), and the weights."""
    if step is None or not isinstance(memory, Figure):
        return None
    dtype = step.weights if step.adapter is None else step.adapter_dtype
    weights = memory.trainable_parameters * BYTES[dtype]
    each = sum(state.size for state in optimizer_states(step.optim, (_SAMPLE,), dtype)) / _SAMPLE
    checkpoint = weights + int(memory.trainable_parameters * each)
    training = spec.training
    if training.save_steps is None:
        return weights
    kept = training.save_total_limit or _checkpoints(training.save_steps)
    return checkpoint * (kept + 1) + weights  # a new one is written before the oldest goes


def _checkpoints(save_steps: float) -> int:
    """Return how many checkpoints a run leaves that keeps them all, when that can be told."""
    return math.ceil(1 / save_steps) if save_steps < 1 else 10
