"""A run's rows as others read them: converted by the code that the trainer converts them with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Literal

import orjson

from tui_ft import paths
from tui_ft.data import (
    Completion,
    Conversation,
    Detection,
    Document,
    Row,
    RowProblem,
    convert,
    detect,
    held_out,
    objective_refusal,
    read_rows,
)
from tui_ft.data.classes import in_order
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt
from tui_ft.data.problems import DataError
from tui_ft.eject.masked import masked_line
from tui_ft.eject.pair_lines import PAIRED, pair_line
from tui_ft.eject.prompt_lines import prompt_line
from tui_ft.hub.class_names import class_names
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import FullMethod
from tui_ft.spec.objectives import PretrainingObjective
from tui_ft.spec.online import GENERATES

TRAIN: Final = "train.jsonl"
EVAL: Final = "eval.jsonl"
OLD: Final = "old.jsonl"
"""Rows of the old task that EWC holds the weights to."""
_ROWS_TO_DETECT: Final = 1_000


Line = Callable[[AnyItem, Mapping[str, Any]], bytes | None]
"""What is written of a row, by what it was converted to and its columns; None leaves it out."""
Layout = Literal["messages", "completion", "text", "pairs", "judged", "labelled", "prompts"]
_LAYOUTS: Final[dict[type[AnyItem], Layout]] = {
    Conversation: "messages",
    Completion: "completion",
    Pair: "pairs",
    Judged: "judged",
    Labelled: "labelled",
    Prompt: "prompts",
}


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """What was written.

    Attributes:
        train: rows to train on.
        eval: rows held out.
        layout: of the first row, before it was put through a template.
        classes: of a classification, in the order of the model's outputs, with their rows.
        left_out: rows that have no form there.
    """

    train: int
    eval: int
    layout: Layout
    classes: tuple[tuple[str, int], ...] = ()
    left_out: int = 0


def write_items(spec: RunSpec, folder: Path) -> WrittenRows:
    """Write the rows that a run trains on, and those that it holds out, as they were converted.

    Which rows are held out is decided over all that can be converted. A run decides it over those
    that carry loss once they are cut; where there are others, its choice may differ.

    Raises:
        DataError: the data cannot be read, or hold nothing for the objective.
        OSError: the files cannot be written.
    """
    kind = spec.objective.kind
    if kind in GENERATES:
        return _write(spec, folder, prompt_line(spec, for_trl=True))
    if kind in PAIRED:
        return _write(spec, folder, lambda item, _: pair_line(item, kind))
    return _write(spec, folder, lambda item, _: _line(item))


def write_masked(spec: RunSpec, folder: Path) -> WrittenRows:
    """Write the rows as the model reads them, with the characters that are learned.

    These are the rows of the run, and those it holds out are held out.

    Raises:
        DataError: there is no tokenizer of the model on this machine, or as `write_items`.
        OSError: the files cannot be written.
    """
    if spec.objective.kind == "classification":
        classes = _classes(spec)
        written = _write(spec, folder, partial(_labelled, classes))
        return replace(written, classes=tuple(classes.items()))
    if spec.objective.kind in GENERATES:
        return _write(spec, folder, prompt_line(spec))
    masked = masked_line(spec)
    _write_old(spec, folder)
    return _write(spec, folder, lambda item, _: masked(item))


def _write_old(spec: RunSpec, folder: Path) -> None:
    """Write the old task's rows, where the run holds to them."""
    ewc = spec.method.ewc if isinstance(spec.method, FullMethod) else None
    source = None if ewc is None else ewc if ewc.train is not None else spec.data.mix
    if ewc is None or source is None or source.train is None:
        return
    how = {"train": source.train, "format": source.format, "columns": source.columns}
    data = spec.data.model_copy(update={**how, "max_rows": ewc.rows})
    alone = spec.model_copy(update={"data": data, "objective": PretrainingObjective()})
    line, path = masked_line(alone), Path(source.train)
    with _new_file(folder / OLD) as file:
        for item, _ in _items(path, _detect(alone, path), ewc.rows):
            file.write(line(item) or b"")


