"""The `ftui` command: the app, and a headless twin of everything it does."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

from tui_ft import __version__
from tui_ft.commands.help_width import HelpContext, HelpGroup, as_wide_as_the_terminal

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

_JSON: Final = "ftui.json"


class _LazyGroup(HelpGroup):
    """Imports a command when it is asked for, so that `ftui` itself starts at once."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called so, None when there is none."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        return as_wide_as_the_terminal(command) if isinstance(command, click.Command) else None

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as click's own
        """Run the command; a help that cannot be written ends it as any other output."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            from tui_ft.commands.output import unwritable, warn

            warn(unwritable(error))
            sys.exit(1)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments apart, and remember whether JSON is asked for."""
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click's own
        """Run the command; wrong usage, and an answer of no, are said as JSON where asked for."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort) as error:
            if ctx.meta[_JSON]:
                from tui_ft.commands.output import say_json_error

                said = getattr(error, "format_message", None)
                say_json_error(ctx, said() if said else "not confirmed: --yes does not ask")
            raise
        except KeyboardInterrupt:  # while a command's module loads; later it says what goes on
            sys.exit(130)


@click.group(cls=_LazyGroup, invoke_without_command=True)
@click.version_option(__version__, prog_name="ftui")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Fine-tune language models on a GPU server. Without a command: the app."""
    if ctx.invoked_subcommand is None:
        from tui_ft.app import main as open_app

        open_app()
