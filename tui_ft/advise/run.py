"""The run that follows from a path: every field of the RunSpec with its reason."""

from __future__ import annotations

import math
import re
from pathlib import PurePath
from typing import Any, Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.advice import Choice
from tui_ft.advise.candidates import (
    VIRTUAL_TOKENS,
    Plan,
    alpha_of,
    attention,
    best_gpu,
    dropout,
    gib,
    longest_option,
    optimizer,
    targets,
)
from tui_ft.advise.objective import FIRST_STAGE, SUPERVISED
from tui_ft.advise.recipes import fields_of
from tui_ft.advise.situation import How
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.ways import WAYS, is_adapter
from tui_ft.memory.figure import Figure
from tui_ft.spec import RunSpec, build_spec

_HELD_OUT: Final = {"tenth": 0.1, "twentieth": 0.05, "none": 0.0, "file": 0.0}
_SHORT_RUN: Final = 100
_MUCH_PADDING: Final = 2.0
_PATIENCE: Final = 3
_NAME_LENGTH: Final = 64


def run_choices(state: State, plan: Plan) -> tuple[Choice, ...]:
    """Return the fields of the run and why, in the order of a RunSpec."""
    return (
        *_model_and_data(state),
        *_method(state, plan),
        *_steps(state, plan),
        *_schedule(state, plan),
        *_memory(state, plan),
        _hardware(state, plan),
    )


def run_of(state: State, plan: Plan, choices: tuple[Choice, ...]) -> RunSpec:
    """Return the run that the choices say.

    Raises:
        SpecError: they make no run.
    """
    values: dict[str, Any] = {"name": run_name(state, plan)}
    for choice in choices:
        *groups, last = choice.key.split(".")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = choice.value
    return build_spec(values)


def run_name(state: State, plan: Plan) -> str:
    """Return a name for the run: model, data and method, of characters that a name may have."""
    data = PurePath(state.data.path).name.partition(".")[0]
    kind = WAYS[plan.way].kind
    parts = (PurePath(state.model.name).name, data, kind)
    raw = "-".join(part for part in parts if part)
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", raw).strip("-._")
    room = _NAME_LENGTH - len(kind) - 1
    if len(clean) > _NAME_LENGTH:
        clean = f"{clean[:room].rstrip('-._')}-{kind}"
    return clean or "run"


def is_startable(state: State, plan: Plan) -> bool:
    """Tell whether a RunSpec can say the run today."""
    return state.choice("objective") in FIRST_STAGE and WAYS[plan.way].startable


def total_steps(state: State, plan: Plan) -> int | None:
    """Return the optimizer steps of the whole run; None where rows are not known."""
    passes = total_passes(state, plan)
    return None if passes is None else math.ceil(passes / plan.accumulation)


def total_passes(state: State, plan: Plan) -> int | None:
    """Return the forward and backward passes of each GPU over all epochs."""
    rows = state.rows
    if rows is None:
        return None
    option = longest_option(state.data, plan.max_length)
    packed = state.choice("packing") == "yes" and option is not None
    sequences = option.sequences if packed and option is not None else rows
    kept = sequences * (1 - _HELD_OUT[state.choice("evaluation")])
    each = math.ceil(max(1.0, kept) / (plan.batch * plan.gpus))
    return max(1, math.ceil(each * float(state.choice("epochs"))))


def _from_node(state: State, key: str, node: str, value: Any) -> Choice:  # noqa: ANN401 - any field
    answer = state.answer(node)
    return Choice(
        key=key, value=value, reason=answer.reason, source=answer.source, how=answer.how, node=node
    )


def _model_and_data(state: State) -> list[Choice]:
    data = state.data
    given: How = "asked"
    choices = [
        Choice(key="model.name_or_path", value=state.model.name, reason="as given", how=given),
    ]
    kernel = attention(state)
    gpu = best_gpu(state)
    flash = kernel == "flash_attention_2"
    card = gpu.name if gpu is not None else "the CPU"
    why = (
        f"flash-attn is installed, and {card} runs it: 2-3 times less memory in attention"
        if flash
        else "what transformers takes for the model (SDPA); flash-attn is not there or not for it"
    )
    source = at(sources.EXPERT, "LoRA configuration") if flash else ""
    choices.append(Choice(key="model.attn_implementation", value=kernel, reason=why, source=source))
    choices += _template(state)
    choices.append(Choice(key="data.train", value=data.path, reason="as given", how=given))
    supervised = state.choice("objective") in SUPERVISED
    if supervised:
        choices += _columns(state)
    choices.append(_held_out(state))
    choices += _objective(state)
    return choices


def _held_out(state: State) -> Choice:
    chosen = state.choice("evaluation")
    if chosen == "file" and state.data.eval:
        return _from_node(state, "data.eval", "evaluation", state.data.eval)
    return _from_node(state, "data.eval_fraction", "evaluation", _HELD_OUT[chosen])


