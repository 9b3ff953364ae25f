"""Waiting for an app in tests: until it has nothing to do, however slow the machine is.

Textual's own `pause` looks at the process's CPU time: on a machine under load the process gets none
though it has much to do, and the pause is over at once. And it waits for at most a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import textual.app
import textual.pilot
from textual.app import App
from textual.pilot import Pilot
from textual.worker import Worker, WorkerError

LONG = 120.0
"""Seconds after which something is wrong, on however slow a machine."""
_SOON = 0.05
"""A screen is painted, and an animation moved, 60 times a second; a timer that comes late leaves
out up to two of its times: what comes so soon belongs to what is done now."""
_REST = 1.0
"""Seconds; a screen that waits for keys to rest waits for less."""


async def loop_is_idle(min_sleep: float = 0, max_sleep: float = LONG) -> None:
    """Return once no task of the loop can go on, and none is about to wake.

    Args:
        min_sleep: of no matter, as time says nothing.
        max_sleep: seconds after which it is given up.
    """
    loop: Any = asyncio.get_running_loop()
    deadline = time.monotonic() + max(max_sleep, LONG)
    while time.monotonic() < deadline:
        await asyncio.sleep(min_sleep)
        soon = loop.time() + _SOON
        due = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
        if not loop._ready and min(due, default=soon) >= soon:
            return
        if not loop._ready:
            await asyncio.sleep(0.002)


def patch() -> None:
    """Let every `press` and `pause` of a pilot wait until there is nothing to do."""
    for module in (textual.app, textual.pilot):
        assert hasattr(module, "wait_for_idle")
        setattr(module, "wait_for_idle", loop_is_idle)  # noqa: B010 - it is not exported


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until nothing is done any more, in threads neither, and all is laid out and drawn.

    A pause ends with a drawing of the screen, from which widgets learn their sizes: some wait for
    them to show what they know.
    """
    while True:
        await pilot.pause()
        busy = [one for one in pilot.app.workers if not one.is_finished]
        if not busy and not _is_to_be_drawn(pilot.app):
            return
        await asyncio.gather(*map(_end, busy))


def _is_to_be_drawn(app: App[Any]) -> bool:
    screen = app.screen
    told = any(not node._message_queue.empty() for node in screen.walk_children(with_self=True))
    return told or screen._layout_required or bool(screen._dirty_widgets)


async def _end(worker: Worker[Any]) -> None:
    with contextlib.suppress(WorkerError):  # what failed, or was cancelled, has ended too
        await worker.wait()


async def rested(pilot: Pilot[Any]) -> None:
    """Wait also for what is only begun when keys have rested for a while."""
    await settled(pilot)
    while _waits_for_a_rest(pilot):
        await asyncio.sleep(0.01)
        await settled(pilot)


def _waits_for_a_rest(pilot: Pilot[Any]) -> bool:
    nodes = [pilot.app, *pilot.app.screen.walk_children(with_self=True)]
    timers = [timer for node in nodes for timer in node._timers]
    return any(
        timer._repeat == 0
        and timer._interval < _REST
        and timer._task is not None
        and not timer._task.done()
        for timer in timers
    )


async def until(condition: Callable[[], object], pilot: Pilot[Any]) -> None:
    """Wait for what comes by itself.

    Raises:
        AssertionError: it does not come.
    """
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        await pilot.pause(0.02)
