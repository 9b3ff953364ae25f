"""`ftui inspect`: what is in a data set, what is wrong with it, what it is as tokens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import msgspec

from tui_ft import text
from tui_ft.commands.help_options import help_options
from tui_ft.commands.matches import print_matches
from tui_ft.commands.output import fail, for_people, json_option, say, say_json
from tui_ft.commands.row_format import column_option, format_option, mapping_of, show_mapping
from tui_ft.data.counts import percentiles
from tui_ft.survey.packing import count_sequences
from tui_ft.survey.tokens import TokenSummary, steps_per_epoch
from tui_ft.vocabulary import FormatName
from tui_ft.widgets.signs import sign

if TYPE_CHECKING:
    from tui_ft.data.files.hub_download import Progress
    from tui_ft.survey.asking import Asked
    from tui_ft.survey.summary import Finding, Summary

_EXAMPLES: Final = 5
_BATCH: Final = 16


@click.command()
@click.argument("path")
@format_option
@column_option
@click.option("--eval", "eval_", metavar="FILE", help="Look for overlap with evaluation data.")
@click.option("--model", metavar="FOLDER", help="Count tokens with this model's tokenizer.")
@click.option("--max-length", type=click.IntRange(min=8), help="Say what this length cuts.")
@click.option("--split", help="Of a data set on the Hub; `train` by default.")
@click.option("--config", help="Of a data set on the Hub that has several.")
@click.option(
    "--search",
    metavar="TEXT",
    help="Print the rows that hold TEXT, or COLUMN:TEXT; JSON has each on a line.",
)
@click.option("--mapping", is_flag=True, help="Only say which column plays which part.")
@click.option("--no-near", is_flag=True, help="Do not look for near duplicates.")
@help_options
@json_option
@for_people
def inspect(
    *,
    path: str,
    format_: Literal["auto", FormatName],
    columns: tuple[str, ...],
    eval_: str | None,
    model: str | None,
    max_length: int | None,
    split: str | None,
    config: str | None,
    search: str | None,
    mapping: bool,
    no_near: bool,
    embed: str | None,
    pii: bool,
    toxicity: bool,
    as_json: bool,
) -> None:
    """Say what is in a data set, and what is wrong with it.

    PATH is a file, a folder, or a data set's id on the Hub, which is fetched once.
    """
    from tui_ft.commands.verdict_text import show_verdict
    from tui_ft.survey.asking import Asked
    from tui_ft.survey.request import Request, TokenRequest
    from tui_ft.survey.verdict import verdict_of

    path = local_rows(path, split, config)
    by_hand = mapping_of(columns)
    if mapping:
        show_mapping(path, format_, by_hand, as_json=as_json)
        return
    tokens = None if model is None else TokenRequest(model)
    request = Request(path, format_, by_hand, eval_, not no_near, tokens, embed, pii, toxicity)
    asked = Asked(request)
    summary, counted = finished(asked), asked.tokens()
    if search and summary.problem is None:
        print_matches(asked.folder, summary, search, as_json=as_json)
        return
    verdict = verdict_of(summary, counted)
    if as_json:
        tokens_as_json = _as_json(asked, counted, max_length)
        say_json({"data": summary, "tokens": tokens_as_json, "verdict": verdict})
    elif summary.problem is None:
        _show(summary)
        _show_tokens(asked, counted, max_length)
        show_verdict(verdict)
    if summary.problem is not None:
        fail(summary.problem)
    if counted is not None and counted.problem is not None:
        fail(counted.problem)


def finished(asked: Asked) -> Summary:
    """Wait for a survey, showing how far it is; return its end."""
    try:
        for summary in asked.follow():
            show_progress(summary)
    except KeyboardInterrupt:
        asked.cancel()
        if sys.stderr.isatty():
            click.echo(err=True)  # the prompt shall not stand behind the progress
        raise
    return summary


def local_rows(path: str, split: str | None = None, config: str | None = None) -> str:
    """Return where a data set lies on this machine; one on the Hub is fetched first.

    Raises:
        DataError: it cannot be had, and what to do.
    """
    from tui_ft.hub.dataset_info import is_dataset_id

    if not is_dataset_id(path):
        return path
    from tui_ft.data.files.hub_download import fetch_dataset

    return str(fetch_dataset(path, split=split, config=config, progress=show_download))


def show_download(progress: Progress) -> None:
    """Show on a terminal how much of a data set has been fetched."""
    if sys.stderr.isatty():
        size = f"{text.size(progress.bytes)} of {text.size(progress.total)}"
        what = text.one_line(progress.what, 60)
        click.echo(f"\r{what} {size} \x1b[K", nl=False, err=True)


def show_progress(summary: Summary) -> None:
    """Show on a terminal how much of a data set has been read."""
    if not sys.stderr.isatty():
        return
    share = "" if summary.share is None else f" {text.percent(summary.share)}"
    line = "" if summary.is_over else f"{summary.stage}{share} {summary.rows:,} rows"
    click.echo(f"\r{line}\x1b[K", nl=False, err=True)


def _show(summary: Summary) -> None:
    layout = summary.layout
    size = text.size(summary.bytes_total)
    say(f"{summary.path}   {summary.rows:,} rows ({summary.usable:,} usable)   {size}")
    if layout is not None:
        say(f"{layout.style or layout.format}: {layout.reason}")
        say(f"good for: {', '.join(layout.objectives)}")
    numbers = summary.numbers
    at = numbers.words_at
    say(
        f"words: {text.count(numbers.words)} in all; a row p50 {at.get(50, 0):,}, "
        f"p95 {at.get(95, 0):,}, p99 {at.get(99, 0):,}, max {at.get(100, 0):,}"
    )
    if numbers.labels:
        shown = list(numbers.labels.items())[:_EXAMPLES]
        say("labels: " + ", ".join(f"{name} {rows:,}" for name, rows in shown))
    if numbers.languages:
        shares = list(numbers.languages.items())[:_EXAMPLES]
        say("languages: " + ", ".join(f"{name} {text.percent(share)}" for name, share in shares))
    say()
    if not summary.findings:
        say(f"{sign('good').text()} nothing found")
    for finding in summary.findings:
        _show_finding(finding)


def _show_finding(finding: Finding) -> None:
    groups = f" in {finding.groups:,} groups" if finding.groups else ""
    detail = f" ({finding.detail})" if finding.detail else ""
    mark, share = sign(finding.severity).text(), text.percent(finding.share)
    say(f"{mark} {finding.count:>9,}  {share:>6}  {finding.title}{groups}{detail}")
    if finding.severity != "note":
        say(f"  {'':>17}  {finding.why} {finding.advice}")


def _as_json(
    asked: Asked, counted: TokenSummary | None, max_length: int | None
) -> dict[str, Any] | None:
    """Return the tokens' summary, and beside it what a max_length does."""
    if counted is None:
        return None
    from tui_ft.survey.token_findings import token_findings

    length = max_length or counted.recommended_max_length()
    return {
        **msgspec.structs.asdict(counted),
        "at_max_length": counted.at(length),
        "packed_sequences": _packed(asked, length),
        "findings": token_findings(counted, length),
    }


