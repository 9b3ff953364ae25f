"""`ftui estimate`: what a run will take of a GPU, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from tui_ft import text
from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_ft.memory.cards import Card
    from tui_ft.memory.estimating import Unknown
    from tui_ft.memory.figure import Figure
    from tui_ft.memory.step import Step
    from tui_ft.spec import RunSpec

_METHODS: Final = ("full", "lora", "qlora")
_GIB: Final = 1 << 30
_LEAST_SHARE: Final = 0.01
_MARKS: Final = {"fits": "fits", "tight": "tight", "no": "no"}


@click.command()
@click.argument("model", required=False)
@click.option(
    "--method",
    "methods",
    type=click.Choice(_METHODS),
    multiple=True,
    help="full, lora or qlora; all three when not given. May be given again.",
)
@click.option("--data", metavar="DATA", help="Take the longest row and the loss from these rows.")
@click.option("--seq", type=click.IntRange(8), help="Tokens of the longest row.")
@click.option("--batch", type=click.IntRange(1), help="Rows in one forward pass.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any field of a run.")
@click.option("--gpu", metavar="GB", help="Memory of one GPU, such as 24; this machine's if any.")
@click.option("--largest-batch", is_flag=True, help="Also find the most rows that fit --gpu.")
@click.option("--accuracy", is_flag=True, help="Compare with this machine's finished runs.")
@json_option
@for_people
def estimate(
    model: str | None,
    *,
    methods: tuple[str, ...],
    data: str | None,
    seq: int | None,
    batch: int | None,
    settings: tuple[str, ...],
    gpu: str | None,
    largest_batch: bool,
    accuracy: bool,
    as_json: bool,
) -> None:
    """Say what fine-tuning MODEL takes of a GPU's memory, by replaying one step of it.

    MODEL is a folder with a config.json, or a model's id on the Hub. Nothing is downloaded but its
    configuration, and no GPU is needed: the step runs on tensors without data.
    """
    if accuracy:
        _say_accuracy(as_json=as_json)
        return
    if model is None:
        fail("which MODEL? A folder with a config.json, or a model's id on the Hub")
        return
    from tui_ft.memory.dry_run import DryRunError
    from tui_ft.memory.estimating import figures
    from tui_ft.memory.from_spec import step_of
    from tui_ft.memory.model_facts import model_facts

    found = model_facts(model)
    if found.config is None:
        fail(found.problem or f"{model} has no configuration")
    if found.note is not None:
        warn(found.note)
    cards = _cards(gpu)
    chosen = methods or _METHODS
    runs = [_spec(model, method, seq, batch, settings) for method in chosen]
    capability = cards[0].capability if len(cards) == 1 else None
    longest, supervised = _rows(data, model) if data is not None else (None, 1.0)
    steps = [
        step_of(
            run,
            found.config or {},
            capability=capability,
            longest=longest,
            supervised=supervised,
        )
        for run in runs
    ]
    warn("one step of each method is replayed; a large model takes some seconds …")
    try:
        answers = figures(steps)
        batches = _largest(steps, cards) if largest_batch else {}
    except DryRunError as error:
        fail(str(error))
        return
    if as_json:
        say_json(_as_json(chosen, steps, answers, cards, batches))
        return
    _say_table(chosen, runs[0], steps[0], answers, cards)
    for number, most in batches.items():
        say(f"{chosen[number]}: at most {most} rows of {steps[number].length} tokens at once")


def _say_accuracy(*, as_json: bool) -> None:
    """Print what was predicted and measured of every finished run on a GPU."""
    from tui_ft.memory.calibration import correction
    from tui_ft.memory.dry_run import DryRunError
    from tui_ft.runs.measured_memory import compare_runs

    try:
        compared = compare_runs()
    except DryRunError as error:
        fail(str(error))
        return
    found = correction(compared)
    if as_json:
        said = [msgspec.to_builtins(one) | {"error": one.error} for one in compared]
        say_json({"runs": said, "correction": found})
        return
    if not compared:
        say("no run on a GPU of this machine has come to its end yet: nothing to compare with")
        return
    say("peak reserved, GiB: predicted, measured, error")
    for one in compared:
        predicted = text.NOT_AVAILABLE if one.predicted is None else f"{one.predicted / _GIB:.2f}"
        off = text.NOT_AVAILABLE if one.error is None else f"{100 * one.error:+.1f} %"
        say(f"{text.fitted(one.run, 40)}  {predicted:>7}  {one.measured / _GIB:7.2f}  {off:>8}")
    say(
        f"{found.runs} compared; measured is {found.factor:.3f} of predicted in the median, "
        f"{100 * found.worst_under:.1f} % above it at worst"
    )


def _spec(
    model: str, method: str, seq: int | None, batch: int | None, settings: Sequence[str]
) -> RunSpec:
    """Return the run that is meant: the defaults of every field, and what was asked for."""
    from tui_ft.spec import build_spec

    training = {"max_length": seq, "per_device_train_batch_size": batch}
    values: dict[str, Any] = {
        "model": {"name_or_path": model},
        "data": {"train": "-"},
        "method": {"kind": method},
        "training": {name: value for name, value in training.items() if value is not None},
    }
    return build_spec(values, settings)


def _cards(gpu: str | None) -> tuple[Card, ...]:
    """Return the card asked for, this machine's, or all of the table."""
    from tui_ft import paths
    from tui_ft.hardware import take_snapshot
    from tui_ft.memory.cards import CARDS, Card

    if gpu is not None:
        number = gpu.lower().removesuffix("gib").removesuffix("gb").strip()
        try:
            size = float(number)
        except ValueError:
            fail(f"--gpu {gpu}: write its memory in GB, such as 24 or 80")
            return ()
        known = [card for card in CARDS if card.name == f"{size:g} GB"]
        return tuple(known) or (Card(f"{size:g} GB", int(size * _GIB), (8, 0)),)
    here = [
        Card(f"GPU {one.index} {one.name}", one.memory_free_bytes, one.compute_capability or (8, 0))
        for one in take_snapshot(paths.home()).gpus
        if one.memory_free_bytes is not None
    ]
    return tuple(here) or CARDS


