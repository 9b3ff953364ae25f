"""Surveying data sets: how fast beside other libraries, in how much memory, how soon to be seen."""

from __future__ import annotations

import json
import math
import os
import pty
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tui_ft import paths
from tui_ft.data import convert, detect, read_rows
from tui_ft.data.chat.tokenizer import load_chat_tokenizer
from tui_ft.data.files.rows import Row
from tui_ft.data.items import Conversation
from tui_ft.demo.prepare import prepare_model
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request, TokenRequest

_GB = 1_000_000_000
_ANSWER_WORDS = (60, 180)
_NEAR_ROWS = 1_000_000
_MARK = "zanzibarquux"
_TOKEN_BYTES = 60_000_000
_BATCH = 10_000
_ENTER = b"\r"
_ROUNDS = 3
_WATCHED = 30.0
_LONG_BLOCK = 0.1
_REAL = {
    path.stem: path
    for path in (
        Path(__file__).parents[2] / "shared" / "data" / "alpaca_en_demo.json",
        Path(__file__).parents[2] / "shared" / "data" / "gsm8k_train.jsonl",
    )
}
# Runs the app, and writes down how long each callback of its event loop took that took long.
_WATCHING = """
import asyncio.events, sys, time
run, out = asyncio.events.Handle._run, open(sys.argv.pop(), "a", buffering=1)
def timed(handle):
    began, used = time.monotonic(), time.thread_time()
    run(handle)
    taken = time.monotonic() - began
    if taken > 0.01:
        print(began, taken, time.thread_time() - used, file=out)
asyncio.events.Handle._run = timed
from tui_ft.cli import main
main()
"""


def survey_beside_others(scale: float = 1.0) -> dict[str, float]:
    """Measure the survey without near duplicates and tokens, and what others take to read a file.

    On 0.5 GB of made-up prose, and on real rows, repeated, where they are at hand.
    """
    found: dict[str, float] = {}
    with _scratch() as folder:
        file = _write_rows(folder / "rows.jsonl", int(_GB / 2 * scale))
        found |= _beside_others("made-up prose", file)
    for name, source in _REAL.items():
        if source.exists():
            with _scratch() as folder:
                file = _write_repeated(folder / "rows.jsonl", source, int(_GB / 5 * scale))
                found |= _beside_others(name, file)
    return found


def _beside_others(name: str, file: Path) -> dict[str, float]:
    megabytes = file.stat().st_size / 1e6
    cache = file.with_name("cache")
    ours, datasets, polars = math.inf, math.inf, math.inf
    for _ in range(_ROUNDS):  # in turns, so that what else runs here troubles all alike
        ours = min(ours, _survey_seconds(Request(str(file), near=False)))
        code = f"load_dataset('json', data_files={str(file)!r}, cache_dir={str(cache)!r})"
        datasets = min(datasets, _seconds_of(f"from datasets import load_dataset; {code}"))
        shutil.rmtree(cache)
        polars = min(polars, _seconds_of(f"import polars; polars.read_ndjson({str(file)!r})"))
    return {
        f"{name}: survey of {megabytes:.0f} MB, MB/s": megabytes / ours,
        f"{name}: datasets.load_dataset('json'), MB/s": megabytes / datasets,
        f"{name}: polars.read_ndjson, MB/s": megabytes / polars,
        f"{name}: survey / datasets, ratio of times": ours / datasets,
        f"{name}: survey / polars, ratio of times": ours / polars,
    }


def memory_by_size(scale: float = 1.0) -> dict[str, float]:
    """Measure the peak memory of all the survey's processes together, for three sizes."""
    found: dict[str, float] = {}
    for size in (0.5 * scale, 1.0 * scale, 2.0 * scale):
        with _scratch() as folder:
            file = _write_rows(folder / "rows.jsonl", int(size * _GB))
            started = time.perf_counter()
            asked = Asked(Request(str(file), near=False))
            found[f"peak of the survey of {size:g} GB, MB"] = _peak_until_over(asked) / 1e6
            taken = time.perf_counter() - started
            found[f"survey of {size:g} GB, memory watched, MB/s"] = size * 1e3 / taken
    return found


