"""The app: modes, themes, palette, and the way from one screen to another. Nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, Final

if "SSH_CONNECTION" in os.environ:
    # Read when Textual is imported: fewer frames over a slow line.
    os.environ.setdefault("TEXTUAL_FPS", "15")
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui_ft import paths, text
from tui_ft.hardware import Sampler
from tui_ft.runs import folder as folders
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.registry import RunSummary
from tui_ft.screens.chain_actions import chain_actions
from tui_ft.screens.home.screen import HomeScreen
from tui_ft.screens.shell import Hardware
from tui_ft.screens.twins import TWINS
from tui_ft.widgets.help import HelpScreen

if TYPE_CHECKING:
    from tui_ft.screens.advise.screen import AdviseScreen
    from tui_ft.screens.configure.screen import ConfigureScreen
    from tui_ft.screens.data.screen import DataScreen
    from tui_ft.screens.monitor.screen import MonitorScreen
    from tui_ft.spec.draft import Draft

_SAMPLE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Mode:
    """A place one can go to from anywhere: its key, the app's action for it, how it is called."""

    key: str
    action: str
    name: str
    tooltip: str


MODES: Final = (
    Mode("1", "home", "Home", "All runs, and the hardware"),
    Mode("2", "data", "Data", "What is in a data set, and what is wrong with it"),
    Mode("3", "advise", "Advise", "Whether and how to fine-tune, and why"),
    Mode("4", "configure", "Configure", "Every field of a run, before it is started"),
    Mode("5", "monitor", "Monitor", "The run seen last, else the live or the newest one"),
)
"""Work flows from low keys to high ones; keys and palette are made from this table."""


class FtuiApp(App[None]):
    """ftui in a terminal. Leaving it never touches a run.

    Args:
        run_id: open on this run's monitor.
        hardware: where the hardware is read.
        clock: what the time is, in Unix seconds.
    """

    TITLE = "ftui"
    CSS_PATH: ClassVar[list[str | PurePath]] = [
        f"styles/{name}.tcss"
        for name in (*("app", "home", "data", "data_dialogs", "advise", "configure", "monitor"),)
    ]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(m.key, m.action, m.name, show=False, id=f"app.{m.action}", tooltip=m.tooltip)
            for m in MODES
        ),
        Binding(
            "ctrl+z",
            "suspend_process",
            "Suspend",
            show=False,
            id="app.suspend",
            tooltip="Back to the shell; `fg` comes back here",
        ),
        Binding(
            "ctrl+q",
            "quit",
            "Quit",
            show=False,
            id="app.quit",
            priority=True,
            tooltip="Leave; runs go on",
        ),
    ]

    def __init__(
        self,
        run_id: str | None = None,
        *,
        hardware: Hardware | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._run_id = run_id
        self.hardware: Hardware = hardware or Sampler(paths.home(), _SAMPLE_SECONDS)
        self.clock = clock
        self._last_run: RunFolder | None = None
        self._home = HomeScreen()
        self._data: DataScreen | None = None
        self._advise: AdviseScreen | None = None
        self._configure: ConfigureScreen | None = None

    def get_default_screen(self) -> Screen[None]:
        """Home lies below everything."""
        return self._home

    def on_mount(self) -> None:
        """Begin to look at the hardware; open the run asked for."""
        self.hardware.start()
        if self._run_id is not None:
            self.open_run(self._run_id)

    def on_unmount(self) -> None:
        """Stop looking."""
        self.hardware.stop()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer in the palette what the keys do, every run by name, and what chains wait for."""
        yield from super().get_system_commands(screen)
        for mode in MODES:
            yield SystemCommand(mode.name, mode.tooltip, partial(self.run_action, mode.action))
        for run in self.live_runs():
            shown = text.plain(run.id)
            yield SystemCommand(f"Open {shown}", run.state, partial(self.open_run, run.id))
        yield from (SystemCommand(*action) for action in chain_actions(screen, self._home.chains))

    def action_show_help_panel(self) -> None:
        """Show our own help, made from the keys that work here, for the palette's entry too."""
        self.push_screen(HelpScreen.of(self.screen, commands=TWINS))

    def live_runs(self) -> list[RunSummary]:
        """Return the runs as Home read them last."""
        return self._home.runs

    def open_run(self, run_id: str) -> None:
        """Show the monitor of a run."""
        from tui_ft.screens.monitor.screen import MonitorScreen

        try:
            folder = folders.find(run_id)
        except RunError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._last_run = folder
        self._close_monitors(MonitorScreen)
        self.push_screen(MonitorScreen(folder))

    def leave_run(self) -> None:
        """Go back from a monitor to Home."""
        self.action_home()

    def action_home(self) -> None:
        """Go to Home."""
        while self.screen is not self._home and len(self.screen_stack) > 1:
            self.pop_screen()

    def action_data(self) -> None:
        """Show the data set seen last, or ask for one."""
        from tui_ft.screens.data.screen import DataScreen

        if isinstance(self.screen, DataScreen):
            return
        self.action_home()
        if self._data is None:
            self._data = DataScreen()
            self.install_screen(self._data, "data")  # kept when another is shown
        self.push_screen("data")

    def action_advise(self) -> None:
        """Show the advice given last, or ask for what it is to be about."""
        self.advise("", "", {})

    def advise(self, model: str, data: str, columns: Mapping[str, str]) -> None:
        """Show advice for a model and data, read by those columns; what is not known is asked."""
        from tui_ft.screens.advise.screen import AdviseScreen

        screen, is_new = self._advise, self._advise is None
        if screen is None:
            screen = self._advise = AdviseScreen()
            screen.ask_about(model, data, columns)
            self.install_screen(screen, "advise")  # kept when another is shown
        if not isinstance(self.screen, AdviseScreen):
            self.action_home()
            self.push_screen("advise")
        if data and not is_new:
            screen.ask_about(model, data, columns)  # over the screen: it may ask for the model

    def action_configure(self) -> None:
        """Show the run that is being written."""
        self.configure(None)

    def configure(self, draft: Draft | None) -> None:
        """Show the run that is being written, or another draft in its place."""
        from tui_ft.screens.configure.screen import ConfigureScreen

        if self._configure is None:
            self._configure = ConfigureScreen(draft)
            self.install_screen(self._configure, "configure")  # kept when another is shown
        elif draft is not None:
            self._configure.begin(draft)
        if not isinstance(self.screen, ConfigureScreen):
            self.action_home()
            self.push_screen("configure")

    def action_monitor(self) -> None:
        """Show the run seen last, or the live one, or the newest."""
        runs = self.live_runs()
        if self._last_run is not None:
            self.open_run(self._last_run.id)
        elif runs:
            self.open_run(runs[0].id)
        else:
            self.notify("there are no runs yet: `n` starts one")

    def _close_monitors(self, kind: type[MonitorScreen]) -> None:
        while isinstance(self.screen, kind):
            self.pop_screen()


def main(run_id: str | None = None) -> None:
    """Open the app, on a run's monitor if one is named."""
    FtuiApp(run_id).run()
