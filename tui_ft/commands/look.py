"""Commands that show: runs, one run, its log, presets, the machine."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from tui_ft import text
from tui_ft.commands.output import (
    fail,
    for_people,
    is_terminal,
    json_lines_option,
    json_option,
    leave_when_unread,
    say,
    say_json,
    say_raw,
    warn,
)
from tui_ft.commands.work import follow_and_leave, run_argument, the_run

if TYPE_CHECKING:
    from pathlib import Path

    from tui_ft.runs.registry import RunSummary

_COLUMNS: Final = ("state", "run", "progress", "loss", "left", "age", "")
_LONGEST_REASON: Final = 70
_CHUNK: Final = 1 << 16


@click.command()
@json_option
@for_people
def runs(as_json: bool) -> None:
    """List the runs: the live ones first, then the newest."""
    from tui_ft import paths
    from tui_ft.commands.follow import as_row
    from tui_ft.runs.folder import unreadable
    from tui_ft.runs.registry import list_runs

    found = list_runs()
    for name in unreadable(paths.runs_dir()):
        warn(f"▲ {paths.runs_dir() / name} cannot be read: it is another user's, or was closed")
    if as_json:
        say_json([as_row(run) for run in found])
        return
    if not found:
        say("no runs yet: `ftui demo` shows one, `ftui train` starts one")
        return
    rows = [_COLUMNS, *(_row(run) for run in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        say("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def _row(run: RunSummary) -> tuple[str, ...]:
    steps = f"{run.step}/{run.total_steps}" if run.step is not None and run.total_steps else ""
    since = run.ended or run.created
    return (
        run.state,
        run.id,
        steps,
        "" if run.loss is None else text.significant(run.loss),
        "" if run.eta_s is None else text.duration(run.eta_s),
        "" if since is None else text.age(time.time() - since),
        text.one_line(run.reason, _LONGEST_REASON),
    )


@click.command()
@run_argument
@click.option("--plain", is_flag=True, help="Print lines even where a terminal could show more.")
@json_lines_option
@for_people
def watch(run: str | None, plain: bool, as_json: bool) -> None:
    """Watch RUN (the live one, or the newest): the monitor in a terminal, else lines.

    Lines end with the run: exit code 0 where it finished or was stopped, 1 where it failed or
    crashed. With --json they are its events, the last of them `ended` with state and reason.
    """
    folder = the_run(run)
    if plain or as_json or not is_terminal():
        follow_and_leave(folder, as_json=as_json)
    from tui_ft.app import main

    main(folder.id)


@click.command()
@run_argument
@click.option("--follow", "-f", "following", is_flag=True, help="Go on as it grows.")
@click.option("--worker", is_flag=True, help="The worker's raw output, tracebacks included.")
@json_lines_option
@for_people
def logs(run: str | None, following: bool, worker: bool, as_json: bool) -> None:
    """Print what RUN said, or with --worker everything its worker printed."""
    folder = the_run(run)
    if worker and as_json:
        raise click.UsageError("--worker is raw text: it has no --json")
    if worker:
        _print_file(folder.worker_log, following)
        return
    from tui_ft.runs.history import describe
    from tui_ft.runs.reader import RunReader
    from tui_ft.runs.registry import summary_of

    reader = RunReader(folder)
    while True:
        live = following and summary_of(folder).is_live
        while new := reader.poll():
            for event in new:
                line = describe(event)
                if line and as_json:
                    say_json({"t": event.t, "text": line})
                elif line:
                    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.t))
                    say(f"{stamp} {line}")
            leave_when_unread()
        if not live:
            return
        time.sleep(0.5)


def _print_file(path: Path, following: bool) -> None:
    if not path.is_file():
        fail(f"there is no {path}: the worker was never started")
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            while chunk := file.read(_CHUNK):
                say_raw(text.plain(chunk, keep_newlines=True))
                leave_when_unread()
            if not following:
                return
            time.sleep(0.5)


@click.command()
@json_option
@for_people
def presets(as_json: bool) -> None:
    """List the presets, and when to use each."""
    from tui_ft.spec import find_presets

    found = find_presets().values()
    if as_json:
        say_json([{"name": p.name, "path": p.path, "description": p.description} for p in found])
        return
    for preset in found:
        say(f"{preset.name}\n    {preset.description}")


@click.command()
@json_option
@for_people
def doctor(as_json: bool) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    from tui_ft import paths
    from tui_ft.hardware.doctor import diagnose

    checks = diagnose(paths.home())
    if as_json:
        say_json(checks)
    else:
        signs = {"ok": "✔", "warn": "▲", "bad": "✖"}
        width = max(len(check.name) for check in checks)
        for check in checks:
            say(f"{signs[check.status]} {check.name.ljust(width)}  {check.found}")
            if check.advice and check.status != "ok":
                say(f"  {' ' * width}  {check.advice}")
    sys.exit(1 if any(check.status == "bad" for check in checks) else 0)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@for_people
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; `eval "$(ftui completion bash)"` turns it on."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is not None:
        say_raw(found(ctx.find_root().command, {}, "ftui", "_FTUI_COMPLETE").source() + "\n")
