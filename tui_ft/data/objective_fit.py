"""Whether an objective can learn from rows of a format; where it cannot, the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tui_ft import text
from tui_ft.data.format_table import objectives_of
from tui_ft.data.formats import Detection
from tui_ft.data.messages import is_hh_dialogue, is_whole_dialogue, parsed
from tui_ft.data.rows import Row

_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "pretraining": ("messages", "prompt_completion", "alpaca"),
    "kto": ("preference",),
}
"""Formats that an objective takes beside its own: rendered dialogues, pairs one by one."""
_WORD: Final[Mapping[str, str]] = {
    "dpo": "DPO",
    "orpo": "ORPO",
    "cpo": "CPO",
    "reward": "a reward model",
    "kto": "KTO",
    "classification": "classification",
    "pretraining": "pretraining",
}
_HELD: Final[Mapping[str, str]] = {
    "messages": "dialogues",
    "prompt_completion": "one answer each",
    "alpaca": "one answer each",
    "text": "plain texts",
    "preference": "preferences (a better and a worse answer)",
    "kto": "answers judged good or bad, one by one",
    "prompt_only": "prompts without answers",
    "text_label": "texts with a class",
}


def objective_refusal(objective: str, detection: Detection, rows: Sequence[Row]) -> str | None:
    """Return why ``objective`` cannot learn from such rows, and what to do; else None.

    Args:
        objective: its kind, as a RunSpec names it.
        detection: the format of the rows.
        rows: the rows it was found by: what to do depends on what stands in the columns.
    """
    if objective in objectives_of(detection.format):
        return None
    if detection.format in _ALSO.get(objective, ()):
        return None
    if objective == "sft":
        return _sft_refusal(detection, rows)
    held = f"the rows hold {_HELD[detection.format]}"
    return f"{held}, and {_WORD[objective]} {_way(objective, detection)}"


def _way(objective: str, detection: Detection) -> str:
    """Return what the objective learns from, and what to do with rows of another format."""
    fitting = next((kind for kind in objectives_of(detection.format) if kind in _FITS), None)
    other = f", or set objective.kind to {fitting}, which learns from these rows" if fitting else ""
    column = text.one_line(next(iter(detection.columns.values()), "text"), 40)
    learnt, columns = _NEEDS.get(objective, _PAIRS)
    return f"learns from {learnt} with data.columns, such as {columns.format(column)}{other}"


_PAIRS: Final = (
    "pairs: name their columns",
    "{{prompt: question, chosen: better, rejected: worse}}",
)
_NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "kto": (
        "answers with a verdict: name its column",
        "{{prompt: question, completion: answer, label: good}}",
    ),
    "classification": (
        "texts with a class: name the columns",
        "{{text: review, label: sentiment}}",
    ),
    "pretraining": ("whole texts: name their column", "{{text: {}}}"),
}
"""What an objective learns from, and an example of the columns to name; all others take pairs."""
_FITS: Final = ("sft", "dpo", "kto", "classification")
"""The objectives that are named as the one to take instead, of those that fit a format."""


def _sft_refusal(detection: Detection, rows: Sequence[Row]) -> str:
    columns = {part: text.one_line(name, 40) for part, name in detection.columns.items()}
    match detection.format:
        case "preference":
            return (
                f"the rows hold preferences (`{columns['chosen']}` and `{columns['rejected']}`), "
                "and supervised fine-tuning learns from one answer. To learn from the pairs, set "
                "objective.kind to dpo; to learn from the chosen answers, "
                f"set data.columns to {_chosen_way(columns, _first(detection, rows, 'chosen'))}"
            )
        case "kto":
            return (
                "the rows hold answers judged good or bad, and supervised fine-tuning would learn "
                "the bad ones too: set objective.kind to kto, which learns from both, or keep the "
                f"rows whose `{columns['label']}` is true and set data.columns to "
                f"{_judged_way(columns)}"
            )
        case "text_label":
            return _label_refusal(columns, _first(detection, rows, "label"))
        case _:
            return _prompt_refusal(columns)


def _first(detection: Detection, rows: Sequence[Row], part: str) -> object:
    """Return the first value that plays ``part``."""
    column = detection.columns[part]
    values = (row.values.get(column) for row in rows)
    return next((value for value in values if value is not None), None)


def _chosen_way(columns: Mapping[str, str], chosen: object) -> str:
    name = columns["chosen"]
    if is_hh_dialogue(chosen):
        return f"{{text: {name}}}"
    if is_whole_dialogue(parsed(chosen)):
        return f"{{messages: {name}}}"
    if "prompt" in columns:
        return f"{{prompt: {columns['prompt']}, completion: {name}}}"
    if "instruction" in columns:
        return f"{{instruction: {columns['instruction']}, output: {name}}}"
    return f"{{text: {name}}}"


def _judged_way(columns: Mapping[str, str]) -> str:
    parts = [part for part in columns if part not in ("label", "input", "system", "tools")]
    return "{" + ", ".join(f"{part}: {columns[part]}" for part in parts) + "}"


def _label_refusal(columns: Mapping[str, str], label: object) -> str:
    said, name = columns["text"], columns["label"]
    words = isinstance(label, str) and not label.strip().lstrip("-").isdigit()
    answer = (
        f"set data.columns to {{prompt: {said}, completion: {name}}}"
        if words
        else f"write `{name}` as a word first"
    )
    return (
        "the rows hold texts with a class: set objective.kind to classification. To learn to "
        f"answer with the class instead, {answer}; to learn the texts, set data.columns to "
        f"{{text: {said}}}"
    )


def _prompt_refusal(columns: Mapping[str, str]) -> str:
    if "messages" in columns:
        return (
            "most dialogues end with the user, so the last answer, which supervised fine-tuning "
            "learns from, is missing. To learn from the answers before it, set data.columns to "
            f"{{messages: {columns['messages']}}}"
        )
    return (
        "the rows hold prompts without answers: nothing to learn from in supervised fine-tuning. "
        "Map the answers' column with data.columns, such as {completion: answer}"
    )