def _evaluates(state: State) -> bool:
    """Tell whether there is anything to evaluate on; a file may be wished for and not be there."""
    return bool(_held_out(state).value)


def _template(state: State) -> list[Choice]:
    """Return the chat template for a model that has none, where the rows are dialogues."""
    known, file = state.model.has_template, state.model.plain_template
    if known is None or known.value or not file:
        return []
    if state.choice("objective") in ("pretraining", "classification"):
        return []
    why = (
        "the model's tokenizer has none: roles in plain words, without new tokens; it is saved "
        "with what is trained, and has to be used with it"
    )
    source = at(sources.OPS, "3, Alpaca format")
    return [Choice(key="model.chat_template", value=file, reason=why, source=source)]


def _columns(state: State) -> list[Choice]:
    """Return how answers are read from rows that were made for something else."""
    data = state.data
    if state.choice("objective") == "pretraining" or not data.sft_columns:
        return []
    what = {
        "preference": "the better answers alone",
        "kto": "the answers",
        "text_label": "the class as the answer",
    }.get(data.format.value if data.format is not None else "", "the answers")
    why = f"{what}, which is what supervised fine-tuning learns from"
    return [Choice(key="data.columns", value=dict(data.sft_columns), reason=why)]


def _objective(state: State) -> list[Choice]:
    """Return the first stage's objective, and what is particular to it."""
    objective = state.choice("objective")
    kind = FIRST_STAGE.get(objective)
    if kind is None:
        return []
    choices = [_from_node(state, "objective.kind", "objective", kind)]
    if kind == "sft":
        why = "the answers alone are learned, not the questions"
        source = at(sources.PART3, "6, completion-only loss")
        choices.append(
            Choice(key="objective.loss_on", value="assistant", reason=why, source=source)
        )
    return [*choices, *fields_of(kind)]


def _method(state: State, plan: Plan) -> list[Choice]:
    way = WAYS[plan.way]
    choices = [_from_node(state, "method.kind", "method", way.kind)]
    if way.kind == "prompt_tuning":
        why = "8 in the guide's recipe; more learn more and take more of the context"
        tokens = Choice(
            key="method.num_virtual_tokens",
            value=VIRTUAL_TOKENS,
            reason=why,
            source=at(sources.COMPLETE, "5.2"),
        )
        return [*choices, tokens]
    if not is_adapter(plan.way):
        return choices
    rank = int(state.choice("rank"))
    alpha = alpha_of(rank)
    twice = alpha == 2 * rank
    choices += [
        _from_node(state, "method.r", "rank", rank),
        Choice(
            key="method.lora_alpha",
            value=alpha,
            reason=(
                "twice the rank in all five guides (equal to it: Part 3, 8; 16 beside rank 64: "
                "Complete Guide 4.5 and Part 3, 4)"
                if twice
                else "equal to the rank: at a high rank the update is large enough unscaled"
            ),
            source=at(sources.EXPERT if twice else sources.COMPLETE, "LoRA alpha"),
        ),
        Choice(
            key="method.lora_dropout",
            value=dropout(state),
            reason=(
                "few rows: a little dropout keeps the update from learning them by heart"
                if dropout(state)
                else "rows enough, or a model to compare with: dropout only disturbs (Part 3, 8: 0)"
            ),
            source=at(sources.OPS if dropout(state) else sources.PART3, "LoRA dropout"),
        ),
        _targets(state),
    ]
    if way.kind == "qlora":
        choices.append(
            Choice(
                key="method.bnb_4bit_quant_type",
                value="nf4",
                reason="made for normally distributed weights; all guides take it",
                source=f"{sources.QLORA}, section 3",
            )
        )
        choices.append(
            Choice(
                key="method.bnb_4bit_use_double_quant",
                value=True,
                reason="0.37 bit a weight less, for nothing",
                source=f"{sources.QLORA}, section 3",
            )
        )
    return choices


def _targets(state: State) -> Choice:
    found = targets(state)
    known = state.model.targets
    if found == "all-linear":
        why = (
            "all linear layers come near full fine-tuning; q and v alone, peft's default, are "
            "the minimum (Part 3, 3)"
        )
    else:
        family = state.model.family
        why = f"the layers of {family.value if family is not None else 'this family'}"
    how: How = "assumed" if known is None else known.how
    source = at(sources.COMPLETE, "3.5")
    return Choice(key="method.target_modules", value=found, reason=why, source=source, how=how)


