"""A run that was asked to stop and does not come to it says so, once, and how it can be ended."""

from __future__ import annotations

from tui_ft.runs.stop_watch import PATIENCE_SECONDS, StopWatch


def test_it_is_said_once_when_a_stop_takes_too_long() -> None:
    now = [1000.0]
    watch = StopWatch("mine", lambda: now[0])
    now[0] += 2 * PATIENCE_SECONDS
    assert watch.look() is None  # nobody has asked
    watch.start()
    now[0] += PATIENCE_SECONDS - 1
    watch.start()  # asked again, by somebody impatient
    assert watch.look() is None
    now[0] += 1
    said = watch.look()
    assert said is not None
    assert said.text.startswith("asked to stop 60 s ago")
    assert said.advice == "`ftui kill mine` ends it at once; the checkpoints so far are kept"
    assert watch.look() is None
