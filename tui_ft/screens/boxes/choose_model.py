"""A model chosen: one on this machine, first what runs made; else one on the Hub, as one types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tui_ft import text
from tui_ft.hub.listing import HubAnswer
from tui_ft.hub.models_search import HubModel, search_models
from tui_ft.models.catalogue import CatalogueEntry
from tui_ft.runs.own_models import OwnModel, known_models, own_models
from tui_ft.screens.boxes.search_box import SearchBox, Words
from tui_ft.survey.at_hand import Candidate, completions

_MOST_KNOWN: Final = 20
_ORIGINS: Final = {"run": "run", "prepared": "ftui", "folder": "here", "cache": "cache"}

Offer = OwnModel | HubModel | CatalogueEntry


class Models:
    """Models by words of their names, or by the path of a folder."""

    words = Words(
        "Choose a model",
        "tab completes  down offers  enter takes it  esc cancel",
        "a folder, or words of a model's name on the Hub",
    )
    beside_name = 62

    def at_hand(self, typed: str) -> Sequence[Offer | Candidate]:
        """Return models on this machine; of a path, the folders it may mean."""
        if not typed.startswith(("/", ".", "~")):
            return own_models(typed)
        return [*own_models(typed), *(one for one in completions(typed) if one.is_folder)]

    def ask(self, typed: str) -> HubAnswer[Offer]:
        """Return what the Hub has."""
        return search_models(typed)

    def instead(self, typed: str) -> Sequence[Offer]:
        """Return the well-known models that are called so."""
        return known_models(typed)[:_MOST_KNOWN]

    def line(self, offer: Offer | Candidate, width: int) -> str:
        """Return an offer in a line: where it is, its name, and what one chooses by."""
        match offer:
            case Candidate(typed):
                return f"file   {text.fitted(text.ending(typed, width), width)}"
            case OwnModel(model, origin):
                chat = "  chat template" if model.chat_template else ""
                chat = f"  adapter{chat}" if model.adapter_of is not None else chat
                name = text.fitted(text.ending(model.name, width), width)
                return f"{_ORIGINS[origin]:<5}  {name}{text.size(model.size_bytes):>11}{chat}"
            case HubModel():
                return f"hub    {text.fitted(offer.id, width)}{_hub_cells(offer)}"
            case CatalogueEntry():
                gated = "  gated" if offer.gated else ""
                return f"known  {text.fitted(offer.id, width)}{offer.licence:>11}{gated}"

    def choice(self, offer: Offer | str) -> str:
        """Return the model's folder, or its id on the Hub."""
        match offer:
            case str():
                return offer
            case OwnModel(model):
                return str(model.path)
            case HubModel(id=name) | CatalogueEntry(id=name):
                return name


class ChooseModel(SearchBox[str, Offer]):
    """Dismisses with a folder or an id on the Hub; None for neither.

    Args:
        chosen: what holds now.
    """

    def __init__(self, chosen: str = "") -> None:
        super().__init__(Models(), chosen)


def _hub_cells(found: HubModel) -> str:
    cells = (
        f"{text.size(found.size_bytes):>11}",
        f"{text.count(found.parameters):>7} parameters",
        f"{text.count(found.downloads):>7} dl",
        text.one_line(found.licence or "no licence", 14),
        "gated" if found.gated else "",
        "chat template" if found.chat_template else "",
    )
    return "  ".join(cell for cell in cells if cell)
