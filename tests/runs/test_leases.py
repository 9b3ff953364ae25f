from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

from tui_ft.runs.leases import GpuQueue, Waiting

A, B = "GPU-a", "GPU-b"


def test_two_runs_asked_for_one_gpu_queue_up_in_order(tmp_path: Path) -> None:
    with GpuQueue("first", [A], tmp_path) as first:
        assert first.acquire([A]) == (A,)
        with GpuQueue("second", [A], tmp_path) as second, GpuQueue("third", [A], tmp_path) as third:
            assert second.acquire([A]) == Waiting(("first",), (A,))
            assert third.acquire([A]) == Waiting(("first",), (A,))
            first.__exit__()
            # The third may ask first: the second was there before it.
            assert third.acquire([A]) == Waiting(("second",), (A,))
            assert second.acquire([A]) == (A,)
            first.__enter__()


def test_another_gpu_is_free_meanwhile(tmp_path: Path) -> None:
    with GpuQueue("first", [A], tmp_path) as first, GpuQueue("second", [B], tmp_path) as second:
        assert first.acquire([A]) == (A,)
        assert second.acquire([B]) == (B,)


def test_a_run_on_several_gets_them_together_and_is_not_passed_by(tmp_path: Path) -> None:
    with (
        GpuQueue("one", (), tmp_path) as one,
        GpuQueue("two", (), tmp_path, count=2) as two,
        GpuQueue("late", (), tmp_path) as late,
    ):
        assert one.acquire([A, B]) == (A,)
        assert two.acquire([A, B]) == Waiting(("one",), (A,))
        # B is free, but it is set aside for the run that was there before.
        assert late.acquire([A, B]) == Waiting(("one", "two"), (A, B))
        one.__exit__()
        assert two.acquire([A, B]) == (A, B)
        assert isinstance(late.acquire([A, B]), Waiting)
        one.__enter__()


def test_any_gpu_means_the_best_free_one(tmp_path: Path) -> None:
    with GpuQueue("first", (), tmp_path) as first, GpuQueue("second", (), tmp_path) as second:
        assert first.acquire([B, A]) == (B,)
        assert second.acquire([B, A]) == (A,)
        with GpuQueue("third", (), tmp_path) as third:
            assert third.acquire([B, A]) == Waiting(("first", "second"), (B, A))


def test_a_run_for_all_gpus_is_not_overtaken_by_later_ones(tmp_path: Path) -> None:
    with GpuQueue("small", [A], tmp_path) as small, GpuQueue("both", [A, B], tmp_path) as both:
        assert small.acquire([A]) == (A,)
        assert both.acquire([A, B]) == Waiting(("small",), (A,))
        with GpuQueue("late", [B], tmp_path) as late:
            assert late.acquire([B]) == Waiting(("both",), (B,))


def test_a_lease_survives_asking_again(tmp_path: Path) -> None:
    with GpuQueue("first", [A], tmp_path) as first:
        assert first.acquire([A]) == (A,)
        assert first.acquire([A]) == (A,)


def _hold(folder: Path) -> None:
    with GpuQueue("holder", [A], folder) as queue:
        queue.acquire([A])
        (folder / "held").touch()
        time.sleep(60)


def test_a_killed_holder_frees_its_gpu(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    process.start()
    try:
        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        with GpuQueue("next", [A], tmp_path) as queue:
            assert queue.acquire([A]) == Waiting(("holder",), (A,))
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            assert queue.acquire([A]) == (A,)
    finally:
        process.kill()
