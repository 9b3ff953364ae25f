"""Processes to work in beside each other, and what comes out of them in order."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, TypeVar

_MOST: Final = 8
_LOOK_SECONDS: Final = 0.5

_T = TypeVar("_T")
_R = TypeVar("_R")


def processes(
    is_small: bool, prepare: Callable[..., None] | None = None, *given: object
) -> Executor:
    """Return processes to work in; for something small this one alone.

    Args:
        prepare: called in each with what is ``given``: large things, handed on by forking and not
            with every task.
    """
    count = _count()
    if count == 1 or is_small:
        if prepare is not None:
            prepare(*given)
        return _Here()
    return ProcessPoolExecutor(
        count,
        mp_context=get_context("fork"),
        initializer=_begin,
        initargs=(os.getpid(), prepare, given),
    )


def _count() -> int:
    return min(_MOST, os.cpu_count() or 1)


def one_process() -> Executor:
    """Return one process that keeps what a task leaves in it, for those that load torch.

    It is spawned: a fork would have the locks of threads that are not there.
    """
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(), None, ())
    )


def _begin(parent: int, prepare: Callable[..., None] | None, given: tuple[object, ...]) -> None:
    """Prepare a process, which is to end with the one that started it, however that ends.

    Args:
        parent: who started it. Asked for here, it could be dead already, and be taken for another.
        prepare: called with what is ``given``.
        given: what it takes.
    """
    watcher = threading.Thread(target=_end_with, args=(parent,), daemon=True)
    watcher.start()
    if prepare is not None:
        prepare(*given)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


class _Here(Executor):
    """Does the work in this process: a small file is read before others would have started."""

    def submit(self, fn: Callable[..., _R], /, *args: object, **kwargs: object) -> Future[_R]:
        """Do it now."""
        future: Future[_R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # handed to whoever asks for the result
            future.set_exception(error)
        return future


def in_order(
    pool: Executor, task: Callable[[_T], _R], given: Iterator[_T]
) -> Iterator[tuple[_T, _R]]:
    """Return each thing given and what ``task`` makes of it, in order, some ahead at a time."""
    waiting: deque[tuple[_T, Future[_R]]] = deque()
    ahead = 1 if isinstance(pool, _Here) else 2 * _count()
    for thing in given:
        waiting.append((thing, pool.submit(task, thing)))
        if len(waiting) >= ahead:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()
