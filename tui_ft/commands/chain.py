"""`ftui chain`: runs one after the other, each beginning with what an earlier one left."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tui_ft import text
from tui_ft.commands.chain_watch import watch_and_leave
from tui_ft.commands.help_width import HelpGroup
from tui_ft.commands.output import (
    fail,
    for_people,
    json_lines_option,
    json_option,
    make_sure,
    refuse_another,
    say,
    say_json,
    warn,
)
from tui_ft.commands.work import tell_changes, tell_findings

if TYPE_CHECKING:
    from tui_ft.chains.check import StageFindings
    from tui_ft.chains.folder import ChainFolder
    from tui_ft.chains.pipelines import Pipeline
    from tui_ft.chains.status import ChainStatus
    from tui_ft.spec.chain import Chain

_LONGEST_REASON: Final = 70
_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_memory = click.option(
    "--memory/--no-memory",
    default=True,
    help="Also replay a step of each stage and compare with the GPU's free memory.",
)


def complete_chain(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Return the chains whose names begin so."""
    from tui_ft.chains.folder import all_chains

    return sorted(folder.id for folder in all_chains() if folder.id.startswith(begun))


_chain = click.argument("name", required=False, shell_complete=complete_chain)
_stage_set = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="STAGE.KEY=VALUE",
    help="Set a field of a stage, such as dpo.training.learning_rate=1e-5. Can be given again.",
)


_watch = click.option(
    "--watch", "watch_it", is_flag=True, help="Follow it until it ends; ctrl+c leaves it going."
)


@click.group(cls=HelpGroup)
def chain() -> None:
    """Start runs as one thing, each beginning with what an earlier one left.

    SFT, then DPO on its output; SFT, a reward model on it, then reinforcement learning with both.
    """


