"""A model chosen: one on this machine, first what runs made; else one on the Hub, as one types."""

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
from tui_ft.hub.models_search import HubModel, ModelsAnswer, search_models
from tui_ft.models.catalogue import CatalogueEntry
from tui_ft.runs.own_models import OwnModel, known_models, own_models
from tui_ft.screens.dialog import Dialog
from tui_ft.survey.at_hand import Candidate, completions
from tui_ft.widgets.signs import sign

_PAUSE_SECONDS: Final = 0.3
_FEWEST_LETTERS: Final = 2
_BESIDE_NAME: Final = 62
_NARROWEST_NAME: Final = 28
_WIDEST_NAME: Final = 60
_MOST_KNOWN: Final = 20
_ORIGINS: Final = {"run": "run", "prepared": "ftui", "folder": "here", "cache": "cache"}

Offer = OwnModel | Candidate | HubModel | CatalogueEntry


class ChooseModel(Dialog[str | None]):
    """Dismisses with a folder or an id on the Hub; None for neither.

    Args:
        chosen: what holds now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "down", "Offers", show=False, id="model.down", tooltip="To the offers"),
        Binding("escape", "dismiss(None)", "Cancel", id="model.cancel", tooltip="Choose none"),
    ]

    class AtHand(Message):
        """What there is on this machine."""

        def __init__(self, typed: str, offers: Sequence[OwnModel | Candidate]) -> None:
            self.typed, self.offers = typed, offers
            super().__init__()

    class Answered(Message):
        """The Hub has answered, or cannot be asked."""

        def __init__(self, typed: str, answer: ModelsAnswer) -> None:
            self.typed, self.answer = typed, answer
            super().__init__()

    def __init__(self, chosen: str = "") -> None:
        super().__init__()
        self._chosen = chosen
        self._local: Sequence[OwnModel | Candidate] = ()
        self._found: Sequence[HubModel | CatalogueEntry] = ()
        self._waiting: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out the field, what is offered, how the Hub is."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Choose a model"
            box.border_subtitle = "down offers  enter takes it  esc cancel"
            yield Input(
                self._chosen,
                placeholder="a folder, or words of a model's name on the Hub",
                id="what",
            )
            yield OptionList(id="offers")
            yield Static(id="hub")

    def on_mount(self) -> None:
        """Offer what is on this machine."""
        self.query_one("#what").focus()
        self._look(self._chosen)

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
        is_path = typed.startswith(("/", ".", "~"))
        if is_path or len(typed.strip()) < _FEWEST_LETTERS:
            self._say("")
            return
        self._say("the Hub is asked …")
        self._waiting = self.set_timer(_PAUSE_SECONDS, partial(self._ask, typed))

    def _look_at_hand(self, typed: str) -> None:
        offers: list[OwnModel | Candidate] = list(own_models(typed))
        if typed.startswith(("/", ".", "~")):
            offers += [one for one in completions(typed) if one.is_folder]
        if not get_current_worker().is_cancelled:
            self.post_message(self.AtHand(typed, offers))

    def _ask(self, typed: str) -> None:
        run = partial(self._ask_hub, typed)
        self.run_worker(run, thread=True, group="hub", exclusive=True, exit_on_error=False)

    def _ask_hub(self, typed: str) -> None:
        answer = search_models(typed)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Answered(typed, answer))

    @property
    def _typed(self) -> str:
        return self.query_one("#what", Input).value

    def on_choose_model_at_hand(self, message: AtHand) -> None:
        """Offer what is here."""
        if message.typed == self._typed:
            self._local = message.offers
            self._fill()

    def on_choose_model_answered(self, message: Answered) -> None:
        """Offer what the Hub has; where it cannot be asked, what ftui knows itself."""
        if message.typed != self._typed:
            return
        answer = message.answer
        self._found = answer.found or known_models(message.typed)[:_MOST_KNOWN]
        if answer.problem is not None:
            known = "; these ftui knows itself" if self._found and not answer.found else ""
            self._say(f"{answer.problem}{known}", failed=True)
        else:
            count = len(answer.found)
            self._say(f"{count:,} found on the Hub" if count else "the Hub has none called so")
        self._fill()

    def _say(self, said: str, *, failed: bool = False) -> None:
        shown = text.plain(said)
        content = sign("warning").content(shown) if failed else Content(shown)
        self.query_one("#hub", Static).update(content)

    @property
    def _offers(self) -> list[Offer]:
        return [*self._local, *self._found]

    def _fill(self) -> None:
        offers = self.query_one("#offers", OptionList)
        kept = offers.highlighted if offers.has_focus else None
        width = self.query_one("#what").size.width
        offers.clear_options()
        offers.add_options([Option(model_line(offer, width)) for offer in self._offers])
        offers.display = bool(self._offers)
        offers.highlighted = kept

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        said = event.value.strip()
        if said:
            self.dismiss(said)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what is offered; of a folder without a model show what is in it."""
        match self._offers[event.option_index]:
            case OwnModel(model):
                self.dismiss(str(model.path))
            case HubModel(id=name) | CatalogueEntry(id=name):
                self.dismiss(name)
            case Candidate(typed):
                field = self.query_one("#what", Input)
                field.value = typed
                field.cursor_position = len(typed)
                self.set_focus(field)

    def action_down(self) -> None:
        """Go to the offers."""
        offers = self.query_one("#offers", OptionList)
        if self._offers and not offers.has_focus:
            self.set_focus(offers)
            offers.highlighted = 0


def model_line(offer: Offer, width: int) -> Content:
    """Return an offer in a line: where it is, its name, and what one chooses by."""
    name = max(_NARROWEST_NAME, min(_WIDEST_NAME, width - _BESIDE_NAME))
    match offer:
        case Candidate(typed):
            return Content(f"file   {text.fitted(text.ending(typed, name), name)}")
        case OwnModel(model, origin):
            chat = "  chat template" if model.chat_template else ""
            chat = f"  adapter{chat}" if model.adapter_of is not None else chat
            shown = text.fitted(text.ending(model.name, name), name)
            return Content(f"{_ORIGINS[origin]:<5}  {shown}{text.size(model.size_bytes):>11}{chat}")
        case HubModel():
            return Content(f"hub    {text.fitted(offer.id, name)}{_hub_cells(offer)}")
        case CatalogueEntry():
            gated = "  gated" if offer.gated else ""
            return Content(f"known  {text.fitted(offer.id, name)}{offer.licence:>11}{gated}")


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
