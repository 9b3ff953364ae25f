"""`ftui models`: models on this machine and on the Hub that fit some words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tui_ft import text
from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_ft.hub.models_search import HubModel
    from tui_ft.models.catalogue import CatalogueEntry
    from tui_ft.runs.own_models import OwnModel

_COLUMNS: Final = ("model", "parameters", "size", "licence", "downloads", "")
_MOST: Final = 100
_LONGEST_NAME: Final = 60
_LONGEST_LICENCE: Final = 20
_CHAT: Final = "chat template"


@click.command()
@click.argument("query", nargs=-1)
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST),
    default=20,
    show_default=True,
    help="At most so many of the Hub.",
)
@click.option("--local", is_flag=True, help="On this machine only; the Hub is not asked.")
@json_option
@for_people
def models(query: tuple[str, ...], limit: int, *, local: bool, as_json: bool) -> None:
    """Find models by words of their names: on this machine first, then on the Hugging Face Hub.

    Without words: the models on this machine. When the Hub cannot be asked, what it answered
    before, or the well-known models that ftui knows itself.
    """
    from tui_ft.hub.listing import HubAnswer
    from tui_ft.hub.models_search import search_models
    from tui_ft.runs.own_models import known_models, own_models

    words = " ".join(query)
    own = own_models(words)
    asks = bool(words) and not local
    answer: HubAnswer[HubModel] = search_models(words, limit) if asks else HubAnswer()
    known = known_models(words)[:limit] if asks and answer.problem and not answer.found else ()
    if answer.warning is not None:
        warn(
            f"{answer.warning}; these are models that ftui knows itself"
            if known
            else answer.warning
        )
    if as_json:
        said = {"own": [_own_as_json(one) for one in own], "hub": answer.found, "known": known}
        say_json({**said, "problem": answer.problem, "age_s": answer.age_s})
    else:
        _say(words, own, answer.found, known)
    if answer.problem is not None and not (own or answer.found or known):
        fail("nothing on this machine is called so either")


def _say(
    words: str,
    own: Sequence[OwnModel],
    found: Sequence[HubModel],
    known: Sequence[CatalogueEntry],
) -> None:
    rows = [*map(_own_row, own), *map(_row, found), *map(_known_row, known)]
    if not rows:
        called = f" called so: {text.one_line(words, _LONGEST_NAME)}" if words else ""
        say(f"no model{called}" if words else "no model on this machine: name some words to search")
        return
    table = [_COLUMNS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    for row in table:
        say("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def _row(found: HubModel) -> tuple[str, ...]:
    marks = [name for name, on in (("private", found.private), ("gated", found.gated)) if on]
    marks += [_CHAT] if found.chat_template else []
    marks += ["no safetensors"] if found.parameters is None else []
    return (
        text.one_line(found.id, _LONGEST_NAME),
        text.count(found.parameters),
        text.size(found.size_bytes),
        text.one_line(found.licence or text.NOT_AVAILABLE, _LONGEST_LICENCE),
        text.count(found.downloads),
        ", ".join(marks),
    )


def _own_row(own: OwnModel) -> tuple[str, ...]:
    origins = {
        "run": f"made by {own.run}",
        "prepared": "prepared by ftui",
        "folder": "a folder here",
        "cache": "in the cache",
    }
    marks = [origins[own.origin], *([_CHAT] if own.model.chat_template else [])]
    if own.model.adapter_of is not None:
        marks.insert(1, f"adapter of {text.ending(own.model.adapter_of, _LONGEST_NAME)}")
    return (
        text.one_line(own.model.name, _LONGEST_NAME),
        _parameters(own),
        text.size(own.model.size_bytes),
        *([text.NOT_AVAILABLE] * 2),
        ", ".join(marks),
    )


def _parameters(own: OwnModel) -> str:
    from tui_ft.memory.model_facts import model_facts
    from tui_ft.models import ArchitectureError

    try:
        return text.count(model_facts(str(own.model.path)).architecture().parameters)
    except ArchitectureError:
        return text.NOT_AVAILABLE


def _known_row(entry: CatalogueEntry) -> tuple[str, ...]:
    from tui_ft.models import architecture_of

    marks = [*(["gated"] if entry.gated else []), *([_CHAT] if entry.chat else [])]
    return (
        entry.id,
        text.count(architecture_of(entry.config).parameters),
        text.NOT_AVAILABLE,
        entry.licence,
        text.NOT_AVAILABLE,
        ", ".join(marks),
    )


def _own_as_json(own: OwnModel) -> dict[str, Any]:
    from dataclasses import asdict

    return {"origin": own.origin, "run": own.run, **asdict(own.model)}
