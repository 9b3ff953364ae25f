"""`ftui clean` and `ftui split`: new files beside a data set, never in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui_ft import paths, text
from tui_ft.commands.help_options import embed_option, help_options
from tui_ft.commands.output import fail, for_people, json_option, say, say_json
from tui_ft.commands.row_format import column_option, format_option, mapping_of

if TYPE_CHECKING:
    from tui_ft.survey.cleaning import CleaningReport
    from tui_ft.survey.mapping import FormatChoice
    from tui_ft.survey.request import Request
    from tui_ft.survey.splitting import By
    from tui_ft.survey.summary import Summary

_config_option = click.option("--config", help="Of a data set on the Hub that has several.")
_force_option = click.option("--force", is_flag=True, help="Replace files of that name.")


@click.command()
@click.argument("path")
@format_option
@column_option
@click.option("--split", "of_split", help="Of a data set on the Hub; `train` by default.")
@_config_option
@click.option("--drop", multiple=True, metavar="FINDING", help="Drop the rows that have it.")
@click.option("--repair", multiple=True, metavar="FINDING", help="Mend the rows that have it.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be done.")
@click.option("--out", metavar="FILE", help="The new file; DATA-clean.jsonl by default.")
@help_options
@_force_option
@json_option
@for_people
def clean(
    *,
    path: str,
    format_: FormatChoice,
    columns: tuple[str, ...],
    of_split: str | None,
    config: str | None,
    drop: tuple[str, ...],
    repair: tuple[str, ...],
    dry_run: bool,
    out: str | None,
    embed: str | None,
    pii: bool,
    toxicity: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the data set PATH without what `ftui inspect` finds in it, to a new file.

    PATH is a file, a folder, or a data set's id on the Hub, which is fetched once.

    Without --drop and --repair: drops what is plainly wrong and exact duplicates, repairs what can
    be. The old file stays as it is; what was done to which lines is in the report beside the new.
    """
    from tui_ft.commands.inspect import local_rows
    from tui_ft.survey.cleaning import Plan, usual_remedies
    from tui_ft.survey.new_files import beside
    from tui_ft.survey.request import Request

    data = local_rows(path, of_split, config)
    asked = Request(data, format_, mapping_of(columns), embed=embed, pii=pii, toxicity=toxicity)
    folder, summary = _surveyed(asked)
    chosen = (list(drop), list(repair)) if drop or repair else usual_remedies(summary)
    output = paths.expand(out) if out else beside(path, "clean")
    plan = Plan(folder, summary, *chosen)
    with _told_to_force():
        report = plan.carry_out(None if dry_run else output, replace=force)
    if as_json:
        say_json(report)
    else:
        _show(report)


@contextmanager
def _told_to_force() -> Iterator[None]:
    """Name the options that help where a file is there already."""
    from tui_ft.survey.new_files import FileThereError

    try:
        yield
    except FileThereError as error:
        fail(f"{error}; name another with --out, or use --force")


def _show(report: CleaningReport) -> None:
    for done in report.done:
        say(f"{done.count:>9,} {done.done:<9} {done.check}")
    for before, after in report.examples:
        say(f"  - {text.one_line(ascii(before), 120)}")
        say(f"  + {text.one_line(ascii(after), 120)}")
    say(f"{report.kept:,} of {report.rows:,} rows kept, {report.repaired:,} of them repaired")
    say("nothing was written" if report.output is None else f"written: {report.output}")


@click.command()
@click.argument("path")
@format_option
@column_option
@click.option("--split", "of_split", help="Of a data set on the Hub; `train` by default.")
@_config_option
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Share of the rows to hold out.",
)
@click.option("--rows", type=click.IntRange(min=1), help="Rows to hold out, in place of a share.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=42,
    show_default=True,
    help="Another one holds out other rows.",
)
@click.option(
    "--by",
    type=click.Choice(["group", "row", "label"]),
    default="group",
    show_default=True,
    help="Keep near duplicates on one side, take rows singly, or hold out the same of each class.",
)
@click.option("--out", metavar="FOLDER", help="Where the files go; beside DATA by default.")
@embed_option
@_force_option
@json_option
@for_people
def split(
    *,
    path: str,
    format_: FormatChoice,
    columns: tuple[str, ...],
    of_split: str | None,
    config: str | None,
    fraction: float,
    rows: int | None,
    seed: int,
    by: By,
    out: str | None,
    embed: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the data set PATH to two new files: DATA-train.jsonl and DATA-eval.jsonl.

    PATH is a file, a folder, or a data set's id on the Hub, which is fetched once.
    """
    from tui_ft.commands.inspect import local_rows
    from tui_ft.survey.new_files import beside
    from tui_ft.survey.request import Request
    from tui_ft.survey.splitting import share_said
    from tui_ft.survey.splitting import split as write_split

    data = local_rows(path, of_split, config)
    folder, summary = _surveyed(Request(data, format_, mapping_of(columns), embed=embed))
    train, evaluation = (beside(path, side) for side in ("train", "eval"))
    if out:
        train, evaluation = (paths.expand(out) / file.name for file in (train, evaluation))
    with _told_to_force():
        report = write_split(
            folder,
            summary,
            (train, evaluation),
            fraction=fraction if rows is None else share_said(str(rows), summary.rows),
            seed=seed,
            by=by,
            replace=force,
        )
    if as_json:
        say_json(report)
    else:
        say(f"{report.train_rows:,} rows: {report.train}")
        say(f"{report.eval_rows:,} rows: {report.eval}")
    if not report.eval_rows:
        fail("no group is small enough to be held out; hold out more, or use --by row")


def _surveyed(request: Request) -> tuple[Path, Summary]:
    """Return the finished survey of a data set, made now if it is not there."""
    from tui_ft.commands.inspect import finished
    from tui_ft.data import DataError
    from tui_ft.survey.asking import Asked

    asked = Asked(request)
    summary = finished(asked)
    if summary.problem is not None:
        raise DataError(summary.problem)
    return asked.folder, summary
