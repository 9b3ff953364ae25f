"""The closed form: what a step takes of a GPU from sizes alone; no torch, no process, at once."""

from tui_ft.memory.estimate.closed_form import estimate
from tui_ft.memory.sharding import Sharding

__all__ = ["Sharding", "estimate"]
