"""A run handed over as what others read: a plain script on trl, an Axolotl YAML."""

from tui_ft.eject.axolotl import axolotl_config
from tui_ft.eject.handing_over import Ejected, EjectError, Target, eject
from tui_ft.eject.script import script

__all__ = ["EjectError", "Ejected", "Target", "axolotl_config", "eject", "script"]
