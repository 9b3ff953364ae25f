"""Whether supervised fine-tuning can learn from rows of a format; where it cannot, the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tui_ft import text
from tui_ft.data.format_table import objectives_of
from tui_ft.data.formats import Detection
from tui_ft.data.messages import is_hh_dialogue, is_whole_dialogue, parsed
from tui_ft.data.rows import Row


def sft_refusal(detection: Detection, rows: Sequence[Row]) -> str | None:
    """Return why supervised fine-tuning cannot learn from such rows, and what to do; else None.

    Args:
        detection: their format.
        rows: the rows it was found by: what to do depends on what stands in the columns.
    """
    if "sft" in objectives_of(detection.format):
        return None
    columns = {part: text.one_line(name, 40) for part, name in detection.columns.items()}
    match detection.format:
        case "preference":
            return (
                f"the rows hold preferences (`{columns['chosen']}` and `{columns['rejected']}`), "
                "and supervised fine-tuning learns from one answer. To learn from the chosen ones, "
                f"set data.columns to {_chosen_way(columns, _first(detection, rows, 'chosen'))}"
            )
        case "kto":
            return (
                "the rows hold answers judged good or bad, and supervised fine-tuning would learn "
                f"the bad ones too: keep the rows whose `{columns['label']}` is true, and set "
                f"data.columns to {_judged_way(columns)}"
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
        "the rows hold texts with a class, which is for classification. To learn to answer with "
        f"the class, {answer}; to learn the texts, set data.columns to {{text: {said}}}"
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
