"""The box that asks for a field's value, where it is more than a line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from textual.screen import Screen

from tui_ft.hardware import Snapshot
from tui_ft.screens.boxes.choose_model import ChooseModel
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.spec.draft import Draft
from tui_ft.spec.fields import SpecField
from tui_ft.survey.request import Request
from tui_ft.widgets.choose import Choice, Choose
from tui_ft.widgets.choose_gpus import ChooseGpus

_GPUS: Final = "hardware.gpus"
_MODEL: Final = "model.name_or_path"
_DATA: Final = ("data.train", "data.eval")

Latest = Callable[[], Snapshot | None]


def box_for(draft: Draft, one: SpecField, hardware: Latest) -> Screen[Any] | None:
    """Return the box that asks for a field's value; None where it is typed, or a flag turned."""
    now = draft.text_of(one)
    if one.key == _GPUS:
        chosen = draft.spec.hardware.gpus if draft.spec else []
        gpus = chosen if isinstance(chosen, list) else []
        return ChooseGpus(lambda: found.gpus if (found := hardware()) else (), gpus)
    if one.key == _MODEL:
        return ChooseModel(now if draft.is_set(one.key) else "")
    if one.key in _DATA:
        return OpenData()
    if one.kind == "choice":
        choices = [Choice(value, _meaning(draft, one, value)) for value in one.choices]
        return Choose(one.key, choices, now)
    return None


def _meaning(draft: Draft, one: SpecField, value: str) -> str:
    """Return what a choice means, where other fields come and go with it."""
    if not one.chooses:
        return ""
    fields = draft.with_text(one, value).fields
    return next((field.help for field in fields if field.key == one.key), "")


def with_answer(draft: Draft, one: SpecField, answer: str | Request | None) -> Draft:
    """Return the draft with what a box answered; as it is where the box was left.

    With data for training comes how their rows were read, when they were looked at. With several
    GPUs named goes how many are wanted of any.
    """
    if answer is None:
        return draft
    if not isinstance(answer, Request):
        changed = draft.with_text(one, answer)
        return changed.without("hardware.num_gpus") if answer.startswith("[") else changed
    draft = draft.with_text(one, answer.path)
    if one.key == _DATA[0] and answer.columns:
        draft = draft.with_value("data.columns", dict(answer.columns))
    if one.key == _DATA[0] and answer.format != "auto":
        draft = draft.with_value("data.format", answer.format)
    return draft
