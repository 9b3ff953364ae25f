"""`ftui eject`: hand a run over to those who do not use ftui."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn
from tui_ft.commands.work import complete_run, set_option

if TYPE_CHECKING:
    from tui_ft.eject import Target
    from tui_ft.runs.folder import RunFolder
    from tui_ft.spec import RunSpec


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--to",
    "target",
    type=click.Choice(["script", "axolotl"]),
    default="script",
    show_default=True,
    help="What is written.",
)
@click.option(
    "--out", metavar="FOLDER", help="A new or empty folder; NAME-script or so if left out."
)
@set_option
@json_option
@for_people
def eject(
    run: str, *, target: str, out: str | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Write RUN as a plain Python script on trl, or as an Axolotl YAML, with its rows beside it.

    RUN is a run's name, a YAML file, or a preset.
    """
    from tui_ft import paths
    from tui_ft.commands.hub_data import with_rows_here
    from tui_ft.eject import EjectError
    from tui_ft.eject import eject as hand_over
    from tui_ft.runs.launch import with_absolute_paths

    written, begun = _spec(run, overrides)
    spec = with_rows_here(with_absolute_paths(written, Path.cwd()), begun)
    folder = paths.expand(out) if out else Path(f"{spec.name}-{target}")
    try:
        done = hand_over(spec, cast("Target", target), folder)
    except EjectError as error:
        fail(str(error))
        return
    if as_json:
        say_json(done)
        return
    say(f"{done.file}: {done.rows.train:,} rows to train on, {done.rows.eval:,} held out")
    for said in done.left_out:
        say(f"not in it: {said}")
    say(f"cd {folder} && {done.command}")


def _spec(run: str, overrides: tuple[str, ...]) -> tuple[RunSpec, RunFolder | None]:
    """Return the spec in a file, or of a run as it was frozen and its folder, or of a preset."""
    from tui_ft.runs import folder as folders
    from tui_ft.spec import find_presets, load_spec, resolve_spec

    ids = [folder.id for folder in folders.all_folders()]
    is_other = Path(run).is_file() or (run in find_presets() and run not in ids)
    if is_other or not any(one.startswith(run) for one in ids):
        return resolve_spec(run, overrides, warn), None
    begun = folders.find(run)
    return load_spec(begun.spec_file, overrides), begun
