"""What a model is, from its config.json alone: modules, parameters, adapters; without torch.

`architecture_of` is the door. Numbers are those of the model that transformers makes.
"""

from tui_ft.models.architecture import Architecture
from tui_ft.models.reading import architecture_of
from tui_ft.models.values import ArchitectureError

__all__ = ["Architecture", "ArchitectureError", "architecture_of"]
