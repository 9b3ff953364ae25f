"""A question that must be answered before something is lost."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui_ft import text


class Confirm(ModalScreen[bool]):
    """Asks ``question`` and dismisses with the answer; `enter` alone never destroys anything.

    Args:
        question: one sentence.
        consequence: what will be lost or will happen, and whether it can be undone.
        confirm_label: the verb on the button: `Delete`, `Stop run`.
        destructive: whether No is the default and the button is red.
    """

    DEFAULT_CSS = """
    Confirm {
        align: center middle;
        & > Vertical {
            width: 64;
            max-width: 95%;
            height: auto;
            max-height: 95%;
            padding: 1 2;
            border: round $warning;
            background: $surface;
        }
        & #question { text-style: bold; }
        & #consequence-box {
            height: auto;
            max-height: 28vh;
            margin: 1 0;
            scrollbar-size-vertical: 1;
        }
        & #consequence { height: auto; color: $text-muted; }
        & Horizontal { height: auto; align-horizontal: right; }
        & Button { margin-left: 2; min-width: 12; }
        & Button:focus { text-style: bold reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes", tooltip="Do it"),
        Binding(
            "n,escape", "answer(False)", "No", id="confirm.no", tooltip="Leave everything as it is"
        ),
        Binding(
            "left,right",
            "other",
            "Other button",
            show=False,
            id="confirm.other",
            tooltip="Go to the other button",
        ),
        Binding("down,j", "scroll(1)", "Down", show=False, id="confirm.down"),
        Binding("up,k", "scroll(-1)", "Up", show=False, id="confirm.up"),
    ]

    def __init__(
        self,
        question: str,
        consequence: str = "",
        confirm_label: str = "Yes",
        *,
        destructive: bool = True,
    ) -> None:
        super().__init__()
        self._question = text.plain(question, keep_newlines=True)
        self._consequence = text.plain(consequence, keep_newlines=True)
        self._confirm_label = confirm_label
        self._destructive = destructive

    def compose(self) -> ComposeResult:
        """Lay out question, consequence and the two buttons."""
        with Vertical():
            yield Static(self._question, id="question", markup=False)
            if self._consequence:
                with VerticalScroll(id="consequence-box", can_focus=False):
                    yield Static(self._consequence, id="consequence", markup=False)
            with Horizontal():
                yield Button("No (n)", id="no")
                yield Button(
                    f"{self._confirm_label} (y)",
                    id="yes",
                    variant="error" if self._destructive else "primary",
                )

    def on_mount(self) -> None:
        """Put the focus on the answer that does no harm."""
        self.query_one("#no" if self._destructive else "#yes", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer with the button."""
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answer with a key."""
        self.dismiss(answer)

    def action_other(self) -> None:
        """Move between the two buttons."""
        self.focus_next(Button)

    def action_scroll(self, lines: int) -> None:
        """Read on in what would happen, where it is long."""
        for box in self.query(VerticalScroll):
            box.scroll_relative(y=lines, animate=False)
