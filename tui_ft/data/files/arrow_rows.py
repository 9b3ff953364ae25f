"""Rows out of Parquet and Arrow files, batch by batch, as values that JSON can hold.

pyarrow is imported when such a file is read, and not before: the app starts without it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tui_ft import text
from tui_ft.data.files.rows import Row
from tui_ft.data.problems import BadLine, DataError

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

_BATCH_BYTES: Final = 4 << 20
_MOST_ROWS: Final = 4096
_MOST_NULLS: Final = 1 << 24  # they take no room in a file, so a damaged count is not noticed
_BUFFER: Final = 1 << 20
_FILE_MAGIC: Final = b"ARROW1"
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"
_BIGGEST_INT: Final = 1 << 63
_NAMES: Final = {".parquet": "Parquet", ".arrow": "Arrow"}

# What pyarrow raises over a damaged file: its own ArrowInvalid is a ValueError, its ArrowIOError an
# OSError, ArrowNotImplementedError a NotImplementedError (a RuntimeError), and so on.
_FAULTS: Final = (
    ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError
)  # fmt: skip

Batches = Iterator["tuple[int, pa.RecordBatch | BadLine]"]
"""After how many rows each begins; rows, or why there are none."""


def read_table(path: Path, kind: str) -> Iterator[Row | BadLine]:
    """Return the rows of a Parquet or Arrow file; their lines are their positions, from 1.

    Nested columns become dicts and lists, times ISO text, durations seconds, decimals numbers.
    Bytes become the text that they are in UTF-8, or a note of how many they are.

    Args:
        path: the file, as it is written; its columns may be compressed.
        kind: `.parquet`, or `.arrow` for both the file and the stream format.

    Raises:
        DataError: it is no such file, is damaged as a whole, has no columns, or names one twice.
            At once.
        OSError: it cannot be read.
    """
    try:
        names, batches = _open_parquet(path) if kind == ".parquet" else _open_arrow(path)
    except _FAULTS as error:
        raise DataError(
            f"{path} is no {_NAMES[kind]} file, or is damaged or cut off: {_said(error)}"
        ) from None
    if not names:
        raise DataError(f"{path} has no columns, or is damaged")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        shown = text.one_line(twice, 40)
        raise DataError(f"{path} names the column `{shown}` twice; rename one")
    return _rows(names, batches)


def _open_parquet(path: Path) -> tuple[list[str], Batches]:
    from pyarrow import parquet

    # Read as it is needed: a row group may be of any size, and is not held whole.
    file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
    return list(file.schema_arrow.names), _parquet_batches(file)


def _parquet_batches(file: Any) -> Batches:  # noqa: ANN401 - pyarrow has no types
    passed = 0
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        share = max(1, group.total_byte_size // max(1, group.num_rows))
        size = max(1, min(_MOST_ROWS, _BATCH_BYTES // share))
        done = 0
        try:
            for batch in file.iter_batches(size, row_groups=[number], use_threads=False):
                yield passed + done, batch
                done += batch.num_rows
        except _FAULTS as error:
            lost = max(0, group.num_rows - done)
            reason = f"damaged from here on for {lost:,} rows: {_said(error)}"
            yield passed + done, BadLine(passed + done + 1, reason)
        passed += max(done, group.num_rows)


def _open_arrow(path: Path) -> tuple[list[str], Batches]:
    import pyarrow as pa

    with path.open("rb") as plain:
        magic = plain.read(len(_FILE_MAGIC))
        plain.seek(max(0, path.stat().st_size - len(_END_OF_STREAM)))
        is_ended = plain.read() == _END_OF_STREAM
    source = pa.memory_map(str(path))  # a batch may be of any size, and is not held whole
    if magic == _FILE_MAGIC:
        file = pa.ipc.open_file(source)
        found = map(file.get_batch, range(file.num_record_batches))
        return list(file.schema.names), _batches(found)
    stream = pa.ipc.open_stream(source)
    return list(stream.schema.names), _batches(stream if is_ended else chain(stream, _cut_off()))


def _cut_off() -> Iterator[pa.RecordBatch]:
    """Raise where a stream has no mark of its end: pyarrow takes one that is cut off for whole."""
    yield from ()
    raise ValueError("the file has no end mark, so it was probably cut off")


def _batches(found: Iterable[pa.RecordBatch]) -> Batches:
    """Return the batches, each in pieces small enough to become Python's objects."""
    passed = 0
    try:
        for batch in found:
            _require_sound(batch)
            if batch.num_rows and not batch.nbytes:
                # A damaged count of rows that take no room would be believed, to billions.
                raise ValueError(f"{batch.num_rows:,} rows in which every column is null")
            share = max(1, batch.nbytes // max(1, batch.num_rows))
            size = max(1, min(_MOST_ROWS, _BATCH_BYTES // share))
            for start in range(0, batch.num_rows, size):
                yield passed + start, batch.slice(start, size)
            passed += batch.num_rows
    except _FAULTS as error:
        yield passed, BadLine(passed + 1, f"damaged from here on: {_said(error)}")


def _require_sound(batch: pa.RecordBatch) -> None:
    """Check a batch: offsets that point outside of a buffer would not raise later, but crash.

    Text that is no UTF-8 is let through: it costs the rows that it is in.
    """
    import pyarrow as pa

    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        for column in batch.columns:
            column.view(_as_bytes(column.type)).validate(full=True)


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """Return the type that lays out bytes as ``kind`` lays out text, in nested columns too."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(_as_bytes(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _as_bytes(field.type)) for field in kind])
    return kind


def _rows(names: list[str], batches: Batches) -> Iterator[Row | BadLine]:
    for passed, batch in batches:
        if isinstance(batch, BadLine):
            yield batch
            continue
        try:
            yield from _rows_of(names, batch, passed)
        except _FAULTS:
            for number in range(batch.num_rows):
                yield _alone(names, batch.slice(number, 1), passed + number)


def _rows_of(names: list[str], batch: pa.RecordBatch, passed: int) -> list[Row]:
    columns = [_values(column) for column in batch.columns]
    return [
        Row(line, dict(zip(names, values, strict=True)))
        for line, values in enumerate(zip(*columns, strict=True), start=passed + 1)
    ]


def _alone(names: list[str], batch: pa.RecordBatch, passed: int) -> Row | BadLine:
    try:
        return _rows_of(names, batch, passed)[0]
    except UnicodeDecodeError:
        return BadLine(passed + 1, "holds text that is no UTF-8")
    except _FAULTS as error:
        return BadLine(passed + 1, f"holds a value that cannot be read: {_said(error)}")


def _values(column: pa.Array) -> list[Any]:
    """Return a column's values.

    Whole arrays at a time and not, as pyarrow's `to_pylist`, an object for each nested value on the
    way: for conversations that is several times faster.
    """
    import pyarrow as pa

    types = pa.types
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if types.is_struct(kind):
        return _structs(column)
    if types.is_list(kind) or types.is_large_list(kind):
        return _lists(column)
    if types.is_map(kind):
        return [None if pairs is None else _mapping(pairs) for pairs in column.to_pylist()]
    if types.is_temporal(kind):
        column = _microseconds(column)
    if types.is_null(kind) and len(column) > _MOST_NULLS:
        raise ValueError(f"{len(column):,} nulls in {text.size(_BATCH_BYTES)} of rows")
    values: list[Any] = column.to_pylist()
    is_json = types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind)
    return values if is_json else [_json_value(value) for value in values]


def _structs(column: pa.StructArray) -> list[dict[str, Any] | None]:
    names = [column.type.field(number).name for number in range(column.type.num_fields)]
    # `field` and not `flatten`: what is null as a whole is None below, whatever its fields hold.
    fields = [_values(column.field(number)) for number in range(len(names))]
    if not names:
        return [{} if known else None for known in column.is_valid().to_pylist()]
    found = [dict(zip(names, values, strict=True)) for values in zip(*fields, strict=True)]
    if not column.null_count:
        return list(found)
    known = column.is_valid().to_pylist()
    return [value if is_known else None for value, is_known in zip(found, known, strict=True)]


def _lists(column: pa.ListArray) -> list[list[Any] | None]:
    offsets = column.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    items = _values(column.values.slice(first, offsets[-1] - first if offsets else 0))
    found = [items[begin - first : end - first] for begin, end in pairwise(offsets)]
    if not column.null_count:
        return list(found)
    known = column.is_valid().to_pylist()
    return [value if is_known else None for value, is_known in zip(found, known, strict=True)]


def _microseconds(column: pa.Array) -> pa.Array:
    """Return times of nanoseconds as microseconds: Python has none finer without pandas."""
    import pyarrow as pa

    kind = column.type
    if getattr(kind, "unit", "") != "ns":
        return column
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    coarser = pa.time64("us") if pa.types.is_time64(kind) else pa.duration("us")
    return column.cast(coarser, safe=False)


def _mapping(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    return {str(_json_value(key)): _json_value(value) for key, value in pairs}


def _json_value(value: Any) -> Any:  # noqa: ANN401, PLR0911 - one line for each type there is
    """Return ``value`` as something that JSON can hold."""
    match value:
        case None | str() | bool() | int() | float():
            return value
        case bytes():
            return _text_or_note(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case Decimal():
            return _number(value)
        case list():
            return [_json_value(item) for item in value]
        case dict():
            return _mapping(list(value.items()))
    return str(value)


def _number(value: Decimal) -> int | float | str:
    """Return a decimal as a number, or as text where that would change it into another one."""
    if not value.is_finite():
        return float(value)
    if value == value.to_integral_value():
        return int(value) if abs(value) < _BIGGEST_INT else str(value)
    return float(value)


def _text_or_note(value: bytes) -> str:
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return f"<{len(value):,} bytes>"
    return f"<{len(value):,} bytes>" if "\0" in decoded else decoded


def _said(error: BaseException) -> str:
    return text.one_line(str(error) or type(error).__name__, 160)
