"""Models on the Hugging Face Hub, in its cache and in local folders, over httpx alone."""

from tui_ft.hub.locate import ModelLocation, hf_home, hub_cache, locate_model

__all__ = ["ModelLocation", "hf_home", "hub_cache", "locate_model"]
