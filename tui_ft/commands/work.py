"""Commands that start runs and act on them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tui_ft import text
from tui_ft.commands.output import (
    for_people,
    json_lines_option,
    json_option,
    left_alone,
    make_sure,
    refuse_another,
    say,
    say_json,
    warn,
)

if TYPE_CHECKING:
    from tui_ft.runs.changes import Change
    from tui_ft.runs.checks.finding import Finding
    from tui_ft.runs.folder import RunFolder
    from tui_ft.spec import RunSpec


def complete_run(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Return the runs whose names begin so."""
    from tui_ft.runs.folder import all_folders

    return sorted(folder.id for folder in all_folders() if folder.id.startswith(begun))


def complete_spec(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the presets whose names begin so, then the files."""
    from tui_ft.spec import find_presets

    presets = find_presets().values()
    return [
        *(CompletionItem(p.name, help=p.description) for p in presets if p.name.startswith(begun)),
        CompletionItem(begun, type="file"),
    ]


run_argument = click.argument("run", required=False, shell_complete=complete_run)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a field, such as training.learning_rate=1e-4. Can be given again.",
)


@click.command()
@click.argument("spec", shell_complete=complete_spec)
@set_option
@click.option("--detach", is_flag=True, help="Start it and return; `ftui watch` shows it.")
@json_lines_option
@for_people
def train(spec: str, overrides: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Start the run in SPEC, a YAML file or a preset's name, and follow it.

    The run is a process of its own: ctrl+c or a lost connection ends the watching, not the run.
    Exit code 0 where it finished or was stopped, 1 where it failed or crashed.
    """
    from tui_ft.runs.launch import launch, with_absolute_paths
    from tui_ft.spec import resolve_spec

    chosen = with_absolute_paths(resolve_spec(spec, overrides, warn), Path.cwd())
    if not _preflight(chosen, quiet=as_json):
        sys.exit(1)
    folder = launch(chosen)
    if detach:
        say_json({"run": folder.id, "path": folder.path}) if as_json else say(
            f"{folder.id} runs in the background; `ftui watch {folder.id}` shows it"
        )
        return
    follow_and_leave(folder, as_json=as_json)


def follow_and_leave(folder: RunFolder, *, as_json: bool = False) -> None:
    """Follow a run, and end with its exit code; ctrl+c leaves the run alone."""
    from tui_ft.commands.follow import exit_code, follow

    with left_alone(folder.id, "ftui", "saves a checkpoint and stops it"):
        summary = follow(folder, as_json=as_json)
    sys.exit(exit_code(summary))


@click.command()
@click.argument("spec", shell_complete=complete_spec)
@set_option
@click.option(
    "--memory/--no-memory",
    default=True,
    help="Also replay a step and compare with the GPU's free memory; takes some seconds.",
)
@json_option
@for_people
def check(spec: str, overrides: tuple[str, ...], memory: bool, as_json: bool) -> None:
    """Look for what would stop the run in SPEC, without starting it."""
    from tui_ft.runs.launch import with_absolute_paths
    from tui_ft.spec import resolve_spec

    chosen = with_absolute_paths(resolve_spec(spec, overrides, warn), Path.cwd())
    if as_json:
        from tui_ft.runs.checks import preflight
        from tui_ft.runs.checks.checking import findings

        found = findings(chosen, memory=memory)
        say_json(found)
        sys.exit(1 if preflight.refusal(found) else 0)
    if not _preflight(chosen, quiet=False, memory=memory):
        sys.exit(1)
    say("nothing stands against it")


@click.command()
@run_argument
@click.option("--now", is_flag=True, help="End it at once, without a checkpoint.")
@json_option
@for_people
def stop(run: str | None, now: bool, as_json: bool) -> None:
    """Save a checkpoint and stop RUN (the live one, when there is one alone)."""
    from tui_ft.runs import control

    if now:
        _kill(run, as_json=as_json)
        return
    folder = the_run(run, live=True)
    control.request_stop(folder)
    _answer(folder, "stop", "will save a checkpoint and stop", as_json=as_json)


@click.command()
@run_argument
@json_option
@for_people
def kill(run: str | None, as_json: bool) -> None:
    """End RUN at once, without a checkpoint; also a worker whose supervisor is gone.

    Asks on a terminal, unless it is given the whole name.
    """
    _kill(run, as_json=as_json)


def _kill(run: str | None, *, as_json: bool) -> None:
    from tui_ft.runs import control

    folder = the_run(run, live=True)
    make_sure(run, folder.id, f"End {folder.id} at once, without a checkpoint?")
    control.request_kill(folder)
    _answer(folder, "kill", "is ended at once", as_json=as_json)


@click.command()
@run_argument
@json_option
@for_people
def checkpoint(run: str | None, as_json: bool) -> None:
    """Save a checkpoint of RUN after the step it is at; it goes on."""
    from tui_ft.runs import control

    folder = the_run(run, live=True)
    control.request_checkpoint(folder)
    _answer(folder, "checkpoint", "will save a checkpoint", as_json=as_json)


@click.command()
@run_argument
@click.option("--detach", is_flag=True, help="Return at once.")
@click.option("--anyway", is_flag=True, help="Go on though the data, or the host, are others.")
@json_lines_option
@for_people
def resume(run: str | None, detach: bool, anyway: bool, as_json: bool) -> None:
    """Take RUN up again from its newest checkpoint, and follow it.

    Says first what has changed since: spec, data, device, libraries. On other data it goes on only
    with --anyway, nor where another host has not said that it ended.
    """
    from tui_ft.runs import launch
    from tui_ft.runs.changes import ChangedError

    folder = the_run(run)
    try:
        changes = launch.resume(folder, anyway=anyway)
    except ChangedError as error:
        if as_json:
            say_json({"run": folder.id, "goes_on": False, "changes": error.changes})
            sys.exit(1)
        raise
    if as_json:
        told = {"run": folder.id, "path": folder.path, "goes_on": True, "changes": changes}
        say_json(told if detach else {"type": "resume", **told})
    tell_changes(() if as_json else changes)
    if detach:
        if not as_json:
            say(f"{folder.id} goes on in the background")
        return
    follow_and_leave(folder, as_json=as_json)


def tell_changes(changes: Iterable[Change]) -> None:
    """Print what is other than it was, with what follows."""
    for change in changes:
        (say if change.weight == "note" else warn)(
            f"{' ' if change.weight == 'note' else '▲'} {change.sentence}"
        )


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--anyway", is_flag=True, help="Also one of another host that does not answer.")
@json_option
@for_people
def delete(run: str, yes: bool, anyway: bool, as_json: bool) -> None:
    """Remove RUN and all that came out of it."""
    from tui_ft.runs import folder as folders
    from tui_ft.runs import removing

    folder = folders.find(run)
    if yes:
        refuse_another(run, folder.id)
    removing.refuse_at_work(folder, anyway=anyway)
    if not yes:
        much = text.size(folders.size_of([folder]))
        question = f"Remove {folder.path}, its checkpoints and weights ({much})?"
        click.confirm(question, abort=True, err=True)
    removing.delete(folder, anyway=anyway)
    _answer(folder, "delete", "is removed", as_json=as_json)


def _answer(folder: RunFolder, command: str, words: str, *, as_json: bool) -> None:
    if as_json:
        say_json({"run": folder.id, "command": command})
    else:
        say(f"{folder.id} {words}")


def the_run(name: str | None, *, live: bool = False) -> RunFolder:
    """Return the run called ``name``; without a name the only live one, or else the newest.

    Raises:
        RunError: there is none, or it cannot be told which.
    """
    from tui_ft.runs import folder as folders
    from tui_ft.runs.registry import list_runs

    if name is not None:
        return folders.find(name)
    runs = list_runs()
    at_work = [run for run in runs if run.is_live]
    if live and len(at_work) > 1:
        names = ", ".join(run.id for run in at_work)
        raise folders.RunError(f"several runs are live: name one of {names}")
    chosen = at_work or ([] if live else runs)
    if not chosen:
        raise folders.RunError("no run is live" if live else "there are no runs yet: `ftui demo`")
    return folders.find(chosen[0].id)


def _preflight(spec: RunSpec, *, quiet: bool, memory: bool = False) -> bool:
    from tui_ft.runs.checks import preflight
    from tui_ft.runs.checks.checking import findings

    found = findings(spec, memory=memory)
    tell_findings(found, quiet=quiet)
    refused = preflight.refusal(found)
    if refused is not None and quiet:
        say_json({"error": refused.reason, "findings": found})
    return refused is None


def tell_findings(found: Iterable[Finding], *, quiet: bool = False) -> None:
    """Print what was found, faults on stderr; notes only where it is not ``quiet``."""
    for finding in found:
        if finding.severity != "note":
            advice = f" ({finding.advice})" if finding.advice else ""
            warn(f"{'✖' if finding.severity == 'bad' else '▲'} {finding.text}{advice}")
        elif not quiet:
            say(f"  {finding.text}")
