"""A run's rows as others read them: converted by the code that the trainer converts them with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    Item,
    Row,
    convert,
    detect,
    held_out,
    mask_row,
    objective_refusal,
    read_rows,
)
from tui_ft.data.chat_tokenizer import load_chat_tokenizer
from tui_ft.data.problems import DataError
from tui_ft.spec import RunSpec
from tui_ft.spec.chat_templates import template_file
from tui_ft.spec.objectives import SftObjective
from tui_ft.spec.run_spec import DataSpec
from tui_ft.survey.request import TokenRequest

TRAIN: Final = "train.jsonl"
EVAL: Final = "eval.jsonl"
_ROWS_TO_DETECT: Final = 1_000


Line = Callable[[Item], bytes | None]
"""What is written of a row; None leaves it out."""
Layout = Literal["messages", "completion", "text"]


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """What was written.

    Attributes:
        train: rows to train on.
        eval: rows held out.
        layout: of the first row, before it was put through a template.
    """

    train: int
    eval: int
    layout: Layout


def write_items(spec: RunSpec, folder: Path) -> WrittenRows:
    """Write the rows that a run trains on, and those that it holds out, as they were converted.

    Which rows are held out is decided over all that can be converted. A run decides it over those
    that carry loss once they are cut; where there are others, its choice may differ.

    Raises:
        DataError: the data cannot be read, or hold nothing for supervised fine-tuning.
        OSError: the files cannot be written.
    """
    return _write(spec.data, folder, _line)


def write_masked(spec: RunSpec, folder: Path) -> WrittenRows:
    """Write the rows as the model reads them, with the characters that are learned.

    These are the rows of the run, and those it holds out are held out.

    Raises:
        DataError: there is no tokenizer of the model on this machine, or as `write_items`.
        OSError: the files cannot be written.
    """
    request = TokenRequest(spec.model.name_or_path, spec.model.chat_template)
    template = template_file(spec.model.chat_template) if spec.model.chat_template else None
    tokenizer = load_chat_tokenizer(request.folder(), template)
    most = spec.training.max_length
    objective = spec.objective
    loss_on = objective.loss_on if isinstance(objective, SftObjective) else "all"

    def masked(item: Item) -> bytes | None:
        row = mask_row(item, tokenizer, loss_on=loss_on, max_length=most)
        if isinstance(row, str) or not row.supervised_count:
            return None
        return orjson.dumps({"text": row.text, "learned": row.spans}) + b"\n"

    return _write(spec.data, folder, masked)


def _write(data: DataSpec, folder: Path, line: Line) -> WrittenRows:
    path = Path(data.train)
    detection = _detect(data, path)
    rows = 0
    with _new_file(folder / TRAIN) as train:
        for item in _items(path, detection, data.max_rows):
            written = line(item)
            if written is not None:
                train.write(written)
                rows += 1
    if not rows:
        raise DataError(f"{path} holds no row that can be learned from")
    layout = _layout(next(_items(path, detection, None)))
    if data.eval is not None:
        return WrittenRows(rows, _write_eval(data, folder, line), layout)
    out = held_out(rows, data.eval_fraction, data.split_seed, data.max_eval_rows)
    if out:
        _hold_out(folder, out)
    return WrittenRows(rows - len(out), len(out), layout)


def _write_eval(data: DataSpec, folder: Path, line: Line) -> int:
    assert data.eval is not None, "only called when there is an evaluation file"
    path = Path(data.eval)
    lines = (line(item) for item in _items(path, _detect(data, path), None))
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


def _detect(data: DataSpec, path: Path) -> Detection:
    first = [row for row in islice(read_rows(path), _ROWS_TO_DETECT) if isinstance(row, Row)]
    if not first:
        raise DataError(f"{path} holds no usable row")
    detection = detect(first, format=data.format, columns=data.columns)
    unfit = objective_refusal("sft", detection, first)
    if unfit is not None:
        raise DataError(f"{path}: {unfit}")
    return detection


def _items(path: Path, detection: Detection, most: int | None) -> Iterator[Item]:
    for row in islice(read_rows(path), most):
        if isinstance(row, Row):
            item = convert(row, detection)
            if isinstance(item, Conversation | Completion | Document):
                yield item


def _layout(item: Item) -> Layout:
    match item:
        case Conversation():
            return "messages"
        case Completion():
            return "completion"
        case Document():
            return "text"


def _line(item: Item) -> bytes:
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
    return orjson.dumps(row) + b"\n"


def _new_file(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.fdopen(os.open(path, flags, paths.PRIVATE_FILE), "wb")