def _classes(spec: RunSpec) -> dict[str, int]:
    """Return the classes of the training file with their rows, numbered as the run does it."""
    path = Path(spec.data.train)
    items = _items(path, _detect(spec, path), spec.data.max_rows)
    counts = Counter(item.label for item, _ in items if isinstance(item, Labelled))
    head = class_names(spec.model.name_or_path, spec.model.revision)
    return {name: counts[name] for name in in_order(counts, head)}


def _labelled(classes: Mapping[str, int], item: AnyItem, _: Mapping[str, Any]) -> bytes | None:
    if not isinstance(item, Labelled) or item.label not in classes:
        return None
    return orjson.dumps({"text": item.text, "label": item.label}) + b"\n"


def _write(spec: RunSpec, folder: Path, line: Line) -> WrittenRows:
    data, path = spec.data, Path(spec.data.train)
    detection = _detect(spec, path)
    rows = left_out = 0
    with _new_file(folder / TRAIN) as train:
        for item, values in _items(path, detection, data.max_rows):
            written = line(item, values)
            if written is None:
                left_out += 1
                continue
            train.write(written)
            rows += 1
    if not rows:
        raise DataError(f"{path} holds no row that can be learned from")
    layout = _layout(next(_items(path, detection, None))[0])
    if data.eval is not None:
        return WrittenRows(rows, _write_eval(spec, folder, line), layout, left_out=left_out)
    out = held_out(rows, data.eval_fraction, data.split_seed, data.max_eval_rows)
    if out:
        _hold_out(folder, out)
    return WrittenRows(rows - len(out), len(out), layout, left_out=left_out)


def _write_eval(spec: RunSpec, folder: Path, line: Line) -> int:
    data = spec.data
    assert data.eval is not None, "only called when there is an evaluation file"
    path = Path(data.eval)
    lines = (line(*each) for each in _items(path, _detect(spec, path), None))
    usable = islice((one for one in lines if one is not None), data.max_eval_rows)
    count = 0
    with _new_file(folder / EVAL) as file:
        for count, written in enumerate(usable, start=1):  # noqa: B007 - counts them
            file.write(written)
    return count


def _hold_out(folder: Path, out: frozenset[int]) -> None:
    """Move the rows at these positions from the training file into one of their own."""
    whole = folder / f".{TRAIN}"
    (folder / TRAIN).rename(whole)
    with (
        whole.open("rb") as lines,
        _new_file(folder / TRAIN) as train,
        _new_file(folder / EVAL) as evaluation,
    ):
        for position, written in enumerate(lines):
            (evaluation if position in out else train).write(written)
    whole.unlink()


def _detect(spec: RunSpec, path: Path) -> Detection:
    data = spec.data
    first = [row for row in islice(read_rows(path), _ROWS_TO_DETECT) if isinstance(row, Row)]
    if not first:
        raise DataError(f"{path} holds no usable row")
    detection = detect(first, format=data.format, columns=data.columns)
    unfit = objective_refusal(spec.objective.kind, detection, first)
    if unfit is not None:
        raise DataError(f"{path}: {unfit}")
    return detection


def _items(
    path: Path, detection: Detection, most: int | None
) -> Iterator[tuple[AnyItem, Mapping[str, Any]]]:
    """Yield what rows were converted to, each with its columns."""
    for row in islice(read_rows(path), most):
        if isinstance(row, Row):
            item = convert(row, detection)
            if not isinstance(item, RowProblem):
                yield item, row.values


def _layout(item: AnyItem) -> Layout:
    return _LAYOUTS.get(type(item), "text")


def _line(item: AnyItem) -> bytes | None:
    row: dict[str, Any]
    match item:
        case Conversation(messages, tools, prompt_messages):
            row = {"messages": messages}
            if tools:
                row["tools"] = tools
            if prompt_messages:
                row["prompt_messages"] = prompt_messages
        case Completion(prompt, completion):
            row = {"prompt": prompt, "completion": completion}
        case Document(text):
            row = {"text": text}
        case _:
            return None
    return orjson.dumps(row) + b"\n"


def _new_file(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.fdopen(os.open(path, flags, paths.PRIVATE_FILE), "wb")
