"""The `ftui` command: the app, and a headless twin of everything it does."""

from __future__ import annotations

import importlib
from typing import Final

import click

from tui_ft import __version__

_COMMANDS: Final = {
    "demo": "tui_ft.commands.demo",
    "datasets": "tui_ft.commands.hub_data",
    "models": "tui_ft.commands.models",
    "model": "tui_ft.commands.model",
    "inspect": "tui_ft.commands.inspect",
    "clean": "tui_ft.commands.reshape",
    "split": "tui_ft.commands.reshape",
    "recommend": "tui_ft.commands.recommend",
    "estimate": "tui_ft.commands.estimate",
    "configure": "tui_ft.commands.configure",
    "train": "tui_ft.commands.work",
    "check": "tui_ft.commands.work",
    "watch": "tui_ft.commands.look",
    "runs": "tui_ft.commands.look",
    "logs": "tui_ft.commands.look",
    "stop": "tui_ft.commands.work",
    "kill": "tui_ft.commands.work",
    "checkpoint": "tui_ft.commands.work",
    "resume": "tui_ft.commands.work",
    "delete": "tui_ft.commands.work",
    "chain": "tui_ft.commands.chain",
    "eject": "tui_ft.commands.eject",
    "presets": "tui_ft.commands.look",
    "doctor": "tui_ft.commands.look",
    "completion": "tui_ft.commands.look",
}


class _LazyGroup(click.Group):
    """Imports a command when it is asked for, so that `ftui` itself starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called so, None when there is none."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_LazyGroup, invoke_without_command=True)
@click.version_option(__version__, prog_name="ftui")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Fine-tune language models on a GPU server. Without a command: the app."""
    if ctx.invoked_subcommand is None:
        from tui_ft.app import main as open_app

        open_app()
