"""Second stage: what is learned from the rows, and in which order."""

from __future__ import annotations

from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.node import END, Answer, Branch, Node
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.memory.step import StepObjective

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

STEP_OBJECTIVES: Final[dict[str, StepObjective]] = {
    "sft": "sft",
    "pretraining": "sft",
    "sft_then_dpo": "sft",
    "sft_then_kto": "sft",
    "dpo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "grpo": "grpo",
    "classification": "classification",
}
"""What memory is asked for: of two stages, for the first."""

STARTS_AS_SFT: Final = frozenset({"sft", "pretraining", "sft_then_dpo", "sft_then_kto"})
"""Objectives whose first stage is supervised, which is what a RunSpec can say today."""


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


def _objective(state: State) -> Answer:
    choice, why, source = _best(state)
    return Answer(choice, state.how("goal", "approach", "teaches", "model_kind"), why, source)


def _best(state: State) -> tuple[str, str, str]:
    teaches, kind = state.choice("teaches"), state.choice("model_kind")
    if kind == "encoder" and teaches not in ("labels", "nothing"):
        why = "an encoder does not write: it takes texts with classes, or another model"
        return "none", why, at(sources.PART3, "2")
    match teaches:
        case "text":
            why = "every token of running text is learned, cut into sequences of one length"
            return "pretraining", why, at(sources.COMPLETE, "2.3")
        case "pairs":
            return _preferences(state, kind)
        case "judgements":
            if kind == "base":
                why = "a base model gets SFT first: it has to answer before answers can be judged"
                return "sft_then_kto", why, _NO_SFT
            return "kto", "single answers judged good or bad, without pairs", sources.KTO
        case "prompts":
            why = "nothing to imitate: the model answers, a reward judges (GRPO; PPO and RLOO too)"
            return "grpo", why, at(sources.COMPLETE, "7")
        case "labels":
            return _classes(state, kind)
        case "nothing":
            return "none", "rows without a format teach nothing: map their columns first", ""
        case _:
            why = "answers are imitated; loss on the answers alone"
            return "sft", why, at(sources.PART3, "6, completion-only loss")


def _preferences(state: State, kind: str) -> tuple[str, str, str]:
    if state.choice("approach") in ("sft", "sft_then_rag"):
        why = "the better answers alone are imitated; the worse ones stay unused"
        return "sft", why, _SFT_DPO
    if kind == "base":
        why = (
            "DPO on a base model rarely works well: first SFT on the better answers, so that it "
            "answers in the right form at all, then DPO from there"
        )
        return "sft_then_dpo", why, _NO_SFT
    why = "DPO: simpler and more stable than RLHF, and no reward model is needed"
    return "dpo", why, f"{at(sources.OPS, 'best practices')}; {sources.DPO}"


def _classes(state: State, kind: str) -> tuple[str, str, str]:
    if kind == "encoder" or not state.data.sft_columns:
        why = "a head over the classes: one forward pass, calibrated scores"
        return "classification", why, at(sources.PART3, "2")
    why = "a model that writes learns to answer with the class's name"
    return "sft", why, at(sources.LESSON, "LoRA rank selection: classification")


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
        _objective,
    ),
)
