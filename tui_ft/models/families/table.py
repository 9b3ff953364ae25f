"""Every family that is known, by transformers' `model_type`."""

from __future__ import annotations

from typing import Final

from tui_ft.models.families.classic import CLASSICS
from tui_ft.models.families.deepseek import DEEPSEEKS
from tui_ft.models.families.encoders import ENCODERS
from tui_ft.models.families.family import Family
from tui_ft.models.families.gemma3 import GEMMA3_VISION
from tui_ft.models.families.llamas import LLAMAS
from tui_ft.models.families.more import MORE

FAMILIES: Final[dict[str, Family]] = {
    **LLAMAS,
    **MORE,
    **GEMMA3_VISION,
    **CLASSICS,
    **DEEPSEEKS,
    **ENCODERS,
}
