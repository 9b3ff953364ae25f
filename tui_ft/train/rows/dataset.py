"""Rows of a file as tokens, and the held-out rows as questions to answer.

The loss mask is ftui's own (`tui_ft.data`): the trainer is handed token ids and what carries loss
and has no template to apply, so what was previewed is what is trained on. What a row becomes is the
objective's to say (`tui_ft.train.rows.protocol.RowMaker`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, Features

from tui_ft.data import (
    BadLine,
    ChatTokenizer,
    Completion,
    Conversation,
    Detection,
    Item,
    Row,
    RowProblem,
    convert,
    detect,
    held_out,
    objective_refusal,
    prompt_text,
    read_rows,
)
from tui_ft.data.chat.mask_summary import Tally
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import FullMethod
from tui_ft.spec.objectives import ANSWERS_NOTHING, PretrainingObjective
from tui_ft.spec.run_spec import DataMix
from tui_ft.train.errors import RunFailure
from tui_ft.train.objectives import objective_of
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.mixing import mix_rows
from tui_ft.train.rows.protocol import RowMaker, TakesColumns, TokenRow, Totals, answered

_ROWS_TO_DETECT: Final = 1_000


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
        rows: its rows of tokens.
        maker: what made them, and knows what they add up to.
        places: for each row of `rows` the place (from 1), among all that was read, of what it was
            made of: lines repeat over the files of a folder.
        problems: rows that could not be used, by reason.
    """

    path: Path
    detection: Detection
    rows: Dataset
    maker: RowMaker
    places: array[int]
    problems: dict[str, Tally] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is trained on, what is evaluated on, and what is asked.

    Attributes:
        maker: what made the rows of the training file.
        totals: what those add up to, the ones held out included.
        old: rows of the old task that EWC holds the model to, as tokens and labels.
    """

    train: Dataset
    eval: Dataset | None
    questions: tuple[Question, ...]
    maker: RowMaker
    totals: Totals
    warnings: tuple[str, ...]
    old: Dataset | None = None


Progress = Callable[[int], None]


def prepare_data(
    spec: RunSpec,
    tokenizer: TransformersChatTokenizer,
    cache: Path,
    questions: int,
    progress: Progress,
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
    maker = objective_of(spec.objective.kind).maker(spec, tokenizer)
    train = _tokenize(spec, Path(spec.data.train), maker, cache / "train", progress)
    _refuse_useless(train)
    warnings = _warnings(train)
    if spec.data.eval is None:
        rows_to_train, evaluated, asked = _split(spec, train)
        source = train
    else:
        beside = maker.beside()
        source = _tokenize(spec, Path(spec.data.eval), beside, cache / "eval", progress)
        _refuse_useless(source)
        warnings += _warnings(source)
        limit = min(len(source.places), spec.data.max_eval_rows or len(source.places))
        evaluated, asked = source.rows.select(range(limit)), list(source.places)
        rows_to_train = train.rows
    totals = maker.totals()
    if spec.data.mix is not None:
        mixed_in = _mix_in(spec, spec.data.mix, maker, cache / "mix", progress)
        rows_to_train, said = mix_rows(rows_to_train, mixed_in.rows, spec.data)
        warnings += [*_warnings(mixed_in), *said]
    wanted = 0 if spec.objective.kind in ANSWERS_NOTHING else questions
    return TrainingData(
        train=rows_to_train,
        eval=evaluated,
        questions=_questions(source, asked[:wanted], tokenizer),
        maker=maker,
        totals=totals,
        warnings=tuple(warnings),
        old=_old_task(spec, tokenizer, cache / "old", progress),
    )


def _old_task(
    spec: RunSpec, tokenizer: TransformersChatTokenizer, cache: Path, progress: Progress
) -> Dataset | None:
    """Return rows of the task that is not to be forgotten; None where nothing holds to one."""
    ewc = spec.method.ewc if isinstance(spec.method, FullMethod) else None
    source = None if ewc is None else ewc if ewc.train is not None else spec.data.mix
    if ewc is None or source is None or source.train is None:
        return None
    how = {"train": source.train, "format": source.format, "columns": source.columns}
    data = spec.data.model_copy(update={**how, "max_rows": ewc.rows})
    alone = spec.model_copy(update={"data": data, "objective": PretrainingObjective()})
    maker = objective_of("pretraining").maker(alone, tokenizer)
    file = _tokenize(alone, Path(source.train), maker, cache, progress)
    _refuse_useless(file)
    return file.rows


def _mix_in(
    spec: RunSpec, mix: DataMix, maker: RowMaker, cache: Path, progress: Progress
) -> TokenizedFile:
    source = {"train": mix.train, "format": mix.format, "columns": mix.columns, "max_rows": None}
    alone = spec.model_copy(update={"data": spec.data.model_copy(update=source)})
    file = _tokenize(alone, Path(mix.train), maker.beside(), cache, progress)
    _refuse_useless(file)
    return file


def _split(spec: RunSpec, file: TokenizedFile) -> tuple[Dataset, Dataset | None, list[int]]:
    """Return rows to train on, rows held out, and the places of those.

    What was made of one row of the file stays on one side.
    """
    places = list(dict.fromkeys(file.places))
    data = spec.data
    out = held_out(len(places), data.eval_fraction, data.split_seed, data.max_eval_rows)
    asked = [places[position] for position in sorted(out)]
    away = set(asked)
    positions = enumerate(file.places)
    sides: tuple[list[int], list[int]] = ([], [])
    for position, place in positions:
        sides[place in away].append(position)
    kept, held = sides
    return file.rows.select(kept), file.rows.select(held) if held else None, asked


def _tokenize(
    spec: RunSpec, path: Path, maker: RowMaker, cache: Path, progress: Progress
) -> TokenizedFile:
    detection = _detect(spec, path)
    places: array[int] = array("Q")
    problems: dict[str, Tally] = {}

    def generate() -> Iterator[TokenRow]:
        limit = spec.data.max_rows if path == Path(spec.data.train) else None
        for number, row in enumerate(islice(read_rows(path), limit), start=1):
            progress(number)
            made = _make(row, detection, maker)
            if isinstance(made, str):
                problems.setdefault(made, Tally()).add(row.line)
                continue
            for tokens in made:
                places.append(number)
                yield tokens

    rows = _write_rows(generate, maker.features, cache)
    return TokenizedFile(path, detection, rows, maker, places, problems)


def _write_rows(
    generate: Callable[[], Iterator[TokenRow]], features: Mapping[str, Any], cache: Path
) -> Dataset:
    """Write the rows to an Arrow file and map it, so that memory does not grow with the data."""
    from datasets.arrow_writer import ArrowWriter

    cache.mkdir(parents=True, exist_ok=True)
    file = cache / "tokens.arrow"
    with ArrowWriter(features=Features(features), path=str(file)) as writer:
        for row in generate():
            writer.write(row)
        count, _ = writer.finalize()
    return Dataset.from_file(str(file)) if count else Dataset.from_dict({n: [] for n in features})


def _detect(spec: RunSpec, path: Path) -> Detection:
    first = [row for row in islice(read_rows(path), _ROWS_TO_DETECT) if isinstance(row, Row)]
    if not first:
        raise RunFailure(f"{path} holds no usable row", "check the file")
    detection = detect(first, format=spec.data.format, columns=spec.data.columns)
    unfit = objective_refusal(spec.objective.kind, detection, first)
    if unfit is not None:
        raise RunFailure(f"{path}: {unfit}")
    return detection


def _make(row: Row | BadLine, detection: Detection, maker: RowMaker) -> Sequence[TokenRow] | str:
    if isinstance(row, BadLine):
        return row.reason
    item = convert(row, detection)
    if isinstance(maker, TakesColumns):
        maker.take_columns(row.values)
    return item.reason if isinstance(item, RowProblem) else maker.make(row.line, item)


def _refuse_useless(file: TokenizedFile) -> None:
    if not file.maker.totals().rows and file.problems:
        reason, tally = max(file.problems.items(), key=lambda item: item[1].count)
        raise RunFailure(f"no row of {file.path} can be used: {reason} ({tally.where()})")
    reason = file.maker.refusal() or ("" if file.places else "no row is left to learn from")
    if reason:
        raise RunFailure(f"{file.path}: {reason}")


def _warnings(file: TokenizedFile) -> list[str]:
    skipped = [
        f"{tally.count:,} rows of {file.path.name} are left out: {reason} ({tally.where()})"
        for reason, tally in sorted(file.problems.items(), key=lambda item: -item[1].count)
    ]
    return skipped + file.maker.warnings()


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
        converted = convert(row, file.detection)
        item = None if isinstance(converted, RowProblem) else answered(converted)
        if item is not None:
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
