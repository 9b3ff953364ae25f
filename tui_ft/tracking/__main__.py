"""`python -m tui_ft.tracking FOLDER NAME`: feed one tracker with what one run says."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final, cast

from tui_ft.spec.tracking import TrackerName
from tui_ft.tracking.feeding import CLASSES, feed

_GENTLY: Final = 10
_PATIENCE_SECONDS: Final = 600.0


def main() -> int:
    """Feed the tracker; return 0 when all that the run said has been handed over."""
    parser = argparse.ArgumentParser(prog="python -m tui_ft.tracking")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=sorted(CLASSES))
    parser.add_argument("--patience", type=float, default=_PATIENCE_SECONDS)
    options = parser.parse_args()
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_GENTLY)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return feed(options.folder, cast(TrackerName, options.name), options.patience)


if __name__ == "__main__":
    sys.exit(main())