def app_on_a_large_file(scale: float = 1.0) -> dict[str, float]:
    """Measure, in a pseudo-terminal, the app on 2 GB: first row, memory, the event loop's blocks.

    For half a minute in which the file is surveyed beside it.
    """
    with _scratch() as folder:
        file = _write_rows(folder / "rows.jsonl", int(2 * _GB * scale))
        seconds, resident, blocks = _opened_in_the_app(file, folder / "blocks")
        size = f"{2 * scale:g} GB in the app"
        return {
            f"{size}: first row seen after, s": seconds,
            f"{size}: most resident memory in {_WATCHED:g} s, MB": resident / 1e6,
            f"{size}: longest block of the event loop, s": max(b[0] for b in blocks),
            f"{size}: blocks over 0.1 s": sum(b[0] > _LONG_BLOCK for b in blocks),
            f"{size}: most processor time in one block, s": max(b[1] for b in blocks),
        }


def tokens_beside_the_tokenizer(scale: float = 1.0) -> dict[str, float]:
    """Measure counting tokens, and the bare tokenizer on the same texts, on all cores."""
    model = prepare_model(lambda _: None)
    found: dict[str, float] = {}
    with _scratch() as folder:
        file = _write_rows(folder / "rows.jsonl", int(_TOKEN_BYTES * scale))
        found |= _tokens_of("made-up prose", file, model)
    for name, source in _REAL.items():
        if source.exists():
            with _scratch() as folder:
                file = _write_repeated(folder / "rows.jsonl", source, int(_TOKEN_BYTES * scale))
                found |= _tokens_of(name, file, model)
    return found


def _tokens_of(name: str, file: Path, model: Path) -> dict[str, float]:
    tokenizer = load_chat_tokenizer(model)
    rows = [row for row in read_rows(file) if isinstance(row, Row)]
    detection = detect(rows[:1000])
    items = [convert(row, detection) for row in rows]
    texts = [tokenizer.render(item.messages) for item in items if isinstance(item, Conversation)]
    request = Request(str(file), near=False, tokens=TokenRequest(str(model)))
    _survey_seconds(Request(str(file), near=False), keep=True)
    alone = fast = ours = math.inf
    count = 0
    for _ in range(_ROUNDS):
        alone_now, count = _encoding_seconds(tokenizer._tokenizer.encode_batch, texts)
        alone = min(alone, alone_now)
        fast = min(fast, _encoding_seconds(tokenizer._tokenizer.encode_batch_fast, texts)[0])
        ours = min(ours, _survey_seconds(request, keep=True))
        shutil.rmtree(request.token_folder() or "")
    return {
        f"{name}: tokens counted, million/s": count / ours / 1e6,
        f"{name}: bare encode_batch, million/s": count / alone / 1e6,
        f"{name}: bare encode_batch_fast (no offsets), million/s": count / fast / 1e6,
        f"{name}: counted / bare encode_batch, ratio of rates": alone / ours,
    }


def _encoding_seconds(encode: Callable[..., list[Any]], texts: Sequence[str]) -> tuple[float, int]:
    started, count = time.perf_counter(), 0
    for start in range(0, len(texts), _BATCH):
        batch = encode(texts[start : start + _BATCH], add_special_tokens=False)
        count += sum(map(len, batch))
    return time.perf_counter() - started, count


def near_duplicates(scale: float = 1.0) -> dict[str, float]:
    """Measure near duplicates among a million short rows: with them less without."""
    rows = int(_NEAR_ROWS * scale)
    with _scratch() as folder:
        file = folder / "rows.jsonl"
        words = _words(random.Random(1))
        with file.open("w") as out:
            for number in range(rows):
                said = " ".join(next(words) for _ in range(12))
                row = {"instruction": said, "output": f"{next(words)} {number}"}
                out.write(json.dumps(row) + "\n")
        without = _survey_seconds(Request(str(file), near=False))
        with_them = _survey_seconds(Request(str(file)))
    return {f"near duplicates of {rows:,} short rows, s": with_them - without}


