"""Help made from the key bindings that are active: it cannot be out of date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui_ft.widgets.bars import ASCII_MEASURED, ASCII_PREDICTED, MEASURED, PREDICTED
from tui_ft.widgets.signs import SIGNS, SignName, use_ascii

_EXPLAINED: Final[tuple[SignName, ...]] = (
    "good",
    "warning",
    "bad",
    "running",
    "waiting",
    "stopped",
)


_SCREEN: Final = "This screen"
_EVERYWHERE: Final = "Everywhere"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """One action: its keys as they are shown, its name and what it does.

    Attributes:
        command: what does the same in a shell; empty where nothing does.
    """

    group: str
    keys: str
    description: str
    tooltip: str
    command: str = ""


class HelpScreen(ModalScreen[None]):
    """Keys that work on the screen below, grouped by where they belong, and what the signs mean.

    Build it with `HelpScreen.of(screen)` before it is pushed.
    """

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        & > Vertical {
            width: 76;
            max-width: 96%;
            height: auto;
            max-height: 92%;
            padding: 0 1;
            border: round $accent;
            border-title-style: bold;
            background: $surface;
        }
        & VerticalScroll { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
        & Static { height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,question_mark,q", "dismiss", "Close", id="help.close", tooltip="Close the help"
        ),
        Binding("j", "scroll(1)", "Down", show=False, id="help.down", tooltip="One line down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="help.up", tooltip="One line up"),
    ]

    def __init__(self, keys: Iterable[KeyHelp], title: str = "Help") -> None:
        super().__init__()
        self._keys = list(keys)
        self._title = title

    @classmethod
    def of(
        cls, screen: Screen[Any], title: str = "Help", *, commands: Mapping[str, str] = _NONE
    ) -> HelpScreen:
        """Return the help for what is active on ``screen`` now (its focused widget included).

        Args:
            screen: the screen.
            title: what stands over it.
            commands: by the id of a binding what does the same in a shell.
        """
        return cls(key_help(screen.app, screen.active_bindings.values(), commands), title)

    def compose(self) -> ComposeResult:
        """Lay out the table of keys and the row of signs."""
        with Vertical() as box:
            box.border_title = self._title
            box.border_subtitle = "j k scroll, esc closes"
            with VerticalScroll():
                yield Static(_table(self._keys))
                yield Static(_signs(use_ascii(None)))

    def action_scroll(self, lines: int) -> None:
        """Scroll by ``lines``."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def key_help(
    app: App[Any], active: Iterable[ActiveBinding], commands: Mapping[str, str] = _NONE
) -> list[KeyHelp]:
    """Return one entry for each action with a description, with all its keys.

    First what the screen does, then the widget that has the keys, then what works everywhere;
    what moves about comes last in each.
    """
    found: dict[tuple[str, str], tuple[list[str], ActiveBinding]] = {}
    for entry in active:
        binding = entry.binding
        if binding.system or not binding.description:
            continue
        keys, _ = found.setdefault((_group(entry), binding.action), ([], entry))
        shown = app.get_key_display(binding)
        if shown not in keys:
            keys.append(shown)
    helped = [
        KeyHelp(
            group,
            " ".join(keys),
            entry.binding.description,
            entry.tooltip,
            commands.get(entry.binding.id or "", ""),
        )
        for (group, _), (keys, entry) in found.items()
    ]
    places = {_SCREEN: 0, _EVERYWHERE: 2}
    return sorted(helped, key=lambda one: (places.get(one.group, 1), not one.tooltip))


def _group(entry: ActiveBinding) -> str:
    node = entry.node
    if isinstance(node, App):
        return _EVERYWHERE
    if isinstance(node, Screen):
        return _SCREEN
    return node.BINDING_GROUP_TITLE or "Here"


def _table(keys: Iterable[KeyHelp]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    group = ""
    for key in keys:
        if key.group != group:
            if group:
                table.add_row()
            group = key.group
            table.add_row("", Text(group, style="bold underline"))
        said = Text(key.tooltip)
        if key.command:
            said.append(f"\n{key.command}" if key.tooltip else key.command, style="dim")
        table.add_row(Text(key.keys, style="bold"), Text(key.description), said)
    return table


def _signs(ascii: bool) -> str:
    parts = [f"{SIGNS[name].text(ascii=ascii)} {name}" for name in _EXPLAINED]
    parts.append(f"{ASCII_MEASURED if ascii else MEASURED} measured")
    parts.append(f"{ASCII_PREDICTED if ascii else PREDICTED} predicted")
    return "\nSigns  " + "   ".join(parts)
