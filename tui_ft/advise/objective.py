"""Second stage: what is learned from the rows, and in which order."""

from __future__ import annotations

from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.node import END, Answer, Branch, Node, Rule, always, both, by_rules, chose
from tui_ft.advise.online import last_of, learns_a_reward
from tui_ft.advise.sources import at
from tui_ft.advise.state import State

_SFT_DPO = at(sources.EXPERT, "SFT vs DPO vs RLHF")
_NO_SFT = at(sources.EXPERT, "anti-patterns: skipping SFT before DPO")

_TEACHES: Final = {
    "sft": ("answers", "rows of prompts and answers"),
    "pretraining": ("text", "rows of running text"),
    "dpo": ("pairs", "rows of a better and a worse answer"),
    "kto": ("judgements", "rows of answers judged good or bad"),
    "grpo": ("prompts", "rows of prompts without answers"),
    "classification": ("labels", "rows of texts with a class"),
}

_NEXT: Final = "rows"

_LABELS: Final = {
    "sft": "supervised fine-tuning (SFT)",
    "sft_then_dpo": "SFT on the better answers, then DPO",
    "dpo": "DPO on the pairs",
    "orpo": "ORPO: answers and preference in one stage, no reference",
    "sft_then_kto": "SFT on the good answers, then KTO",
    "kto": "KTO on the judgements",
    "grpo": "GRPO: its answers to a prompt are compared by a reward",
    "sft_then_grpo": "SFT, so that answers are in form, then GRPO",
    "rloo": "RLOO with a reward",
    "reward_then_rloo": "a reward model from the pairs, then RLOO with it",
    "sft_then_reward_then_rloo": "SFT, a reward model on it, then RLOO with both",
    "ppo": "PPO with a reward",
    "reward_then_ppo": "a reward model from the pairs, then PPO with it",
    "sft_then_reward_then_ppo": "SFT, a reward model on it, then PPO with both (RLHF)",
    "reward": "a reward model alone: for best-of-n and for filtering",
    "pretraining": "continued pretraining: every token of the text",
    "classification": "a classification head",
}
FIRST_STAGE: Final = {objective: objective.partition("_then_")[0] for objective in _LABELS}
"""What a RunSpec calls the first stage of an objective."""
_SUPERVISED: Final = ("sft", "pretraining")


def is_supervised(objective: str) -> bool:
    """Tell whether the first stage learns answers or texts, which may be packed."""
    return FIRST_STAGE.get(objective) in _SUPERVISED


def _after(objective: str) -> str:
    """Return what is asked next: of what answers, how."""
    return {"grpo": "group", "rloo": "group", "ppo": "kl"}.get(last_of(objective), _NEXT)


def _teaches(state: State) -> Answer:
    known = state.data.objectives
    if known is None:
        return Answer("answers", "assumed", "nobody has looked at the rows yet")
    if not known.value:
        return Answer("nothing", known.how, "no format was recognised in the rows")
    choice, what = _TEACHES.get(known.value[0], ("answers", "rows of answers"))
    format = f" ({state.data.format.value})" if state.data.format is not None else ""
    return Answer(choice, known.how, f"{what}{format}")


def _model_kind(state: State) -> Answer:
    kind = state.model.kind
    if kind is None:
        why = "nothing tells; a chat model is what most people start from"
        return Answer("chat", "assumed", why)
    return Answer(kind.value, kind.how, kind.note or "as you said", at(sources.COMPLETE, "1.1"))


_pairs = chose("teaches", "pairs")
_judgements = chose("teaches", "judgements")
_labels = chose("teaches", "labels")

_base = chose("model_kind", "base")


def _optimises(state: State) -> bool:
    """Tell whether a reward is what is learned from."""
    return state.passed("on_policy") == "yes" or state.choice("approach") == "rl"


def _has_own_reward(state: State) -> bool:
    """Tell whether answers can be scored: of judgements no reward model can be learned."""
    return not _judgements(state) or state.situation.reward is not None


_rl = chose("approach", "rl")
_learned = both(_optimises, learns_a_reward)


def _shows_working(state: State) -> bool:
    check = state.data.check
    return check is None or check.value.worked


_worked = both(_rl, chose("teaches", "answers"), _shows_working)

