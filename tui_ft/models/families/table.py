"""Every family that is known, by transformers' `model_type`."""

from __future__ import annotations

from typing import Final

from tui_ft.models.families.family import Family
from tui_ft.models.families.llamas import LLAMAS

FAMILIES: Final[dict[str, Family]] = {**LLAMAS}
