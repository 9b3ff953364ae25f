"""The process that surveys a data set: `python -m tui_ft.inspection FOLDER`.

The folder holds `request.json`. It is locked while the process lives, so that nobody surveys the
same twice and everybody can see whether somebody still does.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import msgspec

from tui_ft import paths
from tui_ft.survey.request import Request


def main(folder: Path) -> int:
    """Survey what the folder's request asks for; return the exit code."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # somebody is at it already
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)
    from tui_ft.survey.folder import read_summary

    summary = read_summary(folder)
    if summary is None or not summary.is_over:
        from tui_ft.inspection.survey import Survey

        Survey(request, folder).run()
    tokens = request.token_folder()
    if tokens is not None:
        from tui_ft.inspection.tokens import count_tokens

        count_tokens(request, folder, tokens)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
