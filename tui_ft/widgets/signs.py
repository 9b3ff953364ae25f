"""The signs that stand beside every colour, so that a screen reads the same without any.

One table for all screens: what a sign means, its symbol, what stands for it on a terminal that
knows only ASCII, and the theme colour it wears.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from rich.text import Text
    from textual.content import Content

SignName = Literal[
    "good",
    "warning",
    "bad",
    "running",
    "waiting",
    "stopped",
    "note",
    "unknown",
    "selected",
    "marked",
    "falling",
    "rising",
    "level",
]

_TERMINALS_WITHOUT_SYMBOLS: Final = frozenset({"linux", "dumb", "vt100", "vt102", "vt220"})


@dataclass(frozen=True, slots=True)
class Sign:
    """A symbol with a meaning, and its ASCII twin: one cell wide; ``style`` is a theme colour."""

    symbol: str
    ascii: str
    style: str

    def text(self, *, ascii: bool | None = None) -> str:
        """Return the symbol this terminal can show (``ascii=None``: look at the environment)."""
        return self.ascii if use_ascii(ascii) else self.symbol

    def content(self, label: str = "", *, ascii: bool | None = None) -> Content:
        """Return the coloured symbol, followed by ``label`` in the same colour if there is one."""
        from textual.content import Content

        symbol = self.text(ascii=ascii)
        return Content.styled(f"{symbol} {label}" if label else symbol, self.style)


SIGNS: Final[Mapping[SignName, Sign]] = MappingProxyType(
    {
        "good": Sign("✔", "+", "$success"),
        "warning": Sign("▲", "!", "$warning"),
        "bad": Sign("✖", "x", "$error"),
        "running": Sign("▶", ">", "$accent"),
        "waiting": Sign("◷", "~", "$text-muted"),
        "stopped": Sign("■", "#", "$text-muted"),
        "note": Sign("●", "*", "$accent"),
        "unknown": Sign("?", "?", "$text-muted"),
        "selected": Sign("▸", ">", "$accent"),
        "marked": Sign("◆", "*", "$accent"),
        "falling": Sign("↓", "v", "$foreground"),
        "rising": Sign("↑", "^", "$foreground"),
        "level": Sign("→", "-", "$foreground"),
    }
)

_SIGN_OF_STATE: Final[Mapping[str, SignName]] = MappingProxyType(
    {
        "queued": "waiting",
        "preparing": "running",
        "training": "running",
        "running": "running",
        "evaluating": "running",
        "saving": "running",
        "finished": "good",
        "stopped": "stopped",
        "failed": "bad",
        "crashed": "bad",
    }
)


def sign(name: SignName) -> Sign:
    """Return the sign called ``name``."""
    return SIGNS[name]


def state_sign(state: str) -> Sign:
    """Return the sign of a run's state (`queued`, `training`, ...), `?` for one nobody knows."""
    return SIGNS[_SIGN_OF_STATE.get(state, "unknown")]


def state_content(state: str, *, ascii: bool | None = None) -> Content:
    """Return sign and name of a run's state: `▶ training`."""
    return state_sign(state).content(state, ascii=ascii)


def use_ascii(ascii: bool | None) -> bool:
    """Return ``ascii`` where the caller chose, else what the environment asks for."""
    return ascii_only() if ascii is None else ascii


def ascii_only(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether the terminal should be given ASCII symbols only.

    `FTUI_ASCII=1` or `0` decides. Otherwise: a terminal type known to lack the symbols, or a locale
    that says an encoding other than UTF-8. No locale at all says nothing about the terminal at the
    other end of the connection (containers often have none), so it does not count.
    """
    env = os.environ if environment is None else environment
    chosen = env.get("FTUI_ASCII", "").strip().lower()
    if chosen:
        return chosen not in {"0", "no", "false", "off"}
    if env.get("TERM", "") in _TERMINALS_WITHOUT_SYMBOLS:
        return True
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    encoding = locale.lower().replace("-", "")
    return bool(encoding) and "utf8" not in encoding


def as_text(content: Content) -> Text:
    """Return ``content`` as a rich `Text` in the running app's theme.

    `DataTable` measures its cells with rich, which does not know how wide a `Content` is.
    """
    from rich.text import Text

    text = Text(no_wrap=True, end="")
    for part, style in content.render(end=""):
        text.append(part, style.rich_style)
    return text
