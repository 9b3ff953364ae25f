"""Whether an objective can learn from rows of a format; where it cannot, the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tui_ft import text
from tui_ft.data.files.rows import Row
from tui_ft.data.format_table import objectives_of
from tui_ft.data.formats import Detection
from tui_ft.data.messages import is_hh_dialogue, is_whole_dialogue, parsed

_ASKS: Final = ("messages", "prompt_completion", "alpaca", "preference", "kto")
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "pretraining": ("messages", "prompt_completion", "alpaca"),
    "kto": ("preference",),
    **dict.fromkeys(("grpo", "rloo", "ppo"), _ASKS),
}
"""Formats that an objective takes beside its own: rendered dialogues, pairs one by one, of answers
what they answer (and the answer, for rewards to compare with)."""
_WORD: Final[Mapping[str, str]] = {
    "dpo": "DPO",
    "orpo": "ORPO",
    "cpo": "CPO",
    "reward": "a reward model",
    "kto": "KTO",
    "classification": "classification",
    "pretraining": "pretraining",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "ppo": "PPO",
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
    **dict.fromkeys(
        ("grpo", "rloo", "ppo"),
        ("prompts: name their column", "{{prompt: {}}}"),
    ),
}
"""What an objective learns from, and an example of the columns to name; all others take pairs."""
_FITS: Final = ("sft", "dpo", "kto", "classification")
"""The objectives that are named as the one to take instead, of those that fit a format."""


def _sft_refusal(detection: Detection, rows: Sequence[Row]) -> str:
    columns = {part: text.one_line(name, 40) for part, name in detection.columns.items()}
    match detection.format:
        case "preference":
            way = _chosen_way(columns, _first(detection, rows, "chosen"))
            return (
                f"the rows hold preferences (`{columns['chosen']}` and `{columns['rejected']}`), "
                "and supervised fine-tuning learns from one answer. To learn from the pairs, set "
                "objective.kind to dpo; to learn from the chosen answers, "
                f"set data.columns to {_in_words(way)}"
            )
        case "kto":
            return (
                "the rows hold answers judged good or bad, and supervised fine-tuning would learn "
                "the bad ones too: set objective.kind to kto, which learns from both, or keep the "
                f"rows whose `{columns['label']}` is true and set data.columns to "
                f"{_in_words(_judged_way(columns))}"
            )
        case "text_label":
            return _label_refusal(columns, _first(detection, rows, "label"))
        case _:
            return _prompt_refusal(columns)


def sft_columns(detection: Detection, rows: Sequence[Row]) -> dict[str, str] | None:
    """Return `data.columns` by which answers can be learned from rows made for something else.

    None where no mapping makes good answers of them: of judged rows the bad ones have to be dropped
    first, a class that is a number has no name, and prompts have no answers.

    Args:
        detection: their format.
        rows: the rows it was found by.
    """
    columns = dict(detection.columns)
    if detection.format == "preference":
        return _chosen_way(columns, _first(detection, rows, "chosen"))
    if detection.format == "text_label" and _is_word(_first(detection, rows, "label")):
        return _label_way(columns)
    return None


def _first(detection: Detection, rows: Sequence[Row], part: str) -> object:
    """Return the first value that plays ``part``."""
    column = detection.columns[part]
    values = (row.values.get(column) for row in rows)
    return next((value for value in values if value is not None), None)


def _chosen_way(columns: Mapping[str, str], chosen: object) -> dict[str, str]:
    name = columns["chosen"]
    if is_hh_dialogue(chosen):
        return {"text": name}
    if is_whole_dialogue(parsed(chosen)):
        return {"messages": name}
    if "prompt" in columns:
        return {"prompt": columns["prompt"], "completion": name}
    if "instruction" in columns:
        return {"instruction": columns["instruction"], "output": name}
    return {"text": name}


def _judged_way(columns: Mapping[str, str]) -> dict[str, str]:
    left_out = ("label", "input", "system", "tools")
    return {part: name for part, name in columns.items() if part not in left_out}


def _label_way(columns: Mapping[str, str]) -> dict[str, str]:
    return {"prompt": columns["text"], "completion": columns["label"]}


def _in_words(columns: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{part}: {name}" for part, name in columns.items()) + "}"


def _is_word(label: object) -> bool:
    return isinstance(label, str) and not label.strip().lstrip("-").isdigit()


def _label_refusal(columns: Mapping[str, str], label: object) -> str:
    said, name = columns["text"], columns["label"]
    answer = (
        f"set data.columns to {_in_words(_label_way(columns))}"
        if _is_word(label)
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
