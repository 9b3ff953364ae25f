"""How far gathering for advice is, on a terminal."""

from __future__ import annotations

from tui_ft.commands.inspect import show_download, show_progress
from tui_ft.commands.output import warn
from tui_ft.data.files.hub_download import Progress
from tui_ft.plan.gathering import Listener
from tui_ft.survey.summary import Summary


class OnTerminal(Listener):
    """Tells it on stderr; downloads and surveys only where there is a terminal."""

    def fetching(self, progress: Progress) -> None:
        """Show how much has been fetched."""
        show_download(progress)

    def surveying(self, summary: Summary) -> None:
        """Show how much has been read."""
        show_progress(summary)

    def lacking(self, words: str) -> None:
        """Say it."""
        warn(words)
