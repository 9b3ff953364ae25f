from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.runs.reader import LineTail, RunReader, read_events


def _metrics(step: int) -> ev.Metrics:
    return ev.Metrics(step=step, epoch=0.0, values={"loss": 1.0})


def test_numbers_go_on_where_another_writer_left_off(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for _ in range(2):
        journal = Journal(folder)
        journal.write(_metrics(1))
        journal.write(_metrics(2))
        journal.close()
    assert [event.seq for event in read_events(folder)] == [1, 2, 3, 4]


def test_a_full_disk_delays_events_and_loses_none_but_the_droppable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    journal = Journal(folder)
    real_write = os.write
    room = [10]  # bytes left: the first event goes in half

    def write(descriptor: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real_write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    journal.write(_metrics(1))
    journal.write(ev.Progress(step=1, total_steps=2, epoch=0.5))
    journal.write(_metrics(2))
    assert journal.backlog == 2
    room[0] = 1 << 20
    journal.flush()
    journal.close()
    assert [e.step for e in read_events(folder) if isinstance(e, ev.Metrics)] == [1, 2]
    assert not [e for e in read_events(folder) if isinstance(e, ev.Progress)]


def test_a_disk_that_stays_full_still_takes_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    journal = Journal(folder)
    (room,) = [file for file in tmp_path.iterdir() if file.name.endswith(".room")]
    assert room.stat().st_size == 65_536
    journal.write(_metrics(1))
    real_write = os.write

    def write(descriptor: int, data: bytes) -> int:
        if room.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    for step in range(2, 2_000):
        journal.write(_metrics(step))
    journal.write(ev.Ended(state="failed", reason="the disk is full"))
    journal.close()
    events = list(read_events(folder))
    assert isinstance(events[-1], ev.Ended)
    assert folder.events_file.stat().st_size < 65_536
    steps = [one.step for one in events if isinstance(one, ev.Metrics)]
    assert steps[:1] == [1]
    assert steps[1:] == list(range(2_000 - len(steps[1:]), 2_000))  # the newest, without a gap
    assert len(steps) > 100
    assert not room.exists()


def test_a_tail_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\ntw")
    tail = LineTail(path)
    assert tail.read() == [b"one"]
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert tail.read() == [b"two", b"three"]


def test_a_tail_reads_lines_longer_than_its_chunk(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100 + b"\nshort\n")
    tail = LineTail(path)
    assert tail.read(at_most=10) == [b"x" * 100]
    assert tail.read(at_most=10) == [b"short"]


def test_unknown_and_damaged_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.events_file.write_bytes(
        b'{"type":"from_the_future","t":1,"seq":1}\n{"type":"metr\n\xff\xfe\n'
        + ev.encode(_metrics(1))
    )
    reader = RunReader(folder)
    reader.catch_up()
    assert reader.unreadable == 3
    assert reader.history.series("loss").x == [1]