@chain.command()
@click.option("--pipeline", help="Which one; without it they are listed.")
@click.option("--model", help="What the first stage begins with: a folder, an id, or run:NAME.")
@click.option("--data", multiple=True, metavar="STAGE=FILE", help="The rows of each stage.")
@click.option("--name", help="What the chain is called; as its pipeline when not given.")
@click.option("--out", metavar="FILE", help="A new file; printed when left out.")
@json_option
@for_people
def new(
    *,
    pipeline: str | None,
    model: str | None,
    data: tuple[str, ...],
    name: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Write a chain as YAML, from a pipeline that the field practises."""
    from tui_ft.chains.pipelines import PIPELINES

    if pipeline is None:
        _list_pipelines(as_json=as_json)
        return
    if pipeline not in PIPELINES:
        fail(f"there is no pipeline {pipeline}; there are {', '.join(PIPELINES)}")
    chosen = PIPELINES[pipeline]
    rows = dict(_pair(one) for one in data)
    _refuse_gaps(chosen, model, rows)
    written = chosen.to_yaml(model or "", rows, name)
    if out is not None:
        from tui_ft import paths

        file = paths.expand(out)
        if file.exists():
            fail(f"{file} is there already: name another, nothing is replaced")
        paths.write_atomically(file, written)
        warn(f"written: {file}; `ftui chain check {file}` looks at it, then `ftui chain start`")
    if as_json:
        say_json({"pipeline": pipeline, "file": out, "yaml": written})
    elif out is None:
        say(written.rstrip())


def _list_pipelines(*, as_json: bool) -> None:
    from tui_ft.chains.pipelines import PIPELINES

    if as_json:
        say_json(list(PIPELINES.values()))
        return
    for one in PIPELINES.values():
        say(f"{one.name}\n    {one.description}")
        for stage in one.stages:
            say(f"      {stage.name}  ({stage.preset})  {stage.needs}")


def _pair(said: str) -> tuple[str, str]:
    stage, equals, file = said.partition("=")
    if not equals or not file:
        raise click.UsageError(f"--data {said}: write STAGE=FILE, such as sft=chats.jsonl")
    return stage.strip(), file.strip()


def _refuse_gaps(pipeline: Pipeline, model: str | None, rows: dict[str, str]) -> None:
    """End where something is not given that the chain cannot do without."""
    names = [stage.name for stage in pipeline.stages]
    lacking = [] if model else ["--model: a folder, an id on the Hub, or run:NAME"]
    lacking += [
        f"--data {one.name}=FILE: {one.needs}" for one in pipeline.stages if one.name not in rows
    ]
    lacking += [
        f"--data {name}=…: there is no such stage; there are {', '.join(names)}"
        for name in rows
        if name not in names
    ]
    if lacking:
        fail(f"the pipeline {pipeline.name} still needs", *(f"  {one}" for one in lacking))


@chain.command()
@_file
@_stage_set
@_memory
@json_option
@for_people
def check(file: Path, overrides: tuple[str, ...], memory: bool, as_json: bool) -> None:
    """Look for what would stop any stage of the chain in FILE, without starting it."""
    from tui_ft.chains import life

    found = _check(life.load(file, overrides), memory=memory, quiet=as_json)
    if as_json:
        say_json(found)
    elif not any(one.is_refused for one in found):
        say("nothing stands against it")
    sys.exit(1 if any(one.is_refused for one in found) else 0)


@chain.command()
@_file
@_stage_set
@_memory
@_watch
@json_lines_option
@for_people
def start(
    *, file: Path, overrides: tuple[str, ...], memory: bool, watch_it: bool, as_json: bool
) -> None:
    """Start the chain in FILE in the background, once all of its stages have been looked at."""
    from tui_ft.chains import life

    chosen = life.load(file, overrides)
    found = _check(chosen, memory=memory, quiet=as_json)
    refused = [one.stage for one in found if one.is_refused]
    if refused and as_json:
        say_json({"error": f"nothing is started: {', '.join(refused)} would fail", "stages": found})
    if refused:
        sys.exit(1)
    folder = life.start(chosen)
    if as_json:
        say_json({"chain": folder.id, "path": folder.path})
    else:
        other = "" if folder.id == chosen.name else f" (a chain {chosen.name} is there already)"
        say(f"{folder.id}{other} runs in the background; {_shown_by(folder.id)}")
    if watch_it:
        watch_and_leave(folder, as_json=as_json)


@chain.command(name="list")
@json_option
@for_people
def list_(as_json: bool) -> None:
    """List the chains: the live ones first, then the newest."""
    from tui_ft.chains.status import all_statuses

    found = all_statuses()
    if as_json:
        say_json(found)
    elif not found:
        say("no chains yet: `ftui chain new` writes one, `ftui chain start` starts it")
    for one in [] if as_json else found:
        done = sum(stage.state == "finished" for stage in one.stages)
        reason = text.one_line(one.reason, _LONGEST_REASON)
        say(f"{one.state:<9}  {one.id}  {done}/{len(one.stages)} stages  {reason}")


@chain.command()
@_chain
@json_option
@for_people
def status(name: str | None, as_json: bool) -> None:
    """Say how the chain NAME (the newest) is: its stages, their runs, and what to do."""
    from tui_ft.chains.folder import find
    from tui_ft.chains.status import status_of

    found = status_of(find(name))
    if as_json:
        say_json(found)
    else:
        _tell(found)
    sys.exit(1 if found.state in ("failed", "crashed") else 0)


@chain.command()
@_chain
@_stage_set
@click.option(
    "--redo",
    multiple=True,
    metavar="STAGE",
    help="Train a stage anew, finished or not, and what takes its output. Can be given again.",
)
@click.option("--anyway", is_flag=True, help="Go on though data, or the host, are others.")
@_watch
@json_lines_option
@for_people
def resume(
    *,
    name: str | None,
    overrides: tuple[str, ...],
    redo: tuple[str, ...],
    anyway: bool,
    watch_it: bool,
    as_json: bool,
) -> None:
    """Go on with the chain NAME (the newest) at the stage at which it ended.

    A finished stage is not redone unless --redo names it, with other values where --set gives them;
    a stopped or failed one goes on from its checkpoint, or, where --set changes it, begins anew.
    """
    from tui_ft.chains import life
    from tui_ft.chains.folder import find
    from tui_ft.runs.changes import ChangedError

    folder = find(name)
    try:
        onward = life.resume(folder, overrides, redo=redo, anyway=anyway)
    except ChangedError as error:
        if as_json:
            say_json({"chain": folder.id, "goes_on": False, "changes": error.changes})
            sys.exit(1)
        raise
    if as_json:
        say_json({"chain": folder.id, "path": folder.path, "goes_on": True, "onward": onward})
    else:
        tell_changes(onward.changes)
        how = f"with {onward.run}" if onward.run else "with a new run"
        say(f"{folder.id} goes on at stage {onward.stage}, {how}; {_shown_by(folder.id)}")
    if watch_it:
        watch_and_leave(folder, as_json=as_json)


@chain.command()
@_chain
@json_lines_option
@for_people
def watch(name: str | None, as_json: bool) -> None:
    """Follow the chain NAME (the newest) until it ends, a line for each change."""
    from tui_ft.chains.folder import find

    watch_and_leave(find(name), as_json=as_json)


@chain.command()
@click.argument("name", shell_complete=complete_chain)
@click.option("--runs", is_flag=True, help="Its runs too, with their checkpoints and weights.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--anyway", is_flag=True, help="Also one of another host that does not answer.")
@json_option
@for_people
def delete(*, name: str, runs: bool, yes: bool, anyway: bool, as_json: bool) -> None:
    """Remove the chain NAME; its runs stay, unless --runs is given.

    With --runs all runs go that it has ever started, also those that --redo put others in place of.
    """
    from tui_ft.chains import journal, life
    from tui_ft.chains.folder import find
    from tui_ft.chains.stages import all_runs
    from tui_ft.runs.folder import size_of

    folder = find(name)
    if yes:
        refuse_another(name, folder.id)
    of_it = all_runs(folder, journal.read(folder))
    mine = [run.id for run in of_it]
    if not yes:
        named, much = ", ".join(mine), text.size(size_of(of_it))
        what = f" and {named} with all that came out of them: {much}"
        stay = f" ({named} stay: {much})"
        whole = (what if runs else stay) if mine else ""
        click.confirm(f"Remove {folder.path}{whole}?", abort=True, err=True)
    gone = life.delete(folder, runs=runs, anyway=anyway)
    if as_json:
        say_json({"chain": folder.id, "command": "delete", "runs": gone})
    else:
        stay = f"; its runs stay: {', '.join(mine)}" if mine and not runs else ""
        say(f"{folder.id} is removed{stay}")


@chain.command()
@_chain
@click.option("--now", is_flag=True, help="End its run at once, without a checkpoint.")
@json_option
@for_people
def stop(name: str | None, now: bool, as_json: bool) -> None:
    """Save a checkpoint of the run at work and stop the chain NAME (the newest)."""
    from tui_ft.chains.folder import find

    folder = find(name)
    if now:
        _ask(name, folder)
    _stop(folder, now=now, as_json=as_json)


@chain.command()
@_chain
@json_option
@for_people
def kill(name: str | None, as_json: bool) -> None:
    """End the run at work of the chain NAME (the newest) at once, and the chain with it.

    Asks on a terminal, unless it is given the whole name.
    """
    from tui_ft.chains.folder import find

    folder = find(name)
    _ask(name, folder)
    _stop(folder, now=True, as_json=as_json)


def _ask(name: str | None, folder: ChainFolder) -> None:
    make_sure(name, folder.id, f"End {folder.id} and its run at once, without a checkpoint?")


def _stop(folder: ChainFolder, *, now: bool, as_json: bool) -> None:
    from tui_ft.chains import life

    said = life.stop(folder, now=now)
    if as_json:
        say_json({"chain": folder.id, "command": "kill" if now else "stop"})
    else:
        say(f"{folder.id} {said}")


def _check(chosen: Chain, *, memory: bool, quiet: bool) -> list[StageFindings]:
    from tui_ft.chains.check import check_chain

    found = check_chain(chosen, memory=memory)
    for one in found:
        if not quiet:
            say(f"stage {one.stage}")
        if not quiet or one.is_refused:
            tell_findings(one.findings, quiet=quiet)
    return found


def _shown_by(name: str) -> str:
    return f"`ftui chain watch {name}` shows it"


def _tell(found: ChainStatus) -> None:
    say(f"{found.id}  {found.state}  {found.reason}")
    for advice in found.advice:
        say(f"  → {advice}")
    width = max((len(one.name) for one in found.stages), default=0)
    for number, one in enumerate(found.stages, 1):
        steps = f"  {one.step}/{one.total_steps}" if one.step and one.total_steps else ""
        takes = f"  takes {', '.join(one.takes)}" if one.takes else ""
        run = f"  run {one.run}" if one.run else ""
        what = f"{one.objective} {one.method}"
        say(f"  {number} {one.name.ljust(width)}  {one.state:<10}  {what}{run}{steps}{takes}")
