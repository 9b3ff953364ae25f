"""A worker that may take little more memory than it has: its allocator really fails, on the CPU.

The limit is the kernel's own (RLIMIT_DATA), on what the process has beside its model. It comes into
force where FTUI_TEST_LIMIT_AT says: when training begins, or once a step is logged.
"""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path
from typing import Final

from tui_ft.runs import events as ev
from tui_ft.runs.link import WorkerLink
from tui_ft.train import worker

ALLOWED: Final = 300 << 20
"""Bytes; 256 rows of the tiny model take twice as much, 64 take less."""
LIMIT_AT: Final = "FTUI_TEST_LIMIT_AT"


def main(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Train as always, with the limit from the step on that the environment says."""
    send, step = link.send, int(os.environ[LIMIT_AT])

    def limiting(event: ev.Event) -> None:
        begins = isinstance(event, ev.Phase) and event.phase == "train"
        logged = isinstance(event, ev.Metrics) and event.step == step
        if logged or (begins and (checkpoint is not None or not step)):
            _limit()
        send(event)

    link.send = limiting  # type: ignore[method-assign]
    worker.main(run_dir, gpus, checkpoint, link)


def _limit() -> None:
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    allowed = (int(found[1]) << 10) + ALLOWED
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, resource.RLIM_INFINITY))
