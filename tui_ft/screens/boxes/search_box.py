"""A thing chosen as one types its name: what is on this machine at once, the Hub after a rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

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
from tui_ft.hub.listing import HubAnswer, may_be_named
from tui_ft.screens.boxes.dialog import Dialog
from tui_ft.survey.at_hand import Candidate, common_beginning
from tui_ft.widgets.signs import sign

PAUSE_SECONDS: Final = 0.3
_NARROWEST_NAME: Final = 28
_WIDEST_NAME: Final = 60

Choice = TypeVar("Choice")
Choice_co = TypeVar("Choice_co", covariant=True)
Offer = TypeVar("Offer")


@dataclass(frozen=True, slots=True)
class Words:
    """What the box says of itself."""

    title: str
    keys: str
    placeholder: str


class Searched(Protocol[Choice_co, Offer]):
    """What is searched for: where it is found, how it is shown, what is chosen by it.

    Attributes:
        words: what the box says of itself.
        beside_name: cells of a line that are not the name.
    """

    words: Words
    beside_name: int

    def at_hand(self, typed: str) -> Sequence[Offer | Candidate]:
        """Return what is on this machine; runs in a thread."""

    def ask(self, typed: str) -> HubAnswer[Offer]:
        """Return what the Hub has, or why it cannot be asked; runs in a thread."""

    def instead(self, typed: str) -> Sequence[Offer]:
        """Return what is known without the Hub, for when it cannot be asked."""

    def line(self, offer: Offer | Candidate, width: int) -> str:
        """Return an offer in a line, its name in ``width`` cells."""

    def choice(self, offer: Offer | str) -> Choice_co:
        """Return what is chosen by taking an offer, or by what was typed."""


class SearchBox(Dialog[Choice | None], Generic[Choice, Offer]):
    """Dismisses with what is chosen; None for nothing.

    Args:
        searched: what is searched for.
        typed: what stands in the field at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "down", "Offers", show=False, id="search.down", tooltip="To the offers"),
        Binding(
            "tab", "complete", "Complete", priority=True, id="search.complete",
            tooltip="Complete the path as far as it is clear",
        ),
        Binding("escape", "dismiss(None)", "Cancel", id="search.cancel", tooltip="Choose nothing"),
    ]  # fmt: skip

    class AtHand(Message):
        """What there is on this machine."""

        def __init__(self, typed: str, offers: Sequence[Any]) -> None:
            self.typed, self.offers = typed, offers
            super().__init__()

    class Answered(Message):
        """The Hub has answered, or cannot be asked."""

        def __init__(self, typed: str, answer: HubAnswer[Any], instead: Sequence[Any]) -> None:
            self.typed, self.answer, self.instead = typed, answer, instead
            super().__init__()

    def __init__(self, searched: Searched[Choice, Offer], typed: str = "") -> None:
        super().__init__()
        self._searched = searched
        self._first_typed = typed
        self._local: Sequence[Offer | Candidate] = ()
        self._found: Sequence[Offer] = ()
        self._waiting: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out the field, what is offered, how the Hub is."""
        words = self._searched.words
        with Vertical(classes="dialog") as box:
            box.border_title, box.border_subtitle = words.title, words.keys
            yield Input(self._first_typed, placeholder=words.placeholder, id="what")
            yield OptionList(id="offers")
            yield Static(id="hub")

    def on_mount(self) -> None:
        """Offer what is on this machine."""
        self.query_one("#what").focus()
        self._look(self._first_typed)

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
            return
        self._say("the Hub is asked …")
        self._waiting = self.set_timer(PAUSE_SECONDS, partial(self._ask, typed))

    def _look_at_hand(self, typed: str) -> None:
        offers = self._searched.at_hand(typed)
        if not get_current_worker().is_cancelled:
            self.post_message(self.AtHand(typed, offers))

    def _ask(self, typed: str) -> None:
        run = partial(self._ask_hub, typed)
        self.run_worker(run, thread=True, group="hub", exclusive=True, exit_on_error=False)

    def _ask_hub(self, typed: str) -> None:
        answer = self._searched.ask(typed)
        instead = self._searched.instead(typed) if answer.problem and not answer.found else ()
        if not get_current_worker().is_cancelled:
            self.post_message(self.Answered(typed, answer, instead))

    @property
    def _typed(self) -> str:
        return self.query_one("#what", Input).value

    def on_search_box_at_hand(self, message: AtHand) -> None:
        """Offer what is here."""
        if message.typed == self._typed:
            self._local = message.offers
            self._fill()

    def on_search_box_answered(self, message: Answered) -> None:
        """Offer what the Hub has; where it cannot be asked, what is known without it."""
        if message.typed != self._typed:
            return
        answer = message.answer
        self._found = answer.found or message.instead
        if answer.warning is not None:
            known = "; these ftui knows itself" if message.instead else ""
            self._say(f"{answer.warning}{known}", failed=True)
        else:
            count = len(answer.found)
            self._say(f"{count:,} found on the Hub" if count else "the Hub has none called so")
        self._fill()

    def _say(self, said: str, *, failed: bool = False) -> None:
        shown = text.plain(said)
        content = sign("warning").content(shown) if failed else Content(shown)
        self.query_one("#hub", Static).update(content)

    @property
    def _offers(self) -> list[Offer | Candidate]:
        return [*self._local, *self._found]

    def _fill(self) -> None:
        offers = self.query_one("#offers", OptionList)
        kept = offers.highlighted if offers.has_focus else None
        room = self.query_one("#what").size.width - self._searched.beside_name
        width = max(_NARROWEST_NAME, min(_WIDEST_NAME, room))
        lines = [self._searched.line(offer, width) for offer in self._offers]
        offers.clear_options()
        offers.add_options([Option(Content(line)) for line in lines])
        offers.display = bool(lines)
        offers.highlighted = kept

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        said = event.value.strip()
        if said:
            self.dismiss(self._searched.choice(said))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what is offered; of a folder show what is in it."""
        offer = self._offers[event.option_index]
        if not isinstance(offer, Candidate):
            self.dismiss(self._searched.choice(offer))
        elif offer.is_folder:
            self._type(offer.typed)
        else:
            self.dismiss(self._searched.choice(offer.typed))

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
