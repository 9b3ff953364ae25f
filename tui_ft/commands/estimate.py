"""`ftui estimate`: what a run will take of a GPU, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from tui_ft import text
from tui_ft.commands.gpu_option import asked, gpu_option
from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tui_ft.memory.cards import Card
    from tui_ft.memory.estimating import Unknown
    from tui_ft.memory.figure import Figure
    from tui_ft.memory.sharding import Sharding
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
@gpu_option("What it has to fit, in place of this machine's GPU")
@click.option("--quick", is_flag=True, help="Closed form only, at once; nothing is replayed.")
@click.option("--free", metavar="GB", help="What would fit in so much, and what frees most.")
@click.option("--probe", is_flag=True, help="Measure real steps on this machine's GPU instead.")
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
    quick: bool,
    free: str | None,
    probe: bool,
    largest_batch: bool,
    accuracy: bool,
    as_json: bool,
) -> None:
    """Say what fine-tuning MODEL takes of a GPU's memory: at once for every method, then exactly.

    MODEL is a folder with a config.json, or a model's id on the Hub. Nothing is downloaded but its
    configuration, and no GPU is needed: a closed form answers at once, and one step of each main
    method is then replayed on tensors without data.
    """
    if accuracy:
        _say_accuracy(as_json=as_json)
        return
    if model is None:
        raise click.UsageError("which MODEL? A folder with a config.json, or an id on the Hub")
    _refuse_idle(quick=quick, largest_batch=largest_batch, gpu=gpu)
    from tui_ft.memory.from_spec import step_of
    from tui_ft.memory.model_facts import model_facts
    from tui_ft.runs.reward_models import reward_configs

    found = model_facts(model)
    if found.config is None:
        fail(found.problem or f"{model} has no configuration")
    if found.note is not None:
        warn(found.note)
    from tui_ft.commands.spread_figures import spread_of

    gpus = None if gpu is None else _asked(gpu)
    cards = _cards() if gpus is None else gpus[:1]
    methods = methods or _kinds_in(settings)
    chosen = methods or _METHODS
    runs = [_spec(model, method, seq, batch, settings) for method in chosen]
    capability = cards[0].capability if len(cards) == 1 else None
    lengths, supervised = _rows(data, model) if data is not None else ((), 1.0)
    longest = max(lengths, default=None)
    if probe:
        from tui_ft.commands.probed import say_probes

        say_probes(
            dict(zip(chosen, runs, strict=True)),
            found.config or {},
            longest=longest,
            supervised=supervised,
            as_json=as_json,
        )
        return
    steps = [
        step_of(
            run,
            found.config or {},
            capability=capability,
            longest=longest,
            supervised=supervised,
            reward_configs=reward_configs(run),
        )
        for run in runs
    ]
    spread = spread_of(runs[0], None if gpus is None else len(gpus))
    if free is not None:
        _say_what_fits(chosen, steps, _bytes_of(free), spread, as_json=as_json)
        return
    names, steps = _all_methods(chosen, steps, spread, named=bool(methods))
    answers = _Answers(names, steps, cards, lengths, spread)
    if not as_json:
        answers.say_closed_form(runs[0])
    if not quick:
        answers.replay(len(chosen), largest_batch=largest_batch, as_json=as_json)
    if as_json:
        say_json(answers.as_json())


def _refuse_idle(*, quick: bool, largest_batch: bool, gpu: str | None) -> None:
    """Refuse options that would do nothing."""
    if largest_batch and quick:
        raise click.UsageError("--largest-batch replays steps, and --quick replays none")
    if largest_batch and gpu is None and len(_cards()) != 1:
        raise click.UsageError("--largest-batch needs to know the card: give --gpu, such as 24")


def _all_methods(
    chosen: Sequence[str], steps: Sequence[Step], spread: Sharding | None, *, named: bool
) -> tuple[list[str], list[Step]]:
    """Return the methods that are asked for; all there are, when none is named."""
    from tui_ft.memory.methods import other_methods

    others = {} if named else other_methods(steps[list(chosen).index("lora")], spread)
    return [*chosen, *others], [*steps, *others.values()]


def _say_what_fits(
    methods: Sequence[str],
    steps: Sequence[Step],
    free: int,
    spread: Sharding | None,
    *,
    as_json: bool,
) -> None:
    """Print the most rows, tokens and rank of each method that fit, and what frees most."""
    from tui_ft.commands.spread_figures import how_spread
    from tui_ft.memory.estimate import estimate as in_closed_form
    from tui_ft.memory.figure import Figure
    from tui_ft.memory.fitting import changes, largest

    said = []
    for method, step in zip(methods, steps, strict=True):
        now = in_closed_form(step, sharding=spread, careful=spread is None)
        most = {name: largest(step, free, name, spread) for name in ("batch", "length", "rank")}
        said.append(
            {
                "method": method,
                "batch": step.batch,
                "length": step.length,
                "expected": now.expected if isinstance(now, Figure) else None,
                "problem": None if isinstance(now, Figure) else now.reason,
                "fits": isinstance(now, Figure) and now.high <= free,
                "largest": most,
                "changes": [
                    {"name": one.name, "words": one.words, "freed": one.freed}
                    for one in changes(step, spread)
                ],
            }
        )
    if as_json:
        say_json(said)
        return
    where = f" of each GPU ({how_spread(spread)})" if spread is not None else ""
    say(f"in {free / _GIB:.1f} GiB{where}, by the closed form with its margin:")
    for one in said:
        _say_one_that_fits(one)


def _say_one_that_fits(one: dict[str, Any]) -> None:
    if one["problem"] is not None:
        warn(f"{one['method']}: no figure: {one['problem']}")
        return
    most, length = one["largest"], one["length"]
    verdict = "fits" if one["fits"] else "does not surely fit"
    say(f"{one['method']}: {one['expected'] / _GIB:.1f} expected, {verdict}")
    say(f"  at most {most['batch']} rows of {length} tokens, or {one['batch']} of {most['length']}")
    if most["rank"]:
        say(f"  at most a rank of {most['rank']}")
    for change in one["changes"]:
        say(f"  {change['freed'] / _GIB:6.2f} GiB less: {change['words']}")


def _bytes_of(value: str) -> int:
    """Return the number of GB of `--free`."""
    number = value.lower().removesuffix("gib").removesuffix("gb").strip()
    try:
        size = int(float(number) * _GIB)
    except (ValueError, OverflowError):  # no number, or without an end
        size = 0
    if size <= 0:
        fail(f"--free {value}: write its memory in GB, such as 24 or 80")
    return size


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


def _kinds_in(settings: Sequence[str]) -> tuple[str, ...]:
    """Return the one method that ``settings`` name, if any: then no others are meant."""
    pairs = (one.partition("=") for one in settings)
    return tuple(value.strip() for key, _, value in pairs if key.strip() == "method.kind")[-1:]


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


def _asked(gpu: str) -> tuple[Card, ...]:
    """Return the GPUs asked for; on none of them nothing can be estimated."""
    cards = asked(gpu)
    if not cards:
        fail(f"--gpu {gpu}: an estimate is of a GPU's memory: name one, such as 24 or T4")
    return cards


def _cards() -> tuple[Card, ...]:
    """Return this machine's cards, or all of the table."""
    from tui_ft import paths
    from tui_ft.hardware import take_snapshot
    from tui_ft.memory.cards import CARDS, Card

    here = [
        Card(f"GPU {one.index} {one.name}", one.memory_free_bytes, one.compute_capability or (8, 0))
        for one in take_snapshot(paths.home()).gpus
        if one.memory_free_bytes is not None
    ]
    return tuple(here) or CARDS


