"""Second stage: what is learned from the rows, and in which order."""

from __future__ import annotations

from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.node import END, Answer, Branch, Node, Rule, always, both, by_rules, chose
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

FIRST_STAGE: Final = {
    "sft": "sft",
    "pretraining": "pretraining",
    "sft_then_dpo": "sft",
    "sft_then_kto": "sft",
    "dpo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "classification": "classification",
}
"""What a RunSpec calls the first stage of an objective; what is not here it cannot say yet."""

SUPERVISED: Final = frozenset({"sft", "pretraining", "sft_then_dpo", "sft_then_kto"})
"""Objectives whose first stage learns answers or texts, which may be packed."""


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
        both(_pairs, chose("approach", "sft", "sft_then_rag")),
        "sft",
        "the better answers alone are imitated; the worse ones stay unused",
        _SFT_DPO,
    ),
    Rule(
        both(_pairs, chose("model_kind", "base")),
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
        both(_judgements, chose("model_kind", "base")),
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

_NEXT: Final = "rows"

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
            Branch("sft", "supervised fine-tuning (SFT)", _NEXT),
            Branch("sft_then_dpo", "SFT on the better answers, then DPO", _NEXT),
            Branch("dpo", "DPO on the pairs", _NEXT),
            Branch("orpo", "ORPO: answers and preference in one stage, no reference", _NEXT),
            Branch("sft_then_kto", "SFT on the good answers, then KTO", _NEXT),
            Branch("kto", "KTO on the judgements", _NEXT),
            Branch("grpo", "GRPO with a reward", _NEXT),
            Branch("pretraining", "continued pretraining: every token of the text", _NEXT),
            Branch("classification", "a classification head", _NEXT),
            Branch("none", "nothing can be learned from these rows yet", END),
        ),
        by_rules(_OBJECTIVE_RULES, "teaches", "model_kind"),
    ),
)
