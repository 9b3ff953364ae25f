"""Third stage: which weights are trained, by the rows and by what fits the GPUs as they are now."""

from __future__ import annotations

import math
from typing import Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.candidates import best_fitting
from tui_ft.advise.node import END, Answer, Branch, Node, Range, Rule, always, by_rules, chose
from tui_ft.advise.objective import is_supervised
from tui_ft.advise.online import GROUPS, is_online
from tui_ft.advise.plans import FULL_PASS_TOKENS, MOST_PARTS, longest_option
from tui_ft.advise.situation import How, weakest
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import used_gpus
from tui_ft.advise.ways import WAYS, is_adapter
from tui_ft.models import architecture_of
from tui_ft.spec.online import GENERATES

FEW: Final = 1_000
MANY: Final = 100_000
_ABOUT: Final = 0.9
_WITH_REWARD: Final = ("reward_then_rloo", "reward_then_ppo")
_TREE = at(sources.OPS, "decision tree")
_RANKS = at(sources.EXPERT, "quick reference")
_PACKING_SAVES: Final = 0.3
"""Share of sequences that packing has to save to be worth its trouble."""
_DEFAULT_LENGTH: Final = 1024
_STEP, _MARGIN = 64, 1.25
_TEMPLATE: Final = 64
"""Tokens that a chat template adds to a question and its answer, a short system message with it."""
ANSWERS_EACH: Final = 64
"""Answers that each GPU gives to a step: so many take about as long as a few, and from there on
learning from them takes the time."""
MOST_ANSWERS: Final = 512
"""Answers of a step from which more GPUs shorten it rather than make it larger."""
_IN_4_BITS: Final = 0.53
"""Bytes of a weight, with what it is scaled by."""
_SMALL_MODEL: Final = 1_000_000_000


def _rows(state: State) -> Answer:
    rows = state.rows
    if rows is None:
        return Answer("medium", "assumed", "not known; most data sets are of this size", _TREE)
    said = f"{rows:,} usable rows"
    if rows < FEW * _ABOUT:
        return Answer("few", "measured", said, _TREE)
    return Answer("many" if rows > MANY else "medium", "measured", said, _TREE)


def _is_small_encoder(state: State) -> bool:
    parameters = state.model.parameters
    small = parameters is None or parameters.value < _SMALL_MODEL
    return state.choice("model_kind") == "encoder" and small


_CAPACITY_RULES: Final = (
    Rule(
        chose("approach", "full_training"),
        "all",
        "new capabilities go into every weight",
        at(sources.LESSON, "full training"),
    ),
    Rule(_is_small_encoder, "all", "an encoder is small: all of it is trained", sources.PART3),
    Rule(
        chose("objective", "pretraining"),
        "all",
        "new text changes much: all weights where there is room, near it where there is none",
        at(sources.COMPLETE, "2.3 and 3.3"),
    ),
    Rule(
        chose("objective", *GENERATES),
        "some",
        "an answer's reward is little to learn from: a small update holds it, r=16 is plenty",
        sources.NO_REGRET,
    ),
    Rule(
        chose("objective", "reward", *_WITH_REWARD),
        "some",
        "a score is learned beside what the model knows already",
        at(sources.PART3, "7"),
    ),
    Rule(
        chose("objective", "dpo", "kto", "orpo"),
        "some",
        "preferences nudge a model that answers already; r=16 in the guides' DPO recipes",
        at(sources.PART3, "7"),
    ),
    Rule(
        chose("rows", "many"),
        "all",
        "more than 100,000 rows hold more than a small update can take up",
        _TREE,
    ),
    Rule(
        chose("rows", "few"),
        "little",
        "few rows: a small update cannot learn them by heart so easily",
        _RANKS,
    ),
    Rule(chose("goal", "style"), "little", "style and format alone: minimal parameters", _RANKS),
    Rule(
        chose("goal", "domain", "language"),
        "large",
        "reasoning and a domain's language need more capacity",
        _RANKS,
    ),
    Rule(always, "some", "the default, which serves most tasks well", _RANKS),
)


def _max_length(state: State) -> Answer:
    if is_online(state.choice("objective")):
        return _room_for_answers(state)
    return _rows_length(state)


def _room_for_answers(state: State) -> Answer:
    """Return the tokens of a prompt and its answer: a prompt is no longer than its row."""
    rows, answer = _rows_length(state), int(state.choice("answer_length"))
    prompt, longest, share = int(rows.choice), state.data.longest, state.data.prompt_share
    if longest is not None and share is not None:
        likely = _STEP * math.ceil(_MARGIN * share.value * longest.value / _STEP)
        if likely < prompt:
            why = (
                f"{likely:,} for the prompt (the longest of those looked at is "
                f"{text.percent(share.value)} of the longest row) and {answer:,} for the answer"
            )
            return Answer(str(likely + answer), share.how, why, sources.OWN)
    whole = prompt + answer
    if state.model.context is not None:
        whole = min(whole, state.model.context.value)
    why = f"{whole - answer:,} for the prompt ({rows.reason}) and {answer:,} for the answer"
    return Answer(str(whole), rows.how, why, rows.source)


