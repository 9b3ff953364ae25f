"""`ftui configure`: a run written down, from a preset or a file, with what is set over it."""

from __future__ import annotations

import click

from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn
from tui_ft.commands.work import complete_spec, set_option


@click.command()
@click.argument("spec", shell_complete=complete_spec)
@set_option
@click.option("--whole", is_flag=True, help="Every field, those that have their default as well.")
@click.option("--out", metavar="FILE", help="A new file; printed when left out.")
@json_option
@for_people
def configure(
    spec: str, *, overrides: tuple[str, ...], whole: bool, out: str | None, as_json: bool
) -> None:
    """Write the run in SPEC, a YAML file or a preset's name, as YAML that `ftui train` takes."""
    from tui_ft import paths
    from tui_ft.spec import dump_spec, resolve_spec
    from tui_ft.spec.draft import Draft

    chosen = resolve_spec(spec, overrides, warn)
    written = dump_spec(chosen) if whole else Draft.of(chosen, spec).to_yaml()
    if out is not None:
        file = paths.expand(out)
        if file.exists():
            fail(f"{file} is there already: name another, nothing is replaced")
        try:
            paths.write_atomically(file, written)
        except OSError as error:  # of a full disk it does not say which file
            fail(f"{file} cannot be written: {error.strerror}")
        warn(f"written: {file}; `ftui train {file}` starts it")
    if as_json:
        say_json({"run": chosen.model_dump(mode="json"), "file": out})
    elif out is None:
        say(written.rstrip())
