"""One data set read whole: stage after stage, each leaving a summary that others can look at."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tui_ft import paths, text
from tui_ft.data import DataError, Detection, Row, detect, read_rows
from tui_ft.data.files.json_rows import holds_lines_in_place
from tui_ft.data.files.reading import source_bytes
from tui_ft.inspection import duplicates, near_duplicates
from tui_ft.inspection.by_library import STAGES, look
from tui_ft.inspection.collecting import Collector
from tui_ft.inspection.columns import Column, ColumnWriter
from tui_ft.inspection.languages import language_shares
from tui_ft.inspection.overlap import Examined, examined, overlaps
from tui_ft.inspection.pool import in_order, processes
from tui_ft.inspection.reading_pieces import read_piece
from tui_ft.inspection.rows_again import RowsAgain, column
from tui_ft.inspection.semantic import ALIKE, semantic_groups
from tui_ft.inspection.source import pieces
from tui_ft.survey.request import Request
from tui_ft.survey.summary import Stage

_ROWS_TO_DETECT: Final = 1_000
_PUBLISH_SECONDS: Final = 0.5
_LANGUAGE_SAMPLE: Final = 600
_ROWS_AT_ONCE: Final = 10_000
_GROUPS_KEPT: Final = 1_000
_GROUP_MEMBERS_KEPT: Final = 100
_SMALL: Final = 4 << 20


class Survey:
    """Reads one data set and writes down what is in it.

    Args:
        request: what is asked.
        folder: takes columns, groups and `summary.json`.
    """

    def __init__(self, request: Request, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._path = paths.expand(request.path)
        self._began = time.monotonic()
        self._published = 0.0
        self._total = source_bytes(self._path)
        self._data = Collector(self._path, folder, self._total)
        self._looked_for: list[Stage] = []

    def run(self) -> None:
        """Do all stages. What a person can cause ends in the summary as `problem`."""
        try:
            self._read()
            self._compare()
            self._publish("done")
        except DataError as error:
            self._publish("failed", str(error))
        except (OSError, BrokenProcessPool) as error:
            reason = getattr(error, "strerror", None) or "a process was killed, for want of memory?"
            self._publish("failed", f"{getattr(error, 'filename', None) or self._path}: {reason}")
        finally:
            self._data.close()

    def _read(self) -> None:
        detection = self._detect()
        self._data.detection = detection
        in_place = self._path.is_file() and holds_lines_in_place(self._path)
        found = pieces(self._path, self._folder / "rows.jsonl")
        with self._processes() as pool:
            task = partial(read_piece, detection=detection)
            for piece, read in in_order(pool, task, found):
                self._data.add(piece, read, in_place)
                self._publish_now_and_then("reading")

    def _detect(self) -> Detection:
        """Find the format by the first rows, at once."""
        first = islice(read_rows(self._path), _ROWS_TO_DETECT)
        rows = [row for row in first if isinstance(row, Row)]
        if not rows:
            bad = next(read_rows(self._path), None)
            raise DataError(
                f"{self._path} holds no row that can be read"
                + (f": line {bad.line}: {getattr(bad, 'reason', '')}" if bad else "")
            )
        return detect(rows, self._request.format, self._request.columns)

    def _compare(self) -> None:
        """Find what takes more than one row to see."""
        self._publish("duplicates")
        with self._processes() as pool:  # the language model takes half a second to load
            languages = pool.submit(_languages, self._rows())
            exact = duplicates.same_hash(self._column("rows.u64"), self._column("unusable.u8"))
            self._add_groups("exact-duplicate", exact)
            self._find_conflicts()
            self._data.add_languages(languages.result())
        if self._request.eval:
            self._publish("overlap")
            self._find_overlap(examined(paths.expand(self._request.eval), self._detection))
            self._looked_for.append("overlap")
        self._find_alike(exact)
        for extra in self._request.extras:
            self._publish(STAGES[extra])
            found = look(extra, self._rows(), self._publish_now_and_then)
            for finding, positions in sorted(found.rows.items()):
                self._data.add_found(finding, positions, detail=found.detail(finding))
            self._looked_for.append(STAGES[extra])
        self._data.flush()

    def _column(self, name: str) -> Column:
        self._data.flush()
        return Column(self._folder / name, np.uint8 if name.endswith(".u8") else np.uint64)

    @property
    def _detection(self) -> Detection:
        assert self._data.detection is not None, "the format is found before anything is compared"
        return self._data.detection

    def _find_alike(self, exact: duplicates.Groups) -> None:
        """Find what is the same but for a few words, or but for all of them."""
        alone = column(self._folder, "unusable.u8", np.uint8) == 0
        alone[exact.later()] = False
        groups = [exact]
        if self._request.near:
            self._publish("near duplicates")
            near = self._near(np.flatnonzero(alone).astype(np.int64))
            self._add_groups("near-duplicate", near)
            alone[near.later()] = False
            groups.insert(0, near)
            self._looked_for.append("near duplicates")
        encoder = self._request.encoder()
        if encoder is not None:
            self._publish("embedding")
            positions = np.flatnonzero(alone).astype(np.int64)
            scratch, tell = self._folder / "vectors.f32", self._publish_now_and_then
            same = semantic_groups(self._rows(), positions, encoder, scratch, tell)
            detail = f"cosine above {ALIKE} by {text.one_line(encoder.name, 40)}"
            self._add_groups("semantic-duplicate", same, detail)
            groups.insert(0, same)
            self._looked_for.append("semantic duplicates")
        if len(groups) > 1:
            self._write_group_numbers(len(alone), groups)

    def _find_conflicts(self) -> None:
        """Several pairs, judgements or labels for one prompt are how such data are made."""
        if self._detection.format in ("preference", "kto", "prompt_only", "text_label"):
            return
        columns = map(self._column, ("prompts.u64", "rows.u64", "unusable.u8"))
        groups = duplicates.conflicting(*columns)
        if len(groups):
            members = duplicates.as_positions(np.sort(groups.members))
            self._data.add_found("conflicting-answers", members, len(groups))
            self._write_groups("conflicting-answers", groups)

    def _find_overlap(self, examined_rows: Examined) -> None:
        whole, partly = array("Q"), array("Q")
        with self._processes(_look_for, self._rows(), examined_rows) as pool:
            for span, found in in_order(
                pool, _overlaps, iter(_spans(len(self._column("unusable.u8"))))
            ):
                for position, (is_whole, is_part) in enumerate(found, span[0]):
                    if is_whole:
                        whole.append(position)
                    elif is_part:
                        partly.append(position)
        if whole:
            self._data.add_found("eval-overlap", whole)
        if partly:
            self._data.add_found("eval-overlap-ngram", partly)

    def _near(self, positions: npt.NDArray[np.int64]) -> duplicates.Groups:
        bands = self._folder / "bands"
        with (
            ColumnWriter(bands) as writer,
            self._processes(_look_at, self._rows(), positions) as pool,
        ):
            for span, found in in_order(pool, _bands, iter(_spans(len(positions)))):
                for band in range(near_duplicates.BANDS):
                    writer.append(f"{band}.u64", np.ascontiguousarray(found[:, band]).tobytes())
                self._publish_now_and_then("near duplicates", span[1] / max(1, len(positions)))
        hashes = (column(bands, f"{band}.u64", np.uint64) for band in range(near_duplicates.BANDS))
        groups = near_duplicates.group(hashes, positions, self._rows())
        for file in bands.iterdir():
            file.unlink()
        bands.rmdir()
        return groups

    def _add_groups(self, name: str, groups: duplicates.Groups, detail: str = "") -> None:
        if len(groups):
            later = duplicates.as_positions(groups.later())
            self._data.add_found(name, later, len(groups), detail)
            self._write_groups(name, groups)

    def _write_groups(self, name: str, groups: duplicates.Groups) -> None:
        lists = groups.lists(_GROUPS_KEPT, _GROUP_MEMBERS_KEPT)
        paths.make_private_dir(self._folder / "groups")
        paths.write_atomically(self._folder / "groups" / f"{name}.json", msgspec.json.encode(lists))

    def _write_group_numbers(self, rows: int, kinds: Sequence[duplicates.Groups]) -> None:
        """Write for each row the position of the first row of its group, its own for none.

        Args:
            kinds: the loosest first: of a group of exact duplicates the first alone is compared.
        """
        first = np.arange(rows, dtype=np.uint64)
        for groups in kinds:
            sizes = groups.ends - groups.starts
            leaders = np.repeat(first[groups.members[groups.starts]], sizes)
            first[groups.members] = leaders
        # An exact duplicate's leader may lie in a group of near ones.
        with ColumnWriter(self._folder) as writer:
            writer.append("group.u64", first[first.astype(np.int64)].tobytes())

    def _rows(self) -> RowsAgain:
        self._data.flush()
        return RowsAgain(self._data.rows_file, self._folder, self._detection)

    def _processes(self, prepare: Callable[..., None] | None = None, *given: object) -> Executor:
        return processes(self._total < _SMALL, prepare, *given)

    def _publish_now_and_then(self, stage: Stage, share: float | None = None) -> None:
        if time.monotonic() - self._published >= _PUBLISH_SECONDS:
            self._publish(stage, share=share)

    def _publish(
        self, stage: Stage, problem: str | None = None, share: float | None = None
    ) -> None:
        self._data.flush()
        summary = self._data.summary(stage, time.monotonic() - self._began)
        summary = msgspec.structs.replace(
            summary, problem=problem, stage_share=share, looked_for=tuple(self._looked_for)
        )
        paths.write_atomically(self._folder / "summary.json", msgspec.json.encode(summary))
        self._published = time.monotonic()


def _spans(rows: int) -> list[tuple[int, int]]:
    return [(n, min(rows, n + _ROWS_AT_ONCE)) for n in range(0, rows, _ROWS_AT_ONCE)]


def _languages(rows: RowsAgain) -> dict[str, float]:
    """Return the languages of a sample of the rows."""
    step = max(1, len(rows) // _LANGUAGE_SAMPLE)
    views = rows.views(range(0, len(rows), step)[:_LANGUAGE_SAMPLE])
    return language_shares(view.answer or view.whole for view in views if view is not None)


class _Work:
    """What the tasks of a process look at."""

    rows: RowsAgain
    positions: npt.NDArray[np.int64]
    examined: Examined


def _look_at(rows: RowsAgain, positions: npt.NDArray[np.int64]) -> None:
    _Work.rows, _Work.positions = rows, positions


def _look_for(rows: RowsAgain, examined_rows: Examined) -> None:
    _Work.rows, _Work.examined = rows, examined_rows


def _bands(span: tuple[int, int]) -> npt.NDArray[np.uint64]:
    views = _Work.rows.views(_Work.positions[slice(*span)].tolist())
    return near_duplicates.band_hashes([view.whole if view else "" for view in views])


def _overlaps(span: tuple[int, int]) -> list[tuple[bool, bool]]:
    return [
        (False, False) if view is None else overlaps(view, _Work.examined)
        for view in _Work.rows.views(range(*span))
    ]