def _steps(state: State, plan: Plan) -> list[Choice]:
    whole = plan.batch * plan.accumulation * plan.gpus
    packed = " packed sequences" if state.choice("packing") == "yes" else " rows"
    length = _from_node(state, "training.max_length", "max_length", plan.max_length)
    if plan.max_length != int(state.choice("max_length")):
        option = longest_option(state.data, plan.max_length)
        cut = text.percent(option.rows_cut if option is not None else None)
        why = f"longer rows do not fit the GPU; {cut} of rows are cut"
        length = Choice(key="training.max_length", value=plan.max_length, reason=why)
    epochs = float(state.choice("epochs"))
    accumulation = f"{whole}{packed} make one step: {state.answer('effective_batch').reason}"
    return [
        _from_node(
            state,
            "training.learning_rate",
            "learning_rate",
            float(state.choice("learning_rate")),
        ),
        _from_node(state, "training.num_train_epochs", "epochs", epochs),
        _from_node(state, "training.per_device_train_batch_size", "batch", plan.batch),
        Choice(
            key="training.gradient_accumulation_steps",
            value=plan.accumulation,
            reason=accumulation,
            source=state.answer("effective_batch").source,
            how=state.answer("effective_batch").how,
        ),
        length,
        _from_node(state, "training.packing", "packing", state.choice("packing") == "yes"),
        *_grouping(state, plan),
    ]


def _grouping(state: State, plan: Plan) -> list[Choice]:
    if not groups_by_length(state, plan):
        return []
    why = (
        "rows of like length go together, which saves padding: the longest is "
        f"{_longest_to_mean(state):.0f} times the mean"
    )
    return [
        Choice(
            key="training.extra",
            value={"train_sampling_strategy": "group_by_length"},
            reason=why,
            source=at(sources.COMPLETE, "10.1"),
        )
    ]


def groups_by_length(state: State, plan: Plan) -> bool:
    """Tell whether rows of like length are put together, as far as padding would cost much."""
    if plan.batch == 1 or state.choice("packing") == "yes":
        return False
    return state.choice("objective") in SUPERVISED and _longest_to_mean(state) > _MUCH_PADDING


def mean_padded_length(state: State, plan: Plan) -> int:
    """Return the tokens of a row with its padding, in the mean.

    Rows alone are not padded, packed ones are full; of rows in a batch it is in the middle between
    their mean and the longest, and a tenth above the mean where like lengths go together.
    """
    tokens, rows = state.data.tokens, state.rows
    if tokens is None or not rows or state.choice("packing") == "yes":
        return plan.max_length
    mean = min(plan.max_length, max(1, tokens.value // rows))
    if plan.batch == 1:
        return mean
    if groups_by_length(state, plan):
        return min(plan.max_length, mean * 11 // 10)
    longest = state.data.longest
    return (mean + min(plan.max_length, longest.value if longest else plan.max_length)) // 2


def _longest_to_mean(state: State) -> float:
    tokens, rows, longest = state.data.tokens, state.rows, state.data.longest
    if tokens is None or not tokens.value or not rows or longest is None:
        return 1.0
    return longest.value * rows / tokens.value


def _schedule(state: State, plan: Plan) -> list[Choice]:
    steps = total_steps(state, plan)
    short = steps is not None and steps < _SHORT_RUN
    way = WAYS[plan.way]
    evaluates = _evaluates(state)
    known: How = "assumed" if steps is None else "measured"
    said = "a run of unknown length" if steps is None else f"{steps:,} steps in all"
    saves = 0.2 if way.kind == "full" else 0.1
    choices = [
        Choice(
            key="training.lr_scheduler_type",
            value="cosine",
            reason="cosine in four guides' recipes (linear: Part 3, 8)",
            source=at(sources.EXPERT, "training with TRL"),
        ),
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
        Choice(
            key="training.eval_steps",
            value=0.1 if evaluates else None,
            reason=(
                f"ten looks at the held-out rows ({said}): the gap to the training loss shows "
                "overfitting"
                if evaluates
                else "nothing is held out"
            ),
            source=at(sources.EXPERT, "anti-patterns"),
            how=known,
        ),
        Choice(
            key="training.save_steps",
            value=saves,
            reason=(
                "a checkpoint is three times the weights: at every second evaluation"
                if way.kind == "full"
                else "an adapter's checkpoint is small: at each evaluation, so the best is kept"
            ),
            source=sources.OWN,
        ),
    ]
    if state.choice("early_stopping") == "yes" and evaluates:
        choices.append(
            _from_node(state, "training.early_stopping_patience", "early_stopping", _PATIENCE)
        )
    return choices


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
    checkpointing = _from_node(
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


def _hardware(state: State, plan: Plan) -> Choice:
    key = "hardware.gpus"
    if state.choice("gpus") == "none":
        return Choice(key=key, value="none", reason="the CPU: no GPU is taken")
    gpu = best_gpu(state)
    if gpu is None or state.situation.hypothetical_gpus or len(state.gpus) == 1:
        return Choice(key=key, value="auto", reason="one GPU: the one with most free memory")
    needed = plan.figure.high if isinstance(plan.figure, Figure) else None
    if needed is not None and all((one.free or 0) >= needed for one in state.gpus):
        why = f"any of the {len(state.gpus)} GPUs has the memory; ftui uses one for a run so far"
        return Choice(key=key, value="auto", reason=why)
    why = (
        f"of {len(state.gpus)} GPUs the one with most free memory ({gib(gpu.free)}); ftui "
        "uses one for a run so far"
    )
    return Choice(key=key, value=[gpu.index], reason=why)
