"""Rows of a file as tokens and labels, and the held-out rows as questions to answer.

The loss mask is ftui's own (`tui_ft.data`): the trainer is handed token ids and labels and has no
template to apply, so what was previewed is what is trained on.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from datasets import Dataset, Features, Sequence, Value

from tui_ft.data import (
    BadLine,
    ChatTokenizer,
    Completion,
    Conversation,
    Detection,
    Document,
    Item,
    LossOn,
    MaskedRow,
    MaskSummary,
    Row,
    RowProblem,
    convert,
    detect,
    held_out,
    mask_row,
    prompt_text,
    read_rows,
    refusal,
    sft_refusal,
)
from tui_ft.data.mask_summary import Tally
from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunFailure

IGNORED: Final = -100
"""The label that torch's cross entropy passes over."""

_ROWS_TO_DETECT: Final = 1_000
_FEATURES: Final = {"input_ids": Sequence(Value("int32")), "labels": Sequence(Value("int32"))}


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out row as the model is asked it: the prompt's text, and the answer of the data."""

    line: int
    prompt: str
    shown_prompt: str
    reference: str


@dataclass(slots=True)
class TokenizedFile:
    """A file as tokens.

    Attributes:
        places: for each row of `rows` its place (from 1) among all that was read: lines repeat
            over the files of a folder.
        problems: rows that could not be used, by reason.
    """

    path: Path
    detection: Detection
    rows: Dataset
    places: array[int]
    summary: MaskSummary
    problems: dict[str, Tally] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is trained on, what is evaluated on, and what is asked."""

    train: Dataset
    eval: Dataset | None
    questions: tuple[Question, ...]
    summary: MaskSummary
    warnings: tuple[str, ...]


Progress = Callable[[int], None]


def prepare_data(
    spec: RunSpec, tokenizer: ChatTokenizer, cache: Path, questions: int, progress: Progress
) -> TrainingData:
    """Return the data of a run as tokens.

    Args:
        spec: whose data are prepared.
        tokenizer: the model's.
        cache: a folder for the tokens, which are kept on disk and not in memory.
        questions: how many held-out rows are wanted as questions, at most.
        progress: called with the number of rows done, now and then.

    Raises:
        RunFailure: no row can be used, or training on them would teach nothing.
        DataError: a file cannot be read.
    """
    train = _tokenize(spec, Path(spec.data.train), tokenizer, cache / "train", progress)
    _refuse_useless(train)
    warnings = _warnings(train, spec.training.max_length)
    if spec.data.eval is None:
        rows = len(train.places)
        out = held_out(rows, spec.data.eval_fraction, spec.data.split_seed, spec.data.max_eval_rows)
        kept = [position for position in range(rows) if position not in out]
        evaluated = train.rows.select(sorted(out)) if out else None
        asked = [train.places[position] for position in sorted(out)]
        rows_to_train = train.rows.select(kept)
        source = train
    else:
        source = _tokenize(spec, Path(spec.data.eval), tokenizer, cache / "eval", progress)
        _refuse_useless(source)
        warnings += _warnings(source, spec.training.max_length)
        limit = min(len(source.places), spec.data.max_eval_rows or len(source.places))
        evaluated, asked = source.rows.select(range(limit)), list(source.places)
        rows_to_train = train.rows
    return TrainingData(
        train=rows_to_train,
        eval=evaluated,
        questions=_questions(source, asked[:questions], tokenizer),
        summary=train.summary,
        warnings=tuple(warnings),
    )


def _tokenize(
    spec: RunSpec, path: Path, tokenizer: ChatTokenizer, cache: Path, progress: Progress
) -> TokenizedFile:
    detection = _detect(spec, path)
    places: array[int] = array("Q")
    summary = MaskSummary()
    problems: dict[str, Tally] = {}
    loss_on, max_length = spec.objective.loss_on, spec.training.max_length

    def generate() -> Iterator[dict[str, list[int]]]:
        limit = spec.data.max_rows if path == Path(spec.data.train) else None
        for number, row in enumerate(islice(read_rows(path), limit), start=1):
            progress(number)
            masked = _mask(row, detection, tokenizer, loss_on, max_length)
            if isinstance(masked, str):
                problems.setdefault(masked, Tally()).add(row.line)
                continue
            summary.add(row.line, masked)
            if masked.supervised_count:
                places.append(number)
                yield _with_labels(masked)

    rows = _write_rows(generate, cache)
    return TokenizedFile(path, detection, rows, places, summary, problems)


def _write_rows(generate: Callable[[], Iterator[dict[str, list[int]]]], cache: Path) -> Dataset:
    """Write the rows to an Arrow file and map it, so that memory does not grow with the data."""
    from datasets.arrow_writer import ArrowWriter

    cache.mkdir(parents=True, exist_ok=True)
    file = cache / "tokens.arrow"
    with ArrowWriter(features=Features(_FEATURES), path=str(file)) as writer:
        for row in generate():
            writer.write(row)
        count, _ = writer.finalize()
    return (
        Dataset.from_file(str(file))
        if count
        else Dataset.from_dict({"input_ids": [], "labels": []})
    )


def _detect(spec: RunSpec, path: Path) -> Detection:
    first = [row for row in islice(read_rows(path), _ROWS_TO_DETECT) if isinstance(row, Row)]
    if not first:
        raise RunFailure(f"{path} holds no usable row", "check the file")
    detection = detect(first, format=spec.data.format, columns=spec.data.columns)
    unfit = sft_refusal(detection, first)
    if unfit is not None:
        raise RunFailure(f"{path}: {unfit}")
    return detection


def _mask(
    row: Row | BadLine,
    detection: Detection,
    tokenizer: ChatTokenizer,
    loss_on: LossOn,
    max_length: int,
) -> MaskedRow | str:
    if isinstance(row, BadLine):
        return row.reason
    item = convert(row, detection)
    if isinstance(item, RowProblem):
        return item.reason
    if not isinstance(item, Conversation | Completion | Document):
        return "it is no row to learn one answer from"
    return mask_row(item, tokenizer, loss_on=loss_on, max_length=max_length)


def _with_labels(row: MaskedRow) -> dict[str, list[int]]:
    pairs = zip(row.input_ids, row.supervised, strict=True)
    return {
        "input_ids": row.input_ids,
        "labels": [token if learned else IGNORED for token, learned in pairs],
    }


def _refuse_useless(file: TokenizedFile) -> None:
    if not file.summary.rows and file.problems:
        reason, tally = max(file.problems.items(), key=lambda item: item[1].count)
        raise RunFailure(f"no row of {file.path} can be used: {reason} ({tally.where()})")
    reason = refusal(file.summary) or ""
    if reason:
        raise RunFailure(f"{file.path}: {reason}")


def _warnings(file: TokenizedFile, max_length: int) -> list[str]:
    skipped = [
        f"{tally.count:,} rows of {file.path.name} are left out: {reason} ({tally.where()})"
        for reason, tally in sorted(file.problems.items(), key=lambda item: -item[1].count)
    ]
    return skipped + list(file.summary.warnings(max_length))


def _questions(
    file: TokenizedFile, places: list[int], tokenizer: ChatTokenizer
) -> tuple[Question, ...]:
    """Read the held-out rows again, for the text that their tokens came from."""
    wanted = set(places)
    found: list[Question] = []
    if not wanted:
        return ()
    for place, row in enumerate(islice(read_rows(file.path), max(wanted)), start=1):
        if place not in wanted or isinstance(row, BadLine):
            continue
        item = convert(row, file.detection)
        if isinstance(item, Conversation | Completion | Document):
            prompt = prompt_text(item, tokenizer)
            if prompt is not None:
                found.append(Question(row.line, prompt, *_shown(item)))
    return tuple(found)


def _shown(item: Item) -> tuple[str, str]:
    """Return the last question as people read it, and its answer."""
    match item:
        case Conversation(messages):
            answers = [n for n, m in enumerate(messages) if m["role"] == "assistant"]
            last = answers[-1]
            return str(messages[last - 1]["content"]), str(messages[last]["content"])
        case Completion(prompt, completion):
            return prompt, completion
        case _:
            return "", ""