def _rows_length(state: State) -> Answer:
    context = state.model.context
    known = state.data.max_length
    if known is None:
        length: int = _DEFAULT_LENGTH
        how: How = "assumed"
        why = "tokens were not counted; trl's default"
    else:
        length, how = known.value, known.how
        why = known.note or "by the rows"
        if state.data.asked_columns and state.choice("model_kind") == "chat":
            length += _TEMPLATE
            why += f"; {_TEMPLATE} more for the chat template, without which they were counted"
    if context is not None and length > context.value:
        why = f"the model's context is {context.value:,} tokens, {length:,} would be by the rows"
        return Answer(str(context.value), weakest(how, context.how), why, "the model's config.json")
    return Answer(str(length), how, why, at(sources.OWN, "99 % of rows whole"))


def _packing(state: State) -> Answer:
    source = at(sources.EXPERT, "training with TRL")
    objective = state.choice("objective")
    if not is_supervised(objective):
        return Answer("no", "measured", "only supervised rows can be packed", source)
    length = int(state.choice("max_length"))
    option = longest_option(state.data, length)
    if option is None or not state.rows:
        return _packing_unseen(objective)
    saves = max(0.0, 1 - option.sequences / state.rows)
    said = f"it saves {text.percent(saves)} of the sequences at {length:,} tokens"
    if objective == "pretraining":
        return Answer("yes", "measured", f"{said}, and running text has no rows of its own", source)
    if saves < _PACKING_SAVES:
        return Answer("no", "measured", f"{said}: not worth it", at(sources.PART3, "5"))
    return _packing_by_kernel(state, said)


def _packing_unseen(objective: str) -> Answer:
    if objective == "pretraining":
        return Answer("yes", "assumed", "running text is packed as a rule", sources.OWN)
    return Answer("no", "assumed", "tokens were not counted, so nobody knows what it saves")


def _packing_by_kernel(state: State, said: str) -> Answer:
    """Answer for rows of which packing would save many sequences."""
    tokens, rows = state.data.tokens, state.rows or 1
    if tokens is not None and tokens.value / rows >= FULL_PASS_TOKENS:
        why = f"{said}, but a row of {tokens.value // rows:,} tokens fills a pass by itself"
        return Answer("no", "measured", why, sources.OWN)
    flash = state.situation.flash_attention
    if flash is None or not flash.value:
        how: How = "assumed" if flash is None else flash.how
        why = (
            f"{said}, but without flash-attn the kernel builds a mask over the whole sequence, "
            "which costs what packing saves"
        )
        return Answer("no", how, why, at(sources.PART3, "5"))
    why = f"{said}; flash-attn keeps the rows apart"
    return Answer("yes", "measured", why, at(sources.EXPERT, "training with TRL"))


def _effective_batch(state: State) -> Answer:
    rows = state.choice("rows")
    how = state.how("rows")
    source = (
        "8-128 in Part 3, 9; 16 in the recipes of Complete Guide 4.5, Ops Guide and Expert Guide"
    )
    objective = state.choice("objective")
    if is_online(objective):
        return _answers_a_step(state)
    if objective.startswith(("reward", "dpo", "kto", "orpo")):
        what = "judged rows" if objective == "kto" else "pairs"
        size, why = "16", f"16 {what} a step, as in the guides' recipes for pairs"
        if rows == "few":
            size, why = "8", f"few {what}: smaller steps, so that there are enough of them"
        return Answer(size, how, why, source)
    if objective == "classification":
        why = "short texts and one label each: 32 in the recipe"
        return Answer("32", how, why, at(sources.PART3, "2"))
    if rows == "few":
        return Answer("8", how, "few rows: smaller steps, so that there are enough of them", source)
    if rows == "many":
        return Answer("64", how, "many rows: larger steps, with less noise", source)
    return Answer("16", how, "16 rows a step in four of five guides (Part 3 takes 32)", source)


def _answers_a_step(state: State) -> Answer:
    """Return how many answers make a step, prompts times the answers to each."""
    how = state.how("rows")
    objective = state.choice("objective")
    if objective not in GROUPS:
        why = "32 answers a step and 128 a rollout, as in the recipe"
        return Answer("32", how, why, at(sources.COMPLETE, "7.4"))
    group, gpus = int(state.choice("group")), max(1, len(used_gpus(state)))
    each, said = _answers_each(state, group)
    prompts = max(1, round(min(MOST_ANSWERS, each * gpus) / group))
    spread = f" over {gpus} GPUs" if gpus > 1 else ""
    why = (
        f"{prompts} prompts of {group} answers{spread}, {said}; with fewer the step follows single "
        "prompts (DeepSeekMath: 1,024 answers)"
    )
    return Answer(str(prompts * group), how, why, at(sources.GRPO, "4.2"))


