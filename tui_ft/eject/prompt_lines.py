"""Prompts as the model reads them, with the row's own answer and the columns that rewards take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from tui_ft.data import TemplateError
from tui_ft.data.chat.prompts import asked_in, asked_text
from tui_ft.data.chat.tokenizer import load_chat_tokenizer
from tui_ft.data.items import AnyItem
from tui_ft.spec import RunSpec
from tui_ft.spec.chat_templates import template_file
from tui_ft.spec.online import REFERENCE, OnlineFields, columns_for, wanted_columns
from tui_ft.survey.request import TokenRequest


def prompt_line(
    spec: RunSpec, *, for_trl: bool = False
) -> Callable[[AnyItem, Mapping[str, Any]], bytes | None]:
    """Return what makes a line of a row, where a run would let the model answer it.

    Args:
        spec: the run.
        for_trl: write the row as trl reads it by itself: it puts the prompt through the template.

    Raises:
        DataError: there is no tokenizer of the model on this machine.
    """
    asked_for = spec.objective
    assert isinstance(asked_for, OnlineFields), "only asked of objectives that answer prompts"
    said = spec.model.chat_template
    template: Path | None = template_file(said) if said else None
    folder = TokenRequest(spec.model.name_or_path, said).folder()
    tokenizer = load_chat_tokenizer(folder, template)
    room = spec.training.max_length - asked_for.max_completion_length
    wanted = wanted_columns(asked_for)

    def line(item: AnyItem, values: Mapping[str, Any]) -> bytes | None:
        asked = asked_in(item)
        if asked is None:
            return None
        try:
            text = asked_text(asked, tokenizer)
        except TemplateError:
            return None
        if not 0 < len(tokenizer.encode(text).ids) <= room:
            return None
        prompt = asked.prompt if isinstance(asked.prompt, str) else list(map(dict, asked.prompt))
        row: dict[str, Any] = {"prompt": prompt, REFERENCE: asked.reference}
        columns = columns_for(wanted, values)
        row |= columns if for_trl else {"text": text, "columns": columns}
        return orjson.dumps(row, default=str) + b"\n"

    return line