def _rows(data: str, model: str) -> tuple[tuple[int, ...], float]:
    """Return the tokens of a data set's rows, and the share of tokens with loss."""
    from tui_ft.commands.inspect import finished, local_rows
    from tui_ft.survey.asking import Asked
    from tui_ft.survey.request import Request, TokenRequest

    asked = Asked(Request(local_rows(data), near=False, tokens=TokenRequest(model)))
    summary, counted = finished(asked), asked.tokens()
    problem = summary.problem or (counted.problem if counted is not None else None)
    if problem is not None or counted is None or not counted.lengths:
        fail(problem or f"no row of {data} could be made tokens of {model}")
        return (), 1.0
    return tuple(counted.lengths), max(counted.supervised_share, _LEAST_SHARE)


def _as_measured_here(method: str, figure: Figure | Unknown) -> Figure | Unknown:
    """Return a figure as this machine's finished runs of a method correct it."""
    from tui_ft.memory.calibration import corrected
    from tui_ft.memory.figure import Figure
    from tui_ft.runs.measured_memory import machine_correction

    return corrected(figure, machine_correction(method)) if isinstance(figure, Figure) else figure


class _Answers:
    """The figures of all methods: in closed form, and by dry run where one is made."""

    def __init__(
        self,
        names: Sequence[str],
        steps: Sequence[Step],
        cards: Sequence[Card],
        lengths: Sequence[int],
        spread: Sharding | None,
    ) -> None:
        from tui_ft.memory.estimate import estimate as in_closed_form

        self._names = names
        self._steps = steps
        self._cards = cards
        self._lengths = lengths
        self._spread = spread
        self._batches: dict[int, int] = {}
        self._closed = [
            in_closed_form(step, sharding=spread, careful=spread is None) for step in steps
        ]
        self._replayed: dict[int, Figure | Unknown] = {}

    def say_closed_form(self, run: RunSpec) -> None:
        """Print the table that takes no time."""
        from tui_ft.commands.spread_figures import host_words, how_spread

        step, training, spread = self._steps[0], run.training, self._spread
        say(
            f"{run.model.name_or_path}: {step.batch} rows of {step.length} tokens, "
            f"{text.percent(step.supervised)} with loss, checkpointing "
            f"{'on' if training.gradient_checkpointing else 'off'}, {training.optim}"
        )
        each = f"each of {spread.gpus} GPUs ({how_spread(spread)})" if spread else "one GPU"
        say(f"peak memory of {each} in GiB, as nvidia-smi shows it: low, expected, high")
        say("in closed form:")
        self._say_table(dict(enumerate(self._closed)))
        for name, one in zip(self._names, self._steps, strict=True):
            if words := host_words(one, spread):
                say(f"{name}: {words}")

    def replay(self, count: int, *, largest_batch: bool, as_json: bool) -> None:
        """Replay the first ``count`` methods, and print what comes out."""
        from tui_ft.memory.dry_run import DryRunError
        from tui_ft.memory.estimating import figures

        numbers = [n for n in range(count) if self._can_be_replayed(n)]
        if not numbers:
            warn("of steps that are spread so the closed form is all there is: none is replayed")
            return
        warn("one step of each method is replayed; a large model takes some seconds …")
        try:
            steps = [self._steps[n] for n in numbers]
            found = figures(steps, self._lengths, sharding=self._spread)
            self._replayed = {
                n: _as_measured_here(self._names[n], one)
                for n, one in zip(numbers, found, strict=True)
            }
            if largest_batch:
                self._find_largest(count)
        except DryRunError as error:
            fail(str(error))
            return
        if as_json:
            return
        say("replayed:")
        self._say_table(self._replayed)
        for number, answer in self._replayed.items():
            self._say_parts(number, answer)
            self._say_correction(number, answer)
        for number, most in self._batches.items():
            length = self._steps[number].length
            say(f"{self._names[number]}: at most {most} rows of {length} tokens at once")

    def _can_be_replayed(self, number: int) -> bool:
        from tui_ft.memory.sharding import can_be_replayed

        spread = self._spread
        return spread is None or can_be_replayed(self._steps[number], spread)

    def _say_correction(self, number: int, answer: Figure | Unknown) -> None:
        """Print what finished runs did to a figure, and the figure that was computed."""
        from tui_ft.memory.figure import Figure

        if isinstance(answer, Figure) and answer.computed is not None:
            raw = answer.computed
            sizes = ", ".join(f"{size / _GIB:.1f}" for size in (raw.low, raw.expected, raw.high))
            say(f"{self._names[number]}: {answer.correction}; computed were {sizes}")

    def _find_largest(self, count: int) -> None:
        from tui_ft.memory.fitting import largest_batch

        free = self._cards[0].memory_bytes
        for number in range(count):
            self._batches[number] = largest_batch(self._steps[number], free)

    def _say_table(self, answers: Mapping[int, Figure | Unknown]) -> None:
        from tui_ft.memory.cards import fit
        from tui_ft.memory.figure import Figure

        cards = [card.name for card in self._cards]
        rows = [("method", "trained", "low", "expected", "high", *cards)]
        for number, answer in answers.items():
            if not isinstance(answer, Figure):
                warn(f"{self._names[number]}: no figure: {answer.reason}")
                continue
            sizes = (f"{size / _GIB:.1f}" for size in (answer.low, answer.expected, answer.high))
            fits = (_MARKS[fit(answer, card.memory_bytes)] for card in self._cards)
            trained = text.count(answer.trainable_parameters)
            rows.append((self._names[number], trained, *sizes, *fits))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            say("  ".join(cells).rstrip())

    def _say_parts(self, number: int, answer: Figure | Unknown) -> None:
        from tui_ft.memory.figure import Figure

        closed, name = self._closed[number], self._names[number]
        if not isinstance(answer, Figure) and isinstance(closed, Figure):
            say(f"{name}: the closed form's figure holds: a step of it cannot be replayed")
            answer = closed
        if isinstance(answer, Figure):
            parts = ", ".join(f"{term.name} {term.size / _GIB:.2f}" for term in answer.terms)
            say(f"{name}: peak in the {answer.stage} pass: {parts}")
            if answer.with_room is not None:
                say(
                    f"{name}: with batches of these rows' lengths torch will reserve "
                    f"{answer.with_room / _GIB:.1f} where there is room, and give it back where not"
                )

    def as_json(self) -> list[dict[str, Any]]:
        """Return each method's best figure, with where it is from, and its closed form."""
        return [self._one_as_json(number) for number in range(len(self._steps))]

    def _one_as_json(self, number: int) -> dict[str, Any]:
        from tui_ft.commands.spread_figures import in_host
        from tui_ft.memory.cards import fit
        from tui_ft.memory.figure import Figure

        step, closed = self._steps[number], self._closed[number]
        said: dict[str, Any] = {
            "method": self._names[number],
            "batch": step.batch,
            "length": step.length,
            "supervised": step.supervised,
        }
        if self._spread is not None:
            held, loaded = in_host(step, self._spread)
            said["sharding"] = msgspec.to_builtins(self._spread)
            said["host"] = {"held": held, "loading": loaded}
        replayed = self._replayed.get(number)
        best = replayed if isinstance(replayed, Figure) or replayed is None else closed
        best = closed if best is None else best
        if isinstance(best, Figure):
            said |= msgspec.to_builtins(best)
            said["fits"] = {card.name: fit(best, card.memory_bytes) for card in self._cards}
        else:
            said["problem"] = best.reason
        if replayed is not None and not isinstance(replayed, Figure):
            said["not_replayed"] = replayed.reason
        said["estimate"] = msgspec.to_builtins(closed)
        if number in self._batches:
            said["largest_batch"] = self._batches[number]
        return said
