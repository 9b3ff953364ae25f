"""`ftui demo`: a real run of a real small model, from nothing to graded answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tui_ft import text
from tui_ft.commands.output import fail, for_people, is_terminal, json_lines_option, say, say_json

if TYPE_CHECKING:
    from tui_ft.runs.folder import RunFolder
    from tui_ft.spec import RunSpec


@click.command()
@click.option("--plain", is_flag=True, help="Print lines even where a terminal could show more.")
@click.option(
    "--write-data",
    metavar="DIR",
    help="Write the rows that demonstrations learn from into a new folder, and train nothing.",
)
@json_lines_option
@for_people
def demo(plain: bool, write_data: str | None, as_json: bool) -> None:
    """Fine-tune a small model to answer in strict JSON, and show it live.

    Takes some minutes, also without a GPU. The run is a process of its own: it goes on when you
    leave. With --write-data it is left to you what is done with the rows: of SFT, and of
    preferences for a chain of SFT and DPO.
    """
    if write_data is not None:
        _write_data(write_data, as_json=as_json)
        return
    from tui_ft.runs.launch import launch

    spec = _prepared(quiet=as_json)
    folder = launch(spec)
    if as_json:
        from tui_ft.commands.follow import exit_code, follow

        sys.exit(exit_code(follow(folder, as_json=True)))
    if not plain and is_terminal():
        from tui_ft.app import main

        main(folder.id)
        _tell_after_the_monitor(folder)
        return
    _follow_as_lines(folder)


def _write_data(asked: str, *, as_json: bool) -> None:
    from tui_ft import paths
    from tui_ft.demo.prepare import MODEL_NAME, write_data

    folder = paths.expand(asked)
    if folder.is_file():
        fail(f"{folder} is a file: name a folder, which may be a new one")
    if folder.exists() and any(folder.iterdir()):
        fail(f"{folder} is there already and not empty: name another, nothing is replaced")
    files = write_data(folder)
    model = paths.models_dir() / MODEL_NAME
    if as_json:
        written = [{"file": one.file, "rows": one.rows, "what": one.what} for one in files]
        say_json({"path": folder, "model": model if model.is_dir() else None, "files": written})
        return
    for one in files:
        say(f"{one.rows:>5} rows  {one.file}  {one.what}")
    found = str(model) if model.is_dir() else "MODEL"
    say()
    say(f"a chain of both: `ftui chain new --pipeline sft-dpo --model {found} \\")
    say(f"  --data sft={folder}/chats.jsonl --data dpo={folder}/pairs.jsonl --out chain.yaml`")
    if found == "MODEL":
        say(f"`ftui demo` makes a model for it: {model}")


def _prepared(*, quiet: bool) -> RunSpec:
    from tui_ft.demo.prepare import DemoError, prepare

    try:
        return prepare((lambda _: None) if quiet else say)
    except DemoError as error:
        fail(*str(error).splitlines())
        raise AssertionError("unreachable") from None


def _follow_as_lines(folder: RunFolder) -> None:
    from tui_ft.commands.follow import exit_code, follow

    say(f"run {folder.id} is a process of its own; ctrl+c ends the watching, not the run")
    try:
        summary = follow(folder)
    except KeyboardInterrupt:
        say(f"\n{folder.id} goes on: `ftui watch {folder.id}`")
        sys.exit(0)
    tell_scores(folder)
    sys.exit(exit_code(summary))


def _tell_after_the_monitor(folder: RunFolder) -> None:
    from tui_ft.runs.registry import summary_of

    summary = summary_of(folder)
    if summary.is_live:
        say(f"{folder.id} goes on ({summary.state}): `ftui watch {folder.id}` shows it again")
    else:
        tell_scores(folder)


def tell_scores(folder: RunFolder) -> None:
    """Print the rates before and after training, and where the adapter lies."""
    from tui_ft.runs.reader import RunReader

    history = RunReader(folder).catch_up()
    before, after = history.scores.get("before"), history.scores.get("after")
    if before is None or after is None:
        return
    say()
    say(f"{after.rows} held-out requests, answered by greedy generation:")
    say(f"  {'':12}  {'before':>7}  {'after':>7}")
    for name in after.values:
        was, now = (text.percent(score.values.get(name)) for score in (before, after))
        say(f"  {name.replace('_', ' '):12}  {was:>7}  {now:>7}")
    for example in after.examples[:2]:
        say(f"  > {text.one_line(example.prompt, 76)}")
        say(f"    {text.one_line(example.answer, 76)}")
    say()
    say(f"adapter  {folder.output_dir()}")
    say(f"figures  {folder.report_file}")
    say("next     `ftui` opens the app; `ftui presets` lists what to start from;")
    say("         `ftui train sft-lora --set model.name_or_path=… --set data.train=…`")
