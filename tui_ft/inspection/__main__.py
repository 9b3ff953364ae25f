"""The process that surveys a data set: `python -m tui_ft.inspection FOLDER`, the request on stdin.

The folder is locked while the process lives, so that everybody can see whether somebody is at work.
Who comes second waits, and then finds the answer there.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

import msgspec

from tui_ft import paths
from tui_ft.survey.asking import ERRNO_EXIT
from tui_ft.survey.folder import LOCK_FILE, read_summary, remove_old
from tui_ft.survey.request import Request


def main(folder: Path, request: Request) -> None:
    """Survey what is asked for, unless it has been done."""
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, paths.PRIVATE_FILE)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    os.utime(lock)
    remove_old()
    summary = read_summary(folder)
    if summary is None or summary.stage != "done":
        from tui_ft.inspection.survey import Survey

        Survey(request, folder).run()
    if request.tokens is not None:
        from tui_ft.inspection.tokens import count_tokens

        count_tokens(request, folder)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ctrl+c ends it, and its children, at once
    try:
        main(Path(sys.argv[1]), msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
    except OSError as fault:  # such as a full disk, on which nothing more can be said
        sys.exit(ERRNO_EXIT + (fault.errno or 0))
