"""The last line: the keys that work here, as many as there is room for, and none cut in two."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.events import Resize
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

_AROUND: Final = 3
"""Cells around a key and its name."""


class KeyFooter(Footer):
    """A footer whose last key, which is the way to all the others, always has room."""

    def compose(self) -> ComposeResult:
        """Lay out the keys that there is room for."""
        keys = [key for key in super().compose() if isinstance(key, FooterKey)]
        room = self.size.width
        if not room or sum(map(_width, keys)) <= room:
            yield from keys
            return
        room -= _width(keys[-1])
        for key in keys[:-1]:
            room -= _width(key)
            if room < 0:
                break
            yield key
        yield keys[-1]

    def on_resize(self, event: Resize) -> None:
        """Choose anew where there is more room, or less."""
        self.call_after_refresh(self.recompose)


def _width(key: FooterKey) -> int:
    return len(key.key_display) + len(key.description) + _AROUND
