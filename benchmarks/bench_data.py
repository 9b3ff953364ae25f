"""Surveying data sets: how fast beside other libraries, in how much memory, how soon to be seen."""

from __future__ import annotations

import json
import os
import pty
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tui_ft import paths
from tui_ft.data import convert, detect, read_rows
from tui_ft.data.chat_tokenizer import load_chat_tokenizer
from tui_ft.data.items import Conversation
from tui_ft.data.rows import Row
from tui_ft.demo.prepare import prepare_model
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request, TokenRequest

_GB = 1_000_000_000
_ANSWER_WORDS = (60, 180)
_NEAR_ROWS = 1_000_000
_MARK = "zanzibarquux"
_TOKEN_ROWS = 100_000
_BATCH = 10_000
_ENTER = b"\r"


def survey_beside_others() -> dict[str, float]:
    """Measure the survey of 0.5 GB without near duplicates and tokens, and what others take."""
    with _scratch() as folder:
        file = _write_rows(folder / "rows.jsonl", _GB // 2)
        megabytes = file.stat().st_size / 1e6
        ours = _survey_seconds(Request(str(file), near=False))
        datasets = _seconds_of(
            "from datasets import load_dataset; "
            f"load_dataset('json', data_files={str(file)!r}, cache_dir={str(folder / 'cache')!r})"
        )
        polars = _seconds_of(f"import polars; polars.read_ndjson({str(file)!r})")
    return {
        "survey of 0.5 GB, MB/s": megabytes / ours,
        "datasets.load_dataset('json'), MB/s": megabytes / datasets,
        "polars.read_ndjson, MB/s": megabytes / polars,
        "survey / datasets, ratio of times": ours / datasets,
        "survey / polars, ratio of times": ours / polars,
    }


def memory_by_size() -> dict[str, float]:
    """Measure the peak memory of all the survey's processes together, for three sizes."""
    found = {}
    for size in (0.5, 1.0, 2.0):
        with _scratch() as folder:
            file = _write_rows(folder / "rows.jsonl", int(size * _GB))
            started = time.perf_counter()
            asked = Asked(Request(str(file), near=False))
            found[f"peak of the survey of {size} GB, MB"] = _peak_until_over(asked) / 1e6
            taken = time.perf_counter() - started
            found[f"survey of {size} GB, MB/s"] = file.stat().st_size / 1e6 / taken
    return found


def app_on_a_large_file() -> dict[str, float]:
    """Measure, in a pseudo-terminal, when the first row of 2 GB is seen, and the app's memory."""
    with _scratch() as folder:
        file = _write_rows(folder / "rows.jsonl", 2 * _GB)
        seconds, resident = _first_row_seconds(file)
        return {
            "2 GB opened in the app: first row seen after, s": seconds,
            "most resident memory of the app in ten seconds, MB": resident / 1e6,
        }


def tokens_beside_the_tokenizer() -> dict[str, float]:
    """Measure counting tokens, and the bare tokenizer on the same texts, on all cores."""
    model = prepare_model(lambda _: None)
    with _scratch() as folder:
        file = _write_rows(folder / "rows.jsonl", _TOKEN_ROWS * 900)
        tokenizer = load_chat_tokenizer(model)
        rows = [row for row in read_rows(file) if isinstance(row, Row)]
        detection = detect(rows[:1000])
        items = [convert(row, detection) for row in rows]
        texts = [
            tokenizer.render(item.messages) for item in items if isinstance(item, Conversation)
        ]
        bare = tokenizer._tokenizer
        started = time.perf_counter()
        count = 0
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            count += sum(len(e.ids) for e in bare.encode_batch(batch, add_special_tokens=False))
        alone = count / (time.perf_counter() - started)
        _survey_seconds(Request(str(file), near=False))
        ours = count / _survey_seconds(
            Request(str(file), near=False, tokens=TokenRequest(str(model)))
        )
    return {
        "tokens counted through the template, million/s": ours / 1e6,
        "the bare tokenizer, million/s": alone / 1e6,
        "ratio": ours / alone,
    }


def near_duplicates() -> dict[str, float]:
    """Measure near duplicates among a million short rows: with them less without."""
    with _scratch() as folder:
        file = folder / "rows.jsonl"
        words = _words(random.Random(1))
        with file.open("w") as out:
            for number in range(_NEAR_ROWS):
                said = " ".join(next(words) for _ in range(12))
                row = {"instruction": said, "output": f"{next(words)} {number}"}
                out.write(json.dumps(row) + "\n")
        without = _survey_seconds(Request(str(file), near=False))
        with_them = _survey_seconds(Request(str(file)))
    return {"near duplicates of a million short rows, s": with_them - without}


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


def _survey_seconds(request: Request) -> float:
    started = time.perf_counter()
    asked = Asked(request)
    *_, summary = asked.follow()
    if summary.problem is not None:
        raise RuntimeError(summary.problem)
    return time.perf_counter() - started


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


def _first_row_seconds(file: Path) -> tuple[float, int]:
    file = _marked(file)
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "ftui")],
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
        started = time.perf_counter()
        os.write(master, _ENTER)
        _wait_for(master, _MARK.encode())
        seconds = time.perf_counter() - started
        _wait_for(master, b"never to be seen", 10.0)
        return seconds, _peak_resident(process.pid)
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
