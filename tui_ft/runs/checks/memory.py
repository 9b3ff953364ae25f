"""Whether a run will fit the GPUs that it gets: asked of the dry run, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from tui_ft import text
from tui_ft.hardware import Gpu
from tui_ft.memory.calibration import Correction, corrected
from tui_ft.memory.cards import CARDS, fit
from tui_ft.memory.dry_run import DryRunError
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimate.offload import host_of, loaded_in_host
from tui_ft.memory.estimating import Unknown, figures
from tui_ft.memory.figure import Figure
from tui_ft.memory.fitting import changes
from tui_ft.memory.from_spec import not_modelled, step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.memory.sharding import Sharding, can_be_replayed
from tui_ft.memory.sharding import sharding_of as spread_by
from tui_ft.memory.step import Step
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.measured_memory import machine_correction
from tui_ft.runs.reward_models import reward_configs
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE

_WAYS = 5


def memory_findings(spec: RunSpec, gpus: Sequence[Gpu]) -> tuple[Finding, ...]:
    """Return what the run takes of each GPU's free memory. Takes seconds; never raises.

    Nothing is said of runs on the CPU, nor of models whose configuration cannot be had: that the
    model is missing is said elsewhere.
    """
    readable = [gpu for gpu in gpus if gpu.memory_free_bytes is not None]
    if not readable:
        return ()
    facts = model_facts(spec.model.name_or_path, spec.model.revision)
    if facts.config is None:
        return ()
    try:
        sharding = sharding_of(spec, len(gpus))
        scorers = reward_configs(spec)
        steps = [
            step_of(
                spec,
                facts.config,
                capability=gpu.compute_capability,
                reward_configs=scorers,
            )
            for gpu in readable
        ]
        answers = _answers(steps, sharding)
    except DryRunError as error:
        return (Finding("note", f"how much memory it takes is not known: {error}"),)
    by = machine_correction(spec.method.kind)
    each = zip(readable, steps, answers, strict=True)
    notes = (
        *((facts.note,) if facts.note is not None else ()),
        *not_modelled(spec, rewards_known=bool(scorers)),
    )
    findings = (_finding(gpu, step, _corrected(answer, by), sharding) for gpu, step, answer in each)
    host = _host_findings(spec, steps[0], sharding)
    return (*findings, *host, *(Finding("note", sentence) for sentence in notes))


def memory_of(spec: RunSpec, gpus: Sequence[Gpu]) -> Finding:
    """Return what the run takes of this machine's GPUs, or which cards it would fit.

    Takes seconds; never raises.
    """
    findings = memory_findings(spec, gpus[:1])
    if findings:
        return findings[0]
    facts = model_facts(spec.model.name_or_path, spec.model.revision)
    if facts.config is None:
        return Finding("warning", facts.problem or "the model's configuration is not to be had")
    try:
        step = step_of(spec, facts.config, reward_configs=reward_configs(spec))
        sharding = sharding_of(spec, 0)
        (answer,) = _answers([step], sharding)
    except DryRunError as error:
        return Finding("note", f"how much memory it takes is not known: {error}")
    answer = _corrected(answer, machine_correction(spec.method.kind))
    if isinstance(answer, Unknown):
        return Finding("note", f"how much memory it takes is not known: {answer.reason}")
    card = next((card.name for card in CARDS if fit(answer, card.memory_bytes) == "fits"), None)
    said = (
        f"memory: {text.memory(answer.expected)} expected ({text.memory(answer.low)} to "
        f"{text.memory(answer.high)}), most in the {answer.stage} pass"
        f"{_by(answer)}{_how_corrected(answer)}"
    )
    if card is None:
        return Finding("warning", f"{said}: no single card holds it", _way_out(step, sharding))
    return Finding("note", f"{said}: a card of {card} holds it")


def sharding_of(spec: RunSpec, gpus: int) -> Sharding | None:
    """Return how a run is spread over the GPUs that it takes; None for one."""
    count = spec.hardware.processes or gpus
    strategy = spec.hardware.strategy(count)
    return None if strategy is None else spread_by(strategy, count)


def _answers(steps: Sequence[Step], sharding: Sharding | None = None) -> list[Figure | Unknown]:
    """Return the figures of steps: the closed form's, where a step cannot be replayed.

    Of several GPUs the dry run knows FSDP alone, whose weights stay on the GPU and are not packed.

    Raises:
        DryRunError: the process died or took too long.
    """
    if sharding is not None and not all(can_be_replayed(step, sharding) for step in steps):
        return [estimate(step, sharding=sharding) for step in steps]
    found: list[Figure | Unknown] = []
    careful = sharding is None
    for step, replayed in zip(steps, figures(steps, sharding=sharding), strict=True):
        closed = replayed
        if isinstance(replayed, Unknown):
            closed = estimate(step, sharding=sharding, careful=careful)
        found.append(replayed if isinstance(closed, Unknown) else closed)
    return found


def _host_findings(spec: RunSpec, step: Step, sharding: Sharding | None) -> tuple[Finding, ...]:
    """Return what the processes take of the host's memory, beside what is available there."""
    try:
        held, loaded = host_of(step, sharding).held, loaded_in_host(step, sharding)
    except ValueError:
        return ()  # why there is no figure is said with the GPU's
    found = []
    available = psutil.virtual_memory().available
    if held:
        found.append(_offloaded(held, available))
    if loaded > max(held, available):
        found.append(_loaded(step, loaded, sharding))
    if sharding is None:
        return tuple(found)
    if sharding.kind == "fsdp" and sharding.offloads_weights and _scores_on_cpu(spec):
        found.append(
            Finding(
                "warning",
                "with FSDP's offload trl makes the loss of LoRA where the head lies, which is the "
                "host's memory: on its processors, very slowly",
                "set hardware.distributed.kind to deepspeed with zero_stage 3, "
                "offload_param_device and offload_optimizer_device cpu, or leave cpu_offload out",
            )
        )
    return tuple(found)