def _packed(asked: Asked, max_length: int) -> int:
    """Return how many sequences hold all rows, packed as trl does."""
    return count_sequences(asked.token_folder, max_length) if asked.token_folder else 0


def _show_tokens(asked: Asked, counted: TokenSummary | None, max_length: int | None) -> None:
    if counted is None or not counted.lengths:
        return
    from tui_ft.survey.token_findings import token_findings

    say()
    say(f"tokens of {counted.model}: {text.count(counted.tokens)}")
    for name, counts in (
        ("rows", counted.lengths),
        ("prompts", counted.prompts),
        ("answers", counted.answers),
    ):
        values = zip(("p50", "p90", "p95", "p99", "max"), percentiles(counts), strict=True)
        say(f"  {name:<8}" + "  ".join(f"{label} {value:>6,}" for label, value in values))
    say(f"  {text.percent(counted.supervised_share)} of tokens carry loss")
    length = max_length or counted.recommended_max_length()
    cut = counted.at(length)
    said = "recommended max_length" if max_length is None else "max_length"
    say(
        f"  {said} {length:,} cuts {text.percent(cut.rows_share)} of rows and "
        f"{text.percent(cut.tokens_share)} of tokens"
    )
    packed = _packed(asked, length)
    steps, fewer = (steps_per_epoch(rows, _BATCH) for rows in (counted.rows, packed))
    saved = text.percent(1 - fewer / max(1, steps))
    say(f"  batch {_BATCH}: {steps:,} steps an epoch, {fewer:,} packed: {saved} fewer")
    for finding in token_findings(counted, length):
        _show_finding(finding)