MEASURES = (
    survey_beside_others,
    memory_by_size,
    app_on_a_large_file,
    tokens_beside_the_tokenizer,
    near_duplicates,
)
"""Each takes a scale: of how large a file, as a part of what is asked for."""


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give a folder for files, and a home of its own within."""
    before = os.environ.get("FTUI_HOME")
    with tempfile.TemporaryDirectory() as name:
        os.environ["FTUI_HOME"] = str(Path(name) / "home")
        try:
            yield Path(name)
        finally:
            os.environ.pop("FTUI_HOME")
            if before is not None:
                os.environ["FTUI_HOME"] = before


def _write_rows(file: Path, size: int) -> Path:
    """Write Alpaca rows of 500 to 1,300 bytes of made-up words, no two alike."""
    generator = random.Random(0)
    words = _words(generator)
    written = 0
    with file.open("w") as out:
        while written < size:
            count = generator.randint(*_ANSWER_WORDS)
            answer = " ".join(next(words) for _ in range(count)).capitalize()
            asked = " ".join(next(words) for _ in range(12))
            line = json.dumps({"instruction": f"{asked}?", "input": "", "output": f"{answer}."})
            written += out.write(f"{line}\n")
    return file


def _words(generator: random.Random) -> Iterator[str]:
    syllables = ("ka", "to", "mi", "sen", "ra", "lu", "ven", "do", "pi", "hal", "er", "on")
    known = ["".join(generator.choices(syllables, k=n % 3 + 1)) for n in range(4_000)]
    while True:
        yield from generator.choices(known, k=1_000)


def _write_repeated(file: Path, source: Path, size: int) -> Path:
    """Write the rows of ``source`` as JSONL, over and over."""
    rows = [row.values for row in read_rows(source) if isinstance(row, Row)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with file.open("w") as out:
        for _ in range(max(1, round(size / len(lines.encode())))):
            out.write(lines)
    return file


def _survey_seconds(request: Request, *, keep: bool = False) -> float:
    started = time.perf_counter()
    asked = Asked(request)
    *_, summary = asked.follow()
    if summary.problem is not None:
        raise RuntimeError(summary.problem)
    taken = time.perf_counter() - started
    if not keep:
        shutil.rmtree(asked.folder)
    return taken


def _peak_until_over(asked: Asked) -> int:
    peak = 0
    while not asked.is_over():
        process = asked._process
        if process is not None and process.poll() is None:
            peak = max(peak, _memory_of(process.pid))
        time.sleep(0.1)
    return peak


def _memory_of(pid: int) -> int:
    """Return the memory of a process and its children, what they share counted once (PSS)."""
    total = 0
    try:
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def _opened_in_the_app(file: Path, blocks: Path) -> tuple[float, int, list[tuple[float, float]]]:
    """Return the seconds to the first row, the most memory, and how long the event loop stood.

    Of each callback that took over 10 ms the seconds by the clock, in which others may have had
    the processor, and those that it used itself.
    """
    file = _marked(file)
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCHING, str(blocks)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        start_new_session=True,
    )
    os.close(slave)
    try:
        _wait_for(master, b"Runs")
        os.write(master, b"2")
        _wait_for(master, b"enter")
        os.write(master, str(file).encode())
        _wait_for(master, file.name.encode())
        started = time.monotonic()
        os.write(master, _ENTER)
        _wait_for(master, _MARK.encode())
        seconds = time.monotonic() - started
        _wait_for(master, b"never to be seen", _WATCHED)
        seen = [list(map(float, line.split())) for line in blocks.read_text().splitlines()]
        long = [(taken, used) for began, taken, used in seen if began >= started]
        return seconds, _peak_resident(process.pid), long or [(0.0, 0.0)]
    finally:
        process.kill()
        process.wait()
        os.close(master)
        shutil.rmtree(paths.home(), ignore_errors=True)


def _marked(file: Path) -> Path:
    """Put a word into the first row that stands nowhere else on the screen."""
    with file.open("r+b") as rows:
        line = rows.readline()
        row = json.loads(line)
        row["instruction"] = _MARK
        shorter = json.dumps(row).encode()
        assert len(shorter) < len(line)
        rows.seek(0)
        rows.write(shorter.ljust(len(line) - 1) + b"\n")
    return file


def _peak_resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) * 1024


def _wait_for(master: int, wanted: bytes, seconds: float = 30.0) -> None:
    seen, deadline = b"", time.perf_counter() + seconds
    while wanted not in seen and time.perf_counter() < deadline:
        select.select([master], [], [], 0.01)
        try:
            seen += os.read(master, 1 << 16)
        except (BlockingIOError, OSError):
            continue


def _seconds_of(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - started
