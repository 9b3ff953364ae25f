"""The training group of a run: steps, batch, schedule, memory; each field with its reason."""

from __future__ import annotations

from typing import Any, Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.advice import Choice
from tui_ft.advise.online import is_online
from tui_ft.advise.passes import HELD_OUT, groups_by_length, longest_to_mean, total_steps
from tui_ft.advise.plans import Plan, longest_option
from tui_ft.advise.situation import How
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import best_gpu
from tui_ft.advise.way_step import optimizer
from tui_ft.advise.ways import WAYS

_SHORT_RUN: Final = 100
_PATIENCE: Final = 3


def training_choices(state: State, plan: Plan) -> list[Choice]:
    """Return the fields of the training group and why, in the order of a RunSpec."""
    return [*_steps(state, plan), *_schedule(state, plan), *_memory(state, plan)]


def evaluates_on(state: State) -> bool:
    """Tell whether there is anything to evaluate on; a file may be wished for and not be there."""
    chosen = state.choice("evaluation")
    return HELD_OUT[chosen] > 0 or (chosen == "file" and bool(state.data.eval))


def from_node(state: State, key: str, node: str, value: Any) -> Choice:  # noqa: ANN401 - any field
    """Return a field whose value is what a node of the tree chose."""
    answer = state.answer(node)
    return Choice(
        key=key, value=value, reason=answer.reason, source=answer.source, how=answer.how, node=node
    )


def _steps(state: State, plan: Plan) -> list[Choice]:
    whole = plan.batch * plan.accumulation * plan.gpus
    packed = " packed sequences" if state.choice("packing") == "yes" else " rows"
    length = from_node(state, "training.max_length", "max_length", plan.max_length)
    if plan.max_length != int(state.choice("max_length")):
        option = longest_option(state.data, plan.max_length)
        cut = text.percent(option.rows_cut if option is not None else None)
        why = f"longer rows do not fit the GPU; {cut} of rows are cut"
        length = Choice(key="training.max_length", value=plan.max_length, reason=why)
    epochs = float(state.choice("epochs"))
    accumulation = f"{whole}{packed} make one step: {state.answer('effective_batch').reason}"
    return [
        from_node(
            state,
            "training.learning_rate",
            "learning_rate",
            float(state.choice("learning_rate")),
        ),
        from_node(state, "training.num_train_epochs", "epochs", epochs),
        from_node(state, "training.per_device_train_batch_size", "batch", plan.batch),
        Choice(
            key="training.gradient_accumulation_steps",
            value=plan.accumulation,
            reason=accumulation,
            source=state.answer("effective_batch").source,
            how=state.answer("effective_batch").how,
        ),
        length,
        from_node(state, "training.packing", "packing", state.choice("packing") == "yes"),
        *_grouping(state, plan),
    ]


def _grouping(state: State, plan: Plan) -> list[Choice]:
    if not groups_by_length(state, plan):
        return []
    why = (
        "rows of like length go together, which saves padding: the longest is "
        f"{longest_to_mean(state):.0f} times the mean"
    )
    return [
        Choice(
            key="training.train_sampling_strategy",
            value="group_by_length",
            reason=why,
            source=at(sources.COMPLETE, "10.1"),
        )
    ]


def _schedule(state: State, plan: Plan) -> list[Choice]:
    steps = total_steps(state, plan)
    short = steps is not None and steps < _SHORT_RUN
    way = WAYS[plan.way]
    evaluates = evaluates_on(state)
    known: How = "assumed" if steps is None else "measured"
    said = "a run of unknown length" if steps is None else f"{steps:,} steps in all"
    saves = 0.2 if way.kind == "full" or is_online(state.choice("objective")) else 0.1
    choices = [
        _scheduler(state),
        Choice(
            key="training.warmup_steps",
            value=0.1 if short else 0.03,
            reason=(
                f"{said}: 3 % of them would be hardly any"
                if short
                else f"3 % of {said}; the guides take 3 % to 10 %"
            ),
            source=at(sources.OPS if short else sources.COMPLETE, "recipes"),
            how=known,
        ),
        Choice(
            key="training.weight_decay",
            value=0.01,
            reason="0.01 in every recipe that sets it; it hardly matters to an adapter",
            source=at(sources.EXPERT, "training with TRL"),
        ),
        Choice(
            key="training.max_grad_norm",
            value=0.3 if way.kind == "qlora" else 1.0,
            reason=(
                "harder clipping beside a 4-bit base, as QLoRA's authors do"
                if way.kind == "qlora"
                else "transformers' default; 0.3 is for QLoRA"
            ),
            source=at(sources.COMPLETE, "4.5"),
        ),
        _looks(state, said, known),
        Choice(
            key="training.save_steps",
            value=saves,
            reason=_why_saved(state, is_full=way.kind == "full"),
            source=sources.OWN,
        ),
    ]
    if state.choice("early_stopping") == "yes" and evaluates:
        choices.append(
            from_node(state, "training.early_stopping_patience", "early_stopping", _PATIENCE)
        )
    return choices


