"""A process that forks while another thread looks for a replayer leaves its child a free lock."""

from __future__ import annotations

import os
import threading

from tui_ft.memory import replayer


def test_a_child_can_ask_whatever_the_other_threads_did_when_it_was_made() -> None:
    replayer._LOCK.acquire()
    threading.Timer(0.2, replayer._LOCK.release).start()
    child = os.fork()
    if not child:
        os._exit(0 if replayer._LOCK.acquire(timeout=60) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert replayer._LOCK.acquire(timeout=60)
    replayer._LOCK.release()