def _loaded(step: Step, loaded: int, sharding: Sharding | None) -> Finding:
    """Return that the host has no memory for reading the model."""
    there = psutil.virtual_memory()
    readers = 1 if sharding is None else sharding.readers
    who = "" if readers == 1 else f", and {readers} processes read it at once, each all of it"
    ways = [] if step.adapter is not None else ["set method.kind to lora, whose base stays mapped"]
    if readers > 1:
        ways.append("set hardware.distributed.kind to fsdp, where one process reads it")
    return Finding(
        "bad" if loaded > there.total else "warning",
        f"the model is read into the host's memory as {step.weights}, which its file is not{who}: "
        f"{text.memory(loaded)} of {text.memory(there.available)} available (by formula)",
        "; or ".join(ways) or "free some of the host's memory",
    )


def _scores_on_cpu(spec: RunSpec) -> bool:
    """Tell whether trl's fused head takes the head's weight as FSDP has shared it out.

    Beside an adapter it finds it so, and moves the tokens to where it lies (trl 1.16,
    `trainer/utils.py`, `_fused_forward`); a model whose weights are all trained gathers it itself.
    """
    fused = spec.objective.kind in ("sft", "pretraining", "dpo", "kto")
    return fused and spec.method.kind not in TRAINS_BASE


def _offloaded(held: int, available: int) -> Finding:
    said = (
        f"offload holds {text.memory(held)} in the host's memory, pinned, of "
        f"{text.memory(available)} available (by formula)"
    )
    if held <= available:
        return Finding("note", f"{said}; each pass waits for the bus, and each step for the host")
    return Finding(
        "bad",
        f"{said}: it will run out",
        "leave offload out (hardware.distributed.cpu_offload, offload_optimizer_device, "
        "offload_param_device), or set method.kind to lora",
    )


def _by(answer: Figure) -> str:
    """Return a word on where a figure is from, when it is no dry run's."""
    return " (in closed form: it cannot be replayed)" if answer.source == "estimate" else ""


def _finding(gpu: Gpu, step: Step, answer: Figure | Unknown, sharding: Sharding | None) -> Finding:
    if isinstance(answer, Unknown):
        return Finding("note", f"how much memory it takes is not known: {answer.reason}")
    free = gpu.memory_free_bytes or 0
    said = (
        f"memory: {text.memory(answer.expected)} expected ({text.memory(answer.low)} to "
        f"{text.memory(answer.high)}) of {text.memory(free)} free on GPU {gpu.index}"
        f"{_by(answer)}{_how_corrected(answer)}"
    )
    match fit(answer, free):
        case "fits":
            return Finding("note", said)
        case "tight":
            return Finding("warning", f"{said}: it may run out", _way_out(step, sharding))
        case _:
            return Finding("bad", f"{said}: it will run out of memory", _way_out(step, sharding))


def _corrected(answer: Figure | Unknown, by: Correction) -> Figure | Unknown:
    return answer if isinstance(answer, Unknown) else corrected(answer, by)


def _how_corrected(figure: Figure) -> str:
    """Return what finished runs did to a figure, and the figure before; empty for nothing."""
    if figure.computed is None:
        return ""
    return f", {figure.correction}; computed were {text.memory(figure.computed.expected)}"


def _way_out(step: Step, sharding: Sharding | None) -> str:
    """Return the changes that free most, and how much each does; they can be combined."""
    ways = [
        f"{one.words} ({text.memory(one.freed)} less)" for one in changes(step, sharding)[:_WAYS]
    ]
    return "; or ".join(ways)
