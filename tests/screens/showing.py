"""The Data screen on a real survey, and what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from tests.idle import settled, until
from tests.screens.conftest import make_app
from tui_ft.app import FtuiApp
from tui_ft.screens.data.screen import DataScreen
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request, TokenRequest


def surveyed(path: str, model: Path) -> None:
    """Survey a file, its tokens too."""
    for _ in Asked(Request(path, tokens=TokenRequest(str(model)))).follow():
        pass


@asynccontextmanager
async def showing(
    path: str, model: str = "", size: tuple[int, int] = (200, 60)
) -> AsyncIterator[tuple[FtuiApp, DataScreen, Pilot[None]]]:
    """Open a file, and go on once all that will be known of it is shown."""
    app = make_app()
    async with app.run_test(size=size) as pilot:
        screen = DataScreen(path, model)
        app.push_screen(screen)
        await shown_whole(screen, pilot)
        yield app, screen, pilot


async def shown_whole(screen: DataScreen, pilot: Pilot[None]) -> None:
    """Wait until nothing more will come."""
    await until(screen.is_shown_whole, pilot)
    await settled(pilot)


def said(screen: Screen[Any], selector: str) -> str:
    """Return what a part of the screen says."""
    return str(screen.query_one(selector, Static).content)