_OBJECTIVE_RULES: Final = (
    Rule(
        chose("teaches", "nothing"),
        "none",
        "rows without a format teach nothing: map their columns first",
    ),
    Rule(
        both(chose("model_kind", "encoder"), lambda state: not _labels(state)),
        "none",
        "an encoder does not write: it takes texts with classes, or another model is taken",
        at(sources.PART3, "2"),
    ),
    Rule(
        chose("teaches", "text"),
        "pretraining",
        "every token of running text is learned, cut into sequences of one length",
        at(sources.COMPLETE, "2.3"),
    ),
    Rule(
        both(_pairs, _learned, _base),
        "sft_then_reward_then_rloo",
        "SFT, so that it answers at all; a reward model from the pairs; then RLOO, which does "
        "better than PPO and holds no value model",
        f"{at(sources.INSTRUCT, '3')}; {sources.RLOO}",
    ),
    Rule(
        both(_pairs, _learned),
        "reward_then_rloo",
        "a reward model from the pairs, then RLOO with it, which does better than PPO and holds no "
        "value model",
        sources.RLOO,
    ),
    Rule(
        both(_worked, chose("solves", "unformed")),
        "sft_then_grpo",
        "SFT on the worked answers first, so that answers are in form and some earn a reward; then "
        "GRPO, by what turns out right",
        at(sources.R1, "2.3, cold start"),
    ),
    Rule(
        both(_worked, chose("solves", "never")),
        "sft",
        "what never turns out right teaches nothing: SFT on the worked answers, or a larger model; "
        "GRPO once it gets about one in twenty right",
        at(sources.DAPO, "3.2"),
    ),
    Rule(
        both(_optimises, chose("reward", "model"), _has_own_reward),
        "rloo",
        "a reward model judges its answers: RLOO, which does better than PPO and holds no value "
        "model",
        sources.RLOO,
    ),
    Rule(
        both(_optimises, _has_own_reward),
        "grpo",
        "GRPO: several answers to each prompt, and those win that earn more; no value model",
        sources.GRPO,
    ),
    Rule(
        both(_pairs, chose("approach", "sft", "sft_then_rag")),
        "sft",
        "the better answers alone are imitated; the worse ones stay unused",
        _SFT_DPO,
    ),
    Rule(
        both(_pairs, _base),
        "sft_then_dpo",
        "DPO on a base model rarely works well: first SFT on the better answers, so that it "
        "answers in the right form at all, then DPO from there",
        _NO_SFT,
    ),
    Rule(
        _pairs,
        "dpo",
        "DPO: simpler and more stable than RLHF, and no reward model is needed",
        f"{at(sources.OPS, 'best practices')}; {sources.DPO}",
    ),
    Rule(
        both(_judgements, _base),
        "sft_then_kto",
        "a base model gets SFT first: it has to answer before its answers can be judged",
        _NO_SFT,
    ),
    Rule(
        _judgements,
        "kto",
        "single answers judged good or bad, without pairs",
        sources.KTO,
    ),
    Rule(
        chose("teaches", "prompts"),
        "grpo",
        "nothing to imitate: the model answers and a reward judges (GRPO; PPO and RLOO likewise)",
        at(sources.COMPLETE, "7"),
    ),
    Rule(
        both(
            _labels,
            lambda state: (
                bool(state.data.sft_columns) and not chose("model_kind", "encoder")(state)
            ),
        ),
        "sft",
        "a model that writes learns to answer with the class's name",
        at(sources.LESSON, "LoRA rank selection: classification"),
    ),
    Rule(
        _labels,
        "classification",
        "a head over the classes: one forward pass for each text, and scores for all classes",
        at(sources.PART3, "2"),
    ),
    Rule(
        always,
        "sft",
        "answers are imitated; loss on the answers alone",
        at(sources.PART3, "6, completion-only loss"),
    ),
)

NODES: Final = (
    Node(
        "teaches",
        "objective",
        "What can these rows teach?",
        (
            Branch("answers", "how to answer", "model_kind"),
            Branch("pairs", "which of two answers is better", "model_kind"),
            Branch("judgements", "which answers are good", "model_kind"),
            Branch("text", "how text of this kind goes on", "model_kind"),
            Branch("prompts", "what to be asked", "model_kind"),
            Branch("labels", "which class a text has", "model_kind"),
            Branch("nothing", "nothing that is recognised", "model_kind"),
        ),
        _teaches,
    ),
    Node(
        "model_kind",
        "objective",
        "What is the model now?",
        (
            Branch("base", "a base model: it goes on with text", "objective"),
            Branch("chat", "a chat model: it follows instructions", "objective"),
            Branch("encoder", "an encoder: it reads and does not write", "objective"),
        ),
        _model_kind,
    ),
    Node(
        "objective",
        "objective",
        "What is learned, and in which order?",
        (
            *(Branch(name, label, _after(name)) for name, label in _LABELS.items()),
            Branch("none", "nothing can be learned from these rows yet", END),
        ),
        by_rules(_OBJECTIVE_RULES, "teaches", "model_kind", "reward", "solves"),
    ),
)
