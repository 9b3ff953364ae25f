"""A data set chosen: a file or folder on this machine, one looked at lately, or one on the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tui_ft import text
from tui_ft.hub.datasets_search import HubDataset, SearchAnswer, SearchMemory, may_be_named
from tui_ft.screens.dialog import Dialog
from tui_ft.survey.at_hand import (
    Candidate,
    Recent,
    common_beginning,
    completions,
    recent_data,
)
from tui_ft.survey.request import Request
from tui_ft.widgets.signs import sign

_PAUSE_SECONDS: Final = 0.3
_NARROWEST_NAME: Final = 28
_WIDEST_NAME: Final = 60
_BESIDE_NAME: Final = 66
_LICENCE: Final = 12

Offer = Recent | Candidate | HubDataset


class OpenData(Dialog[Request | None]):
    """Dismisses with what is to be opened: its path or id, and how its rows are read.

    Args:
        memory: what the Hub has answered before.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "down", "Offers", show=False, id="open.down", tooltip="Go to the offers"),
        Binding(
            "tab", "complete", "Complete", priority=True, id="open.complete", tooltip="Complete it"
        ),
        Binding("escape", "dismiss(None)", "Cancel", id="open.cancel", tooltip="Open nothing"),
    ]

    class AtHand(Message):
        """What there is on this machine."""

        def __init__(self, typed: str, offers: Sequence[Recent | Candidate]) -> None:
            self.typed, self.offers = typed, offers
            super().__init__()

    class Answered(Message):
        """The Hub has answered."""

        def __init__(self, typed: str, answer: SearchAnswer) -> None:
            self.typed, self.answer = typed, answer
            super().__init__()

    def __init__(self, memory: SearchMemory) -> None:
        super().__init__()
        self._memory = memory
        self._local: Sequence[Recent | Candidate] = ()
        self._found: Sequence[HubDataset] = ()
        self._waiting: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out the field, what is offered, how the Hub is."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Open a data set"
            box.border_subtitle = "tab completes  down offers  enter opens  esc cancel"
            yield Input(
                placeholder="a file, a folder, or words of a data set's name on the Hub",
                id="what",
            )
            yield OptionList(id="offers")
            yield Static(id="hub")

    def on_mount(self) -> None:
        """Offer what was looked at lately."""
        self.query_one("#what").focus()
        self._look("")

    @property
    def _typed(self) -> str:
        return self.query_one("#what", Input).value

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look on this machine at once, and on the Hub after a rest."""
        self._look(event.value)

    def _look(self, typed: str) -> None:
        run = partial(self._look_at_hand, typed)
        self.run_worker(run, thread=True, group="at hand", exclusive=True, exit_on_error=False)
        if self._waiting is not None:
            self._waiting.stop()
        self.workers.cancel_group(self, "hub")
        self._found = ()
        if not may_be_named(typed):
            self._say("")
        elif (known := self._memory.known(typed)) is not None:
            self.post_message(self.Answered(typed, known))
        else:
            self._say("the Hub is asked …")
            self._waiting = self.set_timer(_PAUSE_SECONDS, partial(self._ask, typed))

    def _look_at_hand(self, typed: str) -> None:
        recent = recent_data() if not typed.strip() else ()
        offers: list[Recent | Candidate] = [*recent, *completions(typed)]
        if not get_current_worker().is_cancelled:
            self.post_message(self.AtHand(typed, offers))

    def _ask(self, typed: str) -> None:
        run = partial(self._ask_hub, typed)
        self.run_worker(run, thread=True, group="hub", exclusive=True, exit_on_error=False)

    def _ask_hub(self, typed: str) -> None:
        answer = self._memory.find(typed)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Answered(typed, answer))

    def on_open_data_at_hand(self, message: AtHand) -> None:
        """Offer what is here."""
        self._local = message.offers
        self._fill()

    def on_open_data_answered(self, message: Answered) -> None:
        """Offer what the Hub has, or say why it has nothing."""
        if message.typed != self._typed:
            return
        self._found = message.answer.found
        if message.answer.problem is not None:
            self._say(message.answer.problem, failed=True)
        else:
            count = len(self._found)
            self._say(f"{count:,} found on the Hub" if count else "the Hub has none called so")
        self._fill()

    def _say(self, said: str, *, failed: bool = False) -> None:
        shown = text.plain(said)
        content = sign("warning").content(shown) if failed else Content(shown)
        self.query_one("#hub", Static).update(content)

    def _fill(self) -> None:
        offers = self.query_one("#offers", OptionList)
        kept = offers.highlighted if offers.has_focus else None
        width = self.query_one("#what").size.width
        offers.clear_options()
        offers.add_options([Option(offer_line(offer, width)) for offer in self._offers])
        offers.display = bool(self._offers)
        offers.highlighted = kept

    @property
    def _offers(self) -> list[Offer]:
        return [*self._local, *self._found]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open what was typed."""
        said = event.value.strip()
        if said:
            self.dismiss(Request(said))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open what is offered; of a folder show what is in it."""
        match self._offers[event.option_index]:
            case Recent(request):
                self.dismiss(request)
            case HubDataset(id=name):
                self.dismiss(Request(name))
            case Candidate(typed, is_folder):
                if is_folder:
                    self._type(typed)
                else:
                    self.dismiss(Request(typed))

    def _type(self, typed: str) -> None:
        field = self.query_one("#what", Input)
        self.set_focus(field)
        field.value = typed
        field.cursor_position = len(typed)

    def action_down(self) -> None:
        """Go to the offers."""
        offers = self.query_one("#offers", OptionList)
        if self._offers and not offers.has_focus:
            self.set_focus(offers)
            offers.highlighted = 0

    def action_complete(self) -> None:
        """Complete the path as far as it is clear; from the offers go back to the field."""
        field = self.query_one("#what", Input)
        files = tuple(offer for offer in self._local if isinstance(offer, Candidate))
        beginning = common_beginning(files)
        if field.has_focus and len(beginning) > len(field.value):
            self._type(beginning)
        elif field.has_focus:
            self.action_down()
        else:
            self.set_focus(field)


def offer_line(offer: Offer, width: int) -> Content:
    """Return an offer in a line: where it is, its name, and what one chooses by.

    Args:
        width: cells there are.
    """
    name = max(_NARROWEST_NAME, min(_WIDEST_NAME, width - _BESIDE_NAME))
    match offer:
        case Recent():
            more = f"{text.size(offer.bytes):>11}  {offer.rows:>11,} rows  {offer.format}"
            by_hand = ", columns by hand" if offer.request.columns else ""
            end = text.ending(offer.name, name)
            return Content(f"seen  {text.fitted(end, name)}{more}{by_hand}")
        case Candidate(typed, is_folder, size):
            more = "" if is_folder else f"{text.size(size):>11}"
            return Content(f"file  {text.fitted(text.ending(typed, name), name)}{more}")
        case HubDataset():
            return Content(f"hub   {text.fitted(offer.id, name)}{_hub_cells(offer)}")


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
