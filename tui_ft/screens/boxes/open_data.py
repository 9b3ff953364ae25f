"""A data set chosen: a file or folder on this machine, one looked at lately, or one on the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tui_ft import text
from tui_ft.hub.datasets_search import HubDataset, search_datasets
from tui_ft.hub.listing import HubAnswer
from tui_ft.screens.boxes.search_box import SearchBox, Words
from tui_ft.survey.at_hand import Candidate, Recent, completions, recent_data
from tui_ft.survey.request import Request

_LICENCE: Final = 12

Offer = Recent | HubDataset


class Datasets:
    """Data sets by words of their names, or by the path of a file or folder."""

    words = Words(
        "Open a data set",
        "tab completes  down offers  enter opens  esc cancel",
        "a file, a folder, or words of a name on the Hub",
    )
    beside_name = 66

    def at_hand(self, typed: str) -> Sequence[Offer | Candidate]:
        """Return what was seen lately while nothing is typed, and files that ``typed`` may mean."""
        return [*(() if typed.strip() else recent_data()), *completions(typed)]

    def ask(self, typed: str) -> HubAnswer[Offer]:
        """Return what the Hub has."""
        return search_datasets(typed)

    def instead(self, typed: str) -> Sequence[Offer]:
        """Return none: ftui knows no data sets itself."""
        return ()

    def line(self, offer: Offer | Candidate, width: int) -> str:
        """Return an offer in a line: where it is, its name, and what one chooses by."""
        match offer:
            case Recent():
                more = f"{text.size(offer.bytes):>11}  {offer.rows:>11,} rows  {offer.format}"
                by_hand = ", columns by hand" if offer.request.columns else ""
                name = text.fitted(text.ending(offer.name, width), width)
                return f"seen  {name}{more}{by_hand}"
            case Candidate(typed, is_folder, size):
                more = "" if is_folder else f"{text.size(size):>11}"
                return f"file  {text.fitted(text.ending(typed, width), width)}{more}"
            case HubDataset():
                return f"hub   {text.fitted(offer.id, width)}{_hub_cells(offer)}"

    def choice(self, offer: Offer | str) -> Request:
        """Return what is to be opened: its path or id, and how its rows are read."""
        match offer:
            case str():
                return Request(offer)
            case Recent(request):
                return request
            case HubDataset(id=name):
                return Request(name)


class OpenData(SearchBox[Request, Offer]):
    """Dismisses with what is to be opened, None for nothing.

    Args:
        typed: what stands in the field at first.
    """

    def __init__(self, typed: str = "") -> None:
        super().__init__(Datasets(), typed)


def _hub_cells(found: HubDataset) -> str:
    access = f"gated ({found.gated})" if isinstance(found.gated, str) else "gated"
    rows = text.count(found.rows) if found.rows is not None else found.rows_class
    cells = (
        f"{text.size(found.size_bytes):>11}",
        f"{text.count(found.downloads):>7} dl",
        text.fitted(found.licence or "no licence", _LICENCE),
        access if found.gated else "",
        "private" if found.private else "",
        f"{rows} rows" if rows else "",
        ", ".join(found.formats),
    )
    return "  ".join(cell for cell in cells if cell)