def _rows(data: str, model: str) -> tuple[int, float]:
    """Return the tokens of the longest row of a data set, and the share of tokens with loss."""
    from tui_ft.commands.inspect import finished, local_rows
    from tui_ft.survey.asking import Asked
    from tui_ft.survey.request import Request, TokenRequest

    asked = Asked(Request(local_rows(data), near=False, tokens=TokenRequest(model)))
    summary, counted = finished(asked), asked.tokens()
    problem = summary.problem or (counted.problem if counted is not None else None)
    if problem is not None or counted is None or not counted.lengths:
        fail(problem or f"no row of {data} could be made tokens of {model}")
        return 0, 1.0
    return max(counted.lengths), max(counted.supervised_share, _LEAST_SHARE)


def _largest(steps: Sequence[Step], cards: Sequence[Card]) -> dict[int, int]:
    from tui_ft.memory.estimating import largest_batch

    if len(cards) != 1:
        fail("--largest-batch needs to know the card: give --gpu, such as --gpu 24")
    free = cards[0].memory_bytes
    return {number: largest_batch(step, free) for number, step in enumerate(steps)}


def _say_table(
    methods: Sequence[str],
    run: RunSpec,
    step: Step,
    answers: Sequence[Figure | Unknown],
    cards: Sequence[Card],
) -> None:
    from tui_ft.memory.cards import fit
    from tui_ft.memory.figure import Figure

    training = run.training
    say(
        f"{run.model.name_or_path}: {step.batch} rows of {step.length} tokens, "
        f"{text.percent(step.supervised)} with loss, checkpointing "
        f"{'on' if training.gradient_checkpointing else 'off'}, {training.optim}"
    )
    say("peak memory of one GPU in GiB, as nvidia-smi shows it: low, expected, high")
    rows = [("method", "trained", "low", "expected", "high", *(card.name for card in cards))]
    for method, answer in zip(methods, answers, strict=True):
        if not isinstance(answer, Figure):
            warn(f"{method}: no figure: {answer.reason}")
            continue
        sizes = (answer.low, answer.expected, answer.high)
        fits = (_MARKS[fit(answer, card.memory_bytes)] for card in cards)
        trained = text.count(answer.trainable_parameters)
        rows.append((method, trained, *(f"{size / _GIB:.1f}" for size in sizes), *fits))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for method, answer in zip(methods, answers, strict=True):
        if isinstance(answer, Figure):
            parts = ", ".join(f"{term.name} {term.size / _GIB:.2f}" for term in answer.terms)
            say(f"{method}: peak in the {answer.stage} pass: {parts}")


def _as_json(
    methods: Sequence[str],
    steps: Sequence[Step],
    answers: Sequence[Figure | Unknown],
    cards: Sequence[Card],
    batches: dict[int, int],
) -> list[dict[str, Any]]:
    from tui_ft.memory.cards import fit
    from tui_ft.memory.figure import Figure

    said = []
    for number, (method, step, answer) in enumerate(zip(methods, steps, answers, strict=True)):
        one: dict[str, Any] = {
            "method": method,
            "batch": step.batch,
            "length": step.length,
            "supervised": step.supervised,
        }
        if isinstance(answer, Figure):
            one |= msgspec.to_builtins(answer)
            one["fits"] = {card.name: fit(answer, card.memory_bytes) for card in cards}
        else:
            one["problem"] = answer.reason
        if number in batches:
            one["largest_batch"] = batches[number]
        said.append(one)
    return said
