"""Which signs stand for how something is known, and for whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tui_ft.advise.situation import How
from tui_ft.widgets.signs import SignName

HOW: Final[Mapping[How, SignName]] = {
    "measured": "good",
    "asked": "selected",
    "assumed": "unknown",
}
FITS: Final[Mapping[str, SignName]] = {
    "fits": "good",
    "tight": "warning",
    "no": "bad",
    "unknown": "unknown",
}