def _answers_each(state: State, group: int) -> tuple[int, str]:
    """Return how many answers each GPU gives to a step, and why.

    Keys and values of those that are generated at once have half of what the weights leave, in 4
    bits at least; and a step comes in four parts at most.
    """
    usual = f"{ANSWERS_EACH} a GPU, which take about as long as a few"
    config, parameters = state.model.config, state.model.parameters
    free = min((gpu.free or 0 for gpu in used_gpus(state)), default=0)
    if config is None or parameters is None or not free:
        return ANSWERS_EACH, usual
    held = int(_IN_4_BITS * parameters.value)
    one = architecture_of(config).kv_cache_bytes(int(state.choice("max_length")), 2)
    at_once = max(1, (free - held) // 2 // max(1, one))
    fit = group * max(1, MOST_PARTS * at_once // group)
    if fit >= ANSWERS_EACH:
        return ANSWERS_EACH, usual
    return fit, f"{fit} a GPU, {MOST_PARTS} times what {text.memory(free)} hold at once"


def _gpus(state: State) -> Answer:
    known = state.situation.gpus
    if known is None:
        return Answer("one", "assumed", "no GPU was looked for", _TREE)
    if not known.value:
        return Answer("none", known.how, known.note or "there is none")
    if len(known.value) == 1:
        return Answer("one", known.how, _in_words(state), _TREE)
    return Answer("several", known.how, _in_words(state), _TREE)


def _in_words(state: State) -> str:
    said = []
    for gpu in state.gpus[:4]:
        held = f", the rest held by {', '.join(gpu.holders)}" if gpu.holders else ""
        free = f"{text.memory(gpu.free)} free of {text.memory(gpu.total)}"
        said.append(f"GPU {gpu.index} {gpu.name}: {free}{held}")
    more = len(state.gpus) - len(said)
    return "; ".join(said) + (f"; {more} more" if more > 0 else "")


def _method(state: State) -> Answer:
    found = best_fitting(state)
    how: How = state.situation.gpus.how if state.situation.gpus is not None else "assumed"
    if found.guessed:
        why = f"{found.reason}; QLoRA takes least, so it is the safest to start with"
        return Answer(found.way, "assumed", why, at(sources.OPS, "best practices"))
    return Answer(found.way, weakest(how, state.how("capacity")), found.reason, found.source)


def _rank(state: State) -> Answer:
    capacity = state.choice("capacity")
    how = state.how("capacity")
    by_capacity = {
        "little": ("8", "a small update: style, format or few rows"),
        "some": ("16", "the default starting point"),
        "large": ("32", "reasoning and domains: 32 to 64; 32 first"),
        "all": ("128", "near full fine-tuning, which it stands in for"),
    }
    rank, why = by_capacity[capacity]
    if capacity in ("little", "some"):
        why += " (Complete Guide, 4.5 and Part 3, 4 take 64 with QLoRA)"
    return Answer(rank, how, why, _RANKS)


NODES: Final = (
    Node(
        "rows",
        "method",
        "How many rows are there to learn from?",
        (
            Branch("few", "fewer than about 1,000", "capacity"),
            Branch("medium", "1,000 to 100,000", "capacity"),
            Branch("many", "more than 100,000", "capacity"),
        ),
        _rows,
    ),
    Node(
        "capacity",
        "method",
        "How much of the model has to change?",
        (
            Branch("little", "little: how it answers", "max_length"),
            Branch("some", "some", "max_length"),
            Branch("large", "much: how it thinks", "max_length"),
            Branch("all", "as much as can be: all weights, where there is room", "max_length"),
        ),
        by_rules(_CAPACITY_RULES, "goal", "objective", "rows"),
    ),
    Node(
        "max_length",
        "method",
        "How many tokens may a row have?",
        tuple(
            Branch(str(size), f"{size:,} tokens", "packing")
            for size in (256, 512, 1024, 2048, 4096, 8192)
        ),
        _max_length,
        Range(8, 1 << 20),
    ),
    Node(
        "packing",
        "method",
        "Are short rows joined into one sequence?",
        (
            Branch("no", "no, rows are padded", "effective_batch"),
            Branch("yes", "yes", "effective_batch"),
        ),
        _packing,
    ),
    Node(
        "effective_batch",
        "method",
        "How many rows go into one step of the optimizer?",
        tuple(Branch(str(size), f"{size} rows", "gpus") for size in (8, 16, 32, 64, 128)),
        _effective_batch,
        Range(1, 4096),
    ),
    Node(
        "gpus",
        "method",
        "Which GPUs can it have?",
        (
            Branch("none", "none: the CPU", "method"),
            Branch("one", "one", "method"),
            Branch("several", "several", "method"),
        ),
        _gpus,
    ),
    Node(
        "method",
        "method",
        "Which way to train fits, and suits the rows best?",
        tuple(
            Branch(
                way.id,
                way.name,
                END if way.id == "smaller" else "rank" if is_adapter(way.id) else "checkpointing",
            )
            for way in WAYS.values()
        ),
        _method,
    ),
    Node(
        "rank",
        "method",
        "Which rank has the update?",
        tuple(Branch(str(r), f"rank {r}", "checkpointing") for r in (4, 8, 16, 32, 64, 128, 256)),
        _rank,
        Range(1, 1024),
    ),
)