def _why_saved(state: State, *, is_full: bool) -> str:
    online = is_online(state.choice("objective"))
    each = "at each evaluation, so the best is kept"
    if is_full:
        often = each if online else "at every second evaluation"
        return f"a checkpoint is three times the weights: {often}"
    return f"an adapter's checkpoint is small: {each}"


def _looks(state: State, said: str, known: How) -> Choice:
    """Return how often held-out rows are looked at."""
    source = at(sources.EXPERT, "anti-patterns")
    if not evaluates_on(state):
        why, value = "nothing is held out", None
    elif is_online(state.choice("objective")):
        why, value = "five looks: at each, held-out prompts are answered, which takes its time", 0.2
        source = sources.OWN
    else:
        why, value = (
            f"ten looks at the held-out rows ({said}): the gap to the training loss shows "
            "overfitting",
            0.1,
        )
    return Choice(key="training.eval_steps", value=value, reason=why, source=source, how=known)


def _scheduler(state: State) -> Choice:
    online = is_online(state.choice("objective"))
    why = "the reward may rise to the end, and nobody knows when it will"
    return Choice(
        key="training.lr_scheduler_type",
        value="constant_with_warmup" if online else "cosine",
        reason=why if online else "cosine in four guides' recipes (linear: Part 3, 8)",
        source=sources.GRPO if online else at(sources.EXPERT, "training with TRL"),
    )


def _memory(state: State, plan: Plan) -> list[Choice]:
    way, on_cpu = WAYS[plan.way], state.choice("gpus") == "none"
    name = optimizer(way, on_cpu=on_cpu)
    why = {
        "adamw_torch": "on the CPU there is no fused AdamW worth having",
        "adamw_torch_fused": "exact AdamW in one kernel; an adapter's states are small",
        "paged_adamw_8bit": (
            "states in 8 bits, paged out when memory is short (paged_adamw_32bit: Complete Guide "
            "4.5; an adapter's states are small either way)"
        ),
        "adamw_8bit": "states in 8 bits: a quarter of AdamW's",
    }[name]
    if name == "adamw_torch_fused" and way.kind == "full":
        why = "exact AdamW in one kernel: its states fit"
    checkpointing = from_node(
        state, "training.gradient_checkpointing", "checkpointing", plan.checkpointing
    )
    choices = [
        Choice(
            key="training.optim",
            value=name,
            reason=why,
            source=at(sources.PART3, "5") if "paged" in name else sources.OWN,
        ),
        checkpointing,
        _precision(state, on_cpu=on_cpu),
    ]
    if way.half_weights:
        why = "weights in 16 bits, for want of memory: small updates are lost in the rounding"
        choices.insert(0, Choice(key="model.dtype", value="bfloat16", reason=why))
    return choices


def _precision(state: State, *, on_cpu: bool) -> Choice:
    key, source = "training.precision", at(sources.EXPERT, "training with TRL")
    gpu = best_gpu(state)
    if on_cpu or gpu is None or gpu.capability is None:
        why = "by what the hardware can do, which the run finds out"
        return Choice(key=key, value="auto", reason=why, how="assumed")
    major, minor = gpu.capability
    card = f"{gpu.name} (compute capability {major}.{minor})"
    if gpu.capability >= (8, 0):
        return Choice(key=key, value="bf16", reason=f"{card} has bfloat16", source=source)
    why = f"{card} has no bfloat16: float16 with a loss scale"
    return Choice(key=key, value="fp16", reason=why, source=source)
