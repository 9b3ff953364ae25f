"""The run that follows from a path: every field of the RunSpec with its reason."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Final

from tui_ft.advise import sources
from tui_ft.advise.advice import Choice
from tui_ft.advise.objective import FIRST_STAGE
from tui_ft.advise.online import is_online, last_of
from tui_ft.advise.passes import HELD_OUT
from tui_ft.advise.plans import Plan
from tui_ft.advise.situation import How
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import best_gpu
from tui_ft.advise.way_step import VIRTUAL_TOKENS, alpha_of, attention, dropout, targets
from tui_ft.advise.ways import WAYS, is_adapter
from tui_ft.advise.writing.hardware import hardware_choices
from tui_ft.advise.writing.online import held_out_choices, online_choices
from tui_ft.advise.writing.recipes import fields_of
from tui_ft.advise.writing.training import from_node, training_choices
from tui_ft.spec import RunSpec, build_spec

_NAME_LENGTH: Final = 64


def run_choices(state: State, plan: Plan) -> tuple[Choice, ...]:
    """Return the fields of the run and why, in the order of a RunSpec."""
    return (
        *_model_and_data(state, plan),
        *_method(state, plan),
        *training_choices(state, plan),
        *hardware_choices(state, plan),
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


def _model_and_data(state: State, plan: Plan) -> list[Choice]:
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
    choices += _columns(state)
    choices += [_held_out(state), *held_out_choices(state)]
    choices += [*_objective(state), *online_choices(state, plan)]
    return choices


def _held_out(state: State) -> Choice:
    chosen = state.choice("evaluation")
    if chosen == "file" and state.data.eval:
        return from_node(state, "data.eval", "evaluation", state.data.eval)
    return from_node(state, "data.eval_fraction", "evaluation", HELD_OUT[chosen])


def _template(state: State) -> list[Choice]:
    """Return the chat template for a model that has none, where the rows are dialogues."""
    known, name = state.model.has_template, state.model.plain_template
    if known is None or known.value or not name:
        return []
    if state.choice("objective") in ("pretraining", "classification"):
        return []
    why = (
        "the model's tokenizer has none: roles in plain words, without new tokens; it is saved "
        "with what is trained, and has to be used with it"
    )
    source = at(sources.OPS, "3, Alpaca format")
    return [Choice(key="model.chat_template", value=name, reason=why, source=source)]


def _columns(state: State) -> list[Choice]:
    """Return how answers are read from rows that were made for something else."""
    data = state.data
    objective = state.choice("objective")
    if not data.columns and (is_online(objective) or _is_asked_later(state)):
        return _asked(state)
    answers = FIRST_STAGE.get(objective) == "sft"
    if not answers or not data.sft_columns:
        if not data.columns and state.choice("model_kind") == "chat":
            return _asked(state)
        given = Choice(
            key="data.columns", value=dict(data.columns), reason="as you mapped them", how="asked"
        )
        return [given] if data.columns else []
    asked = _through_template(state)
    what = {
        "preference": "the better answers alone",
        "kto": "the answers",
        "text_label": "the class as the answer",
    }.get(data.format.value if data.format is not None else "", "the answers")
    why = f"{what}, which is what supervised fine-tuning learns from"
    columns = {asked.get(part, part): name for part, name in data.sft_columns.items()}
    if asked:
        why += "; asked through the chat template, not gone on from as text"
    return [Choice(key="data.columns", value=columns, reason=why)]


def _through_template(state: State) -> dict[str, str]:
    """Return how parts of plain text are called where they go through the chat template.

    A class always does: right behind a text it would be read as its next word.
    """
    chat = state.choice("model_kind") == "chat" and bool(state.data.asked_columns)
    labels = state.choice("teaches") == "labels"
    return {"prompt": "instruction", "completion": "output"} if chat or labels else {}


def _is_asked_later(state: State) -> bool:
    """Tell whether a later stage asks what this one learns to answer, and so in the same form."""
    later = is_online(last_of(state.choice("objective")))
    return later and state.choice("teaches") == "answers"


def _asked(state: State) -> list[Choice]:
    """Return how prompts, and what is right, are read from rows of texts to answer."""
    check, online = state.data.check, is_online(last_of(state.choice("objective")))
    if check is not None and check.value.columns and online:
        why = f"{check.value.what}; the prompts are asked through the chat template"
        return [Choice(key="data.columns", value=dict(check.value.columns), reason=why)]
    if state.data.asked_columns and state.choice("model_kind") == "chat":
        why = "the prompts are asked through the chat template, not gone on from as text"
        return [Choice(key="data.columns", value=dict(state.data.asked_columns), reason=why)]
    return []


def _objective(state: State) -> list[Choice]:
    """Return the first stage's objective, and what is particular to it."""
    objective = state.choice("objective")
    kind = FIRST_STAGE.get(objective)
    if kind is None:
        return []
    choices = [from_node(state, "objective.kind", "objective", kind)]
    if kind == "sft":
        why = "the answers alone are learned, not the questions"
        source = at(sources.PART3, "6, completion-only loss")
        choices.append(
            Choice(key="objective.loss_on", value="assistant", reason=why, source=source)
        )
    return [*choices, *fields_of(kind)]


def _method(state: State, plan: Plan) -> list[Choice]:
    way = WAYS[plan.way]
    choices = [from_node(state, "method.kind", "method", way.kind)]
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
        from_node(state, "method.r", "rank", rank),
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
