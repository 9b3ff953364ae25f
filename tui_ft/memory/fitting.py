"""What fits a GPU: the most rows, tokens or rank, and which change frees how much.

All of it by the closed form, at once; the largest batch is then looked at by dry runs, where it
matters to the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import msgspec

from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import figure_of
from tui_ft.memory.question import Question
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Quantization, Step

Quantity = Literal["batch", "length", "rank"]
_MOST: Final[dict[Quantity, int]] = {"batch": 4096, "length": 1 << 20, "rank": 1024}
_LEAST: Final[dict[Quantity, int]] = {"batch": 1, "length": 64, "rank": 1}
_STEP: Final[dict[Quantity, int]] = {"batch": 1, "length": 64, "rank": 1}
_TRIES: Final = 8
_FULL_LOGITS: Final = "causal_lm"
_SHORT_RANK: Final = 8
_LORA: Final[dict[str, Any]] = {
    "peft_type": "LORA",
    "r": 16,
    "lora_alpha": 32,
    "target_modules": "all-linear",
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change to a run, and what it frees.

    Attributes:
        name: short, for programs.
        words: what is to be done, for people.
        freed: bytes less of what is expected.
        expected: what is then expected, in bytes.
        step: the changed step.
    """

    name: str
    words: str
    freed: int
    expected: int
    step: Step


