"""Options of commands that survey data: what to take help from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

embed_option = click.option(
    "--embed",
    metavar="MODEL",
    help="Find rows that mean the same, by the vectors of this encoder: a folder, or an id in the "
    "Hub's cache.",
)
_OPTIONS = (
    embed_option,
    click.option("--pii", is_flag=True, help="Look for personal data with presidio (tui-ft[pii])."),
    click.option(
        "--toxicity",
        is_flag=True,
        help="Look for offensive language with profanity-check (tui-ft[toxicity]).",
    ),
)


def help_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options `embed`, `pii` and `toxicity`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
