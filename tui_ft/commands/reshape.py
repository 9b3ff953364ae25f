"""`ftui clean` and `ftui split`: new files beside a data set, never in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui_ft import paths, text
from tui_ft.commands.help_options import embed_option, help_options
from tui_ft.commands.output import fail, for_people, json_option, say, say_json

if TYPE_CHECKING:
    from tui_ft.survey.cleaning import CleaningReport
    from tui_ft.survey.request import Request
    from tui_ft.survey.summary import Summary

_config_option = click.option("--config", help="Of a data set on the Hub that has several.")
_force_option = click.option("--force", is_flag=True, help="Replace files of that name.")


@click.command()
@click.argument("path")
@click.option("--split", help="Of a data set on the Hub; `train` by default.")
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
    split: str | None,
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
    from tui_ft.commands.hub_data import stands_at
    from tui_ft.commands.inspect import local_rows
    from tui_ft.survey.cleaning import Plan, usual_remedies
    from tui_ft.survey.new_files import beside
    from tui_ft.survey.request import Request

    data = local_rows(path, split, config)
    folder, summary = _surveyed(Request(data, embed=embed, pii=pii, toxicity=toxicity))
    chosen = (list(drop), list(repair)) if drop or repair else usual_remedies(summary)
    output = paths.expand(out) if out else beside(stands_at(path), "clean")
    plan = Plan(folder, summary, *chosen)
    report = plan.carry_out(None if dry_run else output, replace=force)
    if as_json:
        say_json(report)
    else:
        _show(report)


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
@click.option("--split", "of_split", help="Of a data set on the Hub; `train` by default.")
@_config_option
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Share of the rows to hold out.",
)
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True)
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
    of_split: str | None,
    config: str | None,
    fraction: float,
    seed: int,
    by: str,
    out: str | None,
    embed: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the data set PATH to two new files: DATA-train.jsonl and DATA-eval.jsonl.

    PATH is a file, a folder, or a data set's id on the Hub, which is fetched once.
    """
    from tui_ft.commands.hub_data import stands_at
    from tui_ft.commands.inspect import local_rows
    from tui_ft.survey.new_files import stem_of
    from tui_ft.survey.request import Request
    from tui_ft.survey.splitting import split as write_split

    folder, summary = _surveyed(Request(local_rows(path, of_split, config), embed=embed))
    data = stands_at(path)
    where = paths.expand(out) if out else data.parent
    outputs = tuple(where / f"{stem_of(data)}-{side}.jsonl" for side in ("train", "eval"))
    report = write_split(
        folder,
        summary,
        (outputs[0], outputs[1]),
        fraction=fraction,
        seed=seed,
        by=by,  # type: ignore[arg-type]
        replace=force,
    )
    if as_json:
        say_json(report)
        return
    say(f"{report.train_rows:,} rows: {report.train}")
    say(f"{report.eval_rows:,} rows: {report.eval}")
    if not report.eval_rows:
        fail("no group is small enough to be held out; raise --fraction, or use --by row")


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