def largest(
    step: Step, free_bytes: int, quantity: Quantity, sharding: Sharding | None = None
) -> int:
    """Return the most rows, tokens or rank of a step whose *high* figure fits; 0 when none does.

    Memory grows with each of them, so it is found by halving; tokens go in steps of 64.

    Args:
        step: with everything else as it is to be.
        free_bytes: of the GPU, CUDA's context included.
        quantity: what is to be as large as possible; the rank is LoRA's.
        sharding: how it is spread over several GPUs; None for one.
    """
    unit = _STEP[quantity]

    def fits(value: int) -> bool:
        found = estimate(_with(step, quantity, value), sharding=sharding, careful=sharding is None)
        return not isinstance(found, Unknown) and found.high <= free_bytes

    least = _LEAST[quantity]
    if (quantity == "rank" and not _has_rank(step)) or not fits(least):
        return 0
    known, most = least // unit, _bound(step, quantity) // unit
    while known < most:
        middle = min(2 * known, (known + most + 1) // 2)
        if fits(middle * unit):
            known = middle
        else:
            most = middle - 1
    return known * unit


def largest_batch(step: Step, free_bytes: int) -> int:
    """Return the most rows whose *high* figure fits, by dry runs from where the closed form says.

    The figure is that of the step's own length, without its neighbours; the closed form's, where a
    step cannot be replayed.

    Raises:
        DryRunError: the process died or took too long.
    """
    fits, too_many = 0, _MOST["batch"] + 1
    guess = max(1, largest(step, free_bytes, "batch"))
    for _ in range(_TRIES):
        (answer,) = dry_runs([Question(step=_with(step, "batch", guess))])
        if answer.replayed is None:
            return largest(step, free_bytes, "batch")
        high = figure_of([answer.replayed]).high
        if high <= free_bytes:
            fits = guess
        else:
            too_many = guess
        if too_many - fits <= 1:
            break
        # Memory grows by about as much for each row: so the next guess is in proportion.
        guess = min(max(int(guess * free_bytes / high), fits + 1), too_many - 1)
    return fits


def changes(step: Step, sharding: Sharding | None = None) -> tuple[Change, ...]:
    """Return the changes that free something, the one that frees most first.

    Args:
        step: as it is.
        sharding: how it is spread over several GPUs; None for one.
    """
    now = estimate(step, sharding=sharding)
    if isinstance(now, Unknown):
        return ()
    found = []
    for name, words, changed, spread in _all_candidates(step, sharding):
        then = estimate(changed, sharding=spread)
        if isinstance(then, Unknown) or then.expected >= now.expected:
            continue
        found.append(
            Change(
                name=name,
                words=words,
                freed=now.expected - then.expected,
                expected=then.expected,
                step=changed,
            )
        )
    return tuple(sorted(found, key=lambda change: -change.freed))


def _all_candidates(
    step: Step, sharding: Sharding | None
) -> Iterator[tuple[str, str, Step, Sharding | None]]:
    """Yield what can be changed in a step, and in how it is spread."""
    shares = sharding is not None and sharding.shares_weights
    for name, words, changed in _candidates(step):
        # bitsandbytes' optimizers do not take parts of tensors, nor does FSDP what they hold.
        if not (shares and name == "8-bit optimizer"):
            yield name, words, changed, sharding
    if sharding is None or sharding.offloads_weights or not shares:
        return
    fields: tuple[str, ...] = ("cpu_offload to true",)
    if sharding.by_deepspeed:
        fields = ("offload_optimizer_device to cpu", "offload_param_device to cpu")
    words = " and ".join(f"hardware.distributed.{one}" for one in fields)
    moved = msgspec.structs.replace(sharding, offloads_states=True, offloads_weights=True)
    yield "offload", f"set {words}: slow, and it takes the host's memory", step, moved


def _candidates(step: Step) -> Iterator[tuple[str, str, Step]]:
    """Yield what can be changed, in the order of what it costs a run."""
    replace = msgspec.structs.replace
    if step.attention == "eager":
        yield "attention", "take sdpa attention", replace(step, attention="sdpa")
    if step.objective == _FULL_LOGITS:
        yield "fused head", "let trl's fused head make the loss", replace(step, objective="sft")
    if step.batch > 1:
        words = (
            "lower training.per_device_train_batch_size to 1 and raise gradient_accumulation_steps"
        )
        yield "batch 1", words, replace(step, batch=1, padded=False, accumulation=True)
    prefix = (step.adapter or {}).get("peft_type") == "PREFIX_TUNING"
    if not step.checkpointing and not prefix:
        words = "turn training.gradient_checkpointing on"
        yield "checkpointing", words, replace(step, checkpointing=True)
    if step.optim.startswith("adamw_torch"):
        yield "8-bit optimizer", "take training.optim=adamw_8bit", replace(step, optim="adamw_8bit")
    if step.adapter is None and step.weights == "float32":
        changed = replace(step, weights="bfloat16", arithmetic=None)
        yield "bfloat16", "load the model with model.dtype=bfloat16", changed
    if step.adapter is None:
        short = step.arithmetic or "bfloat16"
        changed = replace(step, adapter=_LORA, weights=short, arithmetic=short)
        yield "lora", "take lora", changed
    elif step.quantization is None and _has_rank(step):
        yield "qlora", "take qlora", replace(step, quantization=Quantization())
    if _has_rank(step) and _rank(step) > _SHORT_RANK:
        yield "rank", f"a rank of {_SHORT_RANK}", _with(step, "rank", _SHORT_RANK)
    half = step.length // 2
    if half >= _LEAST["length"]:
        yield "length", f"lower training.max_length to {half}", _with(step, "length", half)


def _has_rank(step: Step) -> bool:
    return str((step.adapter or {}).get("peft_type", "")).upper() == "LORA"


def _rank(step: Step) -> int:
    return int((step.adapter or {}).get("r") or _SHORT_RANK)


def _bound(step: Step, quantity: Quantity) -> int:
    """Return the most that is looked at: a model's longest context bounds its rows."""
    context = step.config.get("max_position_embeddings")
    if quantity == "length" and isinstance(context, int) and context >= _LEAST["length"]:
        return min(context, _MOST["length"])
    return _MOST[quantity]


def _with(step: Step, quantity: Quantity, value: int) -> Step:
    set_to: dict[Quantity, Callable[[], Step]] = {
        "batch": lambda: msgspec.structs.replace(step, batch=value),
        "length": lambda: msgspec.structs.replace(step, length=value),
        "rank": lambda: msgspec.structs.replace(step, adapter={**(step.adapter or {}), "r": value}),
    }
    return set_to[quantity]()
