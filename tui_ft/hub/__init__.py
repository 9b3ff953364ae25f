"""Models and data sets on the Hugging Face Hub, in its caches and in local folders, over httpx."""

from tui_ft.hub.locate import ModelLocation, locate_model
from tui_ft.hub.places import datasets_cache, hf_home, hub_cache

__all__ = ["ModelLocation", "datasets_cache", "hf_home", "hub_cache", "locate_model"]
