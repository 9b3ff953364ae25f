"""The rests of a search box, over when a test says so: how fast keys come says nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from tui_ft.screens.boxes.search_box import SearchBox


class Rests:
    """Takes the place of a box's timer."""

    def __init__(self, box: SearchBox[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun: dict[int, Callable[[], object]] = {}
        self._count = 0
        monkeypatch.setattr(box, "set_timer", self._begin)

    def _begin(self, _seconds: float, then: Callable[[], object]) -> mock.Mock:
        number = self._count = self._count + 1
        self._begun[number] = then
        return mock.Mock(stop=lambda: self._begun.pop(number, None))

    def over(self) -> None:
        """Let the one rest that has begun, and was not broken off, come to its end."""
        (then,) = self._begun.values()
        self._begun.clear()
        then()
