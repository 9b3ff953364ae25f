"""Which column of a data set plays which part: what there is to choose from, and what comes of it.

The format and the columns that are chosen here are those of a run (`data.format`, `data.columns`):
survey, preview and trainer read rows by them through the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec

from tui_ft import text
from tui_ft.data import DataError, Row, RowProblem, convert, detect
from tui_ft.data.files.rows import type_name
from tui_ft.data.format_table import FORMATS
from tui_ft.data.items import AnyItem
from tui_ft.spec import yaml_text
from tui_ft.vocabulary import FormatName

FormatChoice = Literal["auto", FormatName]

FORMAT_CHOICES: Final[tuple[FormatChoice, ...]] = ("auto", *get_args(FormatName))

_SAMPLES: Final = 3
_LONGEST_SAMPLE: Final = 200


class Column(msgspec.Struct, frozen=True):
    """A column as the first rows have it.

    Attributes:
        types: what its values are, commonest first.
        filled: share of the rows in which it holds something.
        samples: the first few values, as text, harmless and on one line.
    """

    name: str
    types: tuple[str, ...]
    filled: float
    samples: tuple[str, ...]


class Mapped(msgspec.Struct, frozen=True):
    """What comes of a format and columns chosen.

    Attributes:
        format: how rows are read; None when they cannot be.
        columns: part -> column, those found by themselves too.
        reason: why rows are read so, or why they cannot be.
        rows: how many rows were tried.
        usable: how many of them teach something.
        first: what the first usable row teaches, else why the first row teaches nothing.
    """

    format: FormatName | None
    columns: dict[str, str]
    reason: str
    rows: int = 0
    usable: int = 0
    first: AnyItem | RowProblem | None = None


def columns_of(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns of ``rows`` in the order in which they come."""
    names = dict.fromkeys(name for row in rows for name in row.values)
    return tuple(_column(name, rows) for name in names)


def parts_of(format: FormatChoice) -> tuple[str, ...]:
    """Return the parts that columns can play in a format, those that it needs first."""
    forms = [form for form in FORMATS if format in ("auto", form.name)]
    needed = (part for form in forms for part in form.required)
    more = (part for form in forms for part in form.optional)
    return tuple(dict.fromkeys((*needed, *more)))


def mapped(rows: Sequence[Row], format: FormatChoice, columns: Mapping[str, str]) -> Mapped:
    """Return what comes of reading ``rows`` in this way."""
    if not rows:
        return Mapped(None, dict(columns), "the data set has no row that can be read")
    try:
        found = detect(rows, format, columns)
    except DataError as error:
        return Mapped(None, dict(columns), str(error), len(rows))
    items = [convert(row, found) for row in rows]
    usable = [item for item in items if not isinstance(item, RowProblem)]
    return Mapped(
        format=found.format,
        columns=dict(found.columns),
        reason=found.reason,
        rows=len(rows),
        usable=len(usable),
        first=usable[0] if usable else items[0],
    )


def as_yaml(format: FormatChoice, columns: Mapping[str, str]) -> str:
    """Return the lines of a run's YAML that read rows in this way."""
    values = {"data": {"format": format, **({"columns": dict(columns)} if columns else {})}}
    return yaml_text.write(values, width=80).rstrip()


def _column(name: str, rows: Sequence[Row]) -> Column:
    values = [row.values.get(name) for row in rows]
    there = [value for value in values if value is not None and value != ""]
    return Column(name, _types(there), len(there) / len(values), _samples(there))


def _types(values: Iterable[object]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for value in values:
        counts[type_name(value)] = counts.get(type_name(value), 0) + 1
    return tuple(sorted(counts, key=lambda name: -counts[name]))


def _samples(values: Sequence[object]) -> tuple[str, ...]:
    shown = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    )
    distinct = dict.fromkeys(text.one_line(value, _LONGEST_SAMPLE) for value in shown)
    return tuple(distinct)[:_SAMPLES]
