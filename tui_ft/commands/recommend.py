"""`ftui recommend`: from a model, data and the GPUs that are free to a run, with every reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from tui_ft.commands.gpu_option import gpu_option
from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn

if TYPE_CHECKING:
    from tui_ft.advise.advice import Advice

_GIB: Final = 1 << 30
_GOALS: Final = (
    *("knowledge", "style", "instruction", "domain", "reasoning", "language", "classification"),
    "preference",
)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--goal", type=click.Choice(_GOALS), help="What should change in the model.")
@click.option(
    "--prompt",
    type=click.Choice(("solves", "partly", "fails")),
    help="What a prompt of under 500 tokens achieves.",
)
@click.option("--budget", type=click.Choice(("low", "medium", "high")), help="Money and time.")
@click.option(
    "--facts",
    type=click.Choice(("none", "rarely", "often")),
    help="How often the facts change that answers rest on; none: there are none to look up.",
)
@click.option(
    "--reward",
    metavar="WHAT",
    help="What answers are to be scored by: a reward model (a run, a folder, an id), an address "
    "(http://…), or a Python file with a function `reward`.",
)
@gpu_option("Advise for other GPUs than this machine's", ", none")
@click.option(
    "--host-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="Memory of the host beside --gpu, for what is offloaded to it; this machine's without.",
)
@click.option("--eval", "eval_", metavar="DATA", help="Data to evaluate on.")
@click.option("--column", "columns", multiple=True, metavar="PART=NAME", help="Map a column.")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="NODE=CHOICE",
    help="Answer a question of the tree yourself, such as method=qlora. Can be given again.",
)
@click.option(
    "--write", metavar="FILE", help="Write the run, or the chain of runs, as YAML with its reasons."
)
@json_option
@for_people
def recommend(
    *,
    model: str,
    data: str,
    goal: str | None,
    prompt: str | None,
    budget: str | None,
    facts: str | None,
    reward: str | None,
    gpu: str | None,
    host_memory: float | None,
    eval_: str | None,
    columns: tuple[str, ...],
    answers: tuple[str, ...],
    write: str | None,
    as_json: bool,
) -> None:
    """Say whether and how to fine-tune MODEL on DATA, and why.

    The path through the decision tree is shown with how each question was answered (measured,
    asked, assumed), then every way to train against the memory that is free, then the run, or the
    chain of runs where one builds on another. `ftui train FILE` (`ftui chain start FILE`) starts
    what --write has written.
    """
    from tui_ft.advise.node import AnswerError
    from tui_ft.advise.tree import advise
    from tui_ft.commands.progress import OnTerminal
    from tui_ft.commands.row_format import mapping_of
    from tui_ft.memory.asked_cards import GpuError
    from tui_ft.plan.estimator import estimator
    from tui_ft.plan.gathering import Sought, gather

    chosen = dict(_pair(answer) for answer in answers)
    said = {"goal": goal, "prompt": prompt, "budget": budget, "facts": facts, "reward": reward}
    sought = Sought(
        model=model,
        data=data,
        evaluation=eval_,
        gpu=gpu,
        host_memory=None if host_memory is None else int(host_memory * _GIB),
        columns=mapping_of(columns),
        said={name: value for name, value in said.items() if value is not None},
    )
    try:
        situation = gather(sought, OnTerminal())
        advice = advise(situation, chosen, estimator=estimator())
    except (AnswerError, GpuError) as error:
        fail(f"--gpu {error}" if isinstance(error, GpuError) else str(error))
        return
    if write is not None and advice.to_write is not None:
        _write(advice, Path(write))  # first: who reads the rest may stop reading, as `head` does
    if as_json:
        say_json(_as_json(advice))
    else:
        from tui_ft.commands.advice_text import advice_lines

        for line in advice_lines(advice):
            say(line)
    if write is not None:
        _tell_written(advice, write, quiet=as_json)


def _pair(answer: str) -> tuple[str, str]:
    node, found, choice = answer.partition("=")
    if not found or not node or not choice:
        raise click.BadParameter(f"`{answer}` is not NODE=CHOICE, such as method=qlora")
    return node.strip(), choice


def _write(advice: Advice, file: Path) -> None:
    """Write the run or the chain; a file that is there is never written over."""
    from tui_ft.advise.writing.explained_yaml import explained_yaml

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(file, flags, 0o600)
    except FileExistsError:
        fail(f"{file} is there already: give another name, or remove it")
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(explained_yaml(advice))


def _tell_written(advice: Advice, file: str, *, quiet: bool) -> None:
    """Say what is to be done with the file that was written, or why there is none."""
    if advice.to_write is None:
        fail(f"nothing to write: {advice.no_run}")
    check, start = ("chain check", "chain start") if advice.chain else ("check", "train")
    if advice.fill:
        left = ", ".join(advice.fill)
        warn(f"written: {file}; fill in {left} (marked FILL IN), then `ftui {check} {file}`")
    elif not quiet:
        warn(f"written: {file}; `ftui {check} {file}` looks at it, `ftui {start} {file}` starts it")


def _as_json(advice: Advice) -> Any:  # noqa: ANN401 - anything that JSON can hold
    """Return the advice with its chain as `ftui chain start` takes it; null without one.

    What only a person can fill in is empty there, and named in `fill`.
    """
    found = msgspec.to_builtins(advice, enc_hook=lambda run: run.model_dump(mode="json"))
    for phase, shown in zip(advice.phases, found["phases"], strict=True):
        if "objective.rewards" in phase.fill and shown["run"] is not None:
            shown["run"]["objective"]["rewards"] = []
    stages = [{"name": one["objective"], "run": one["run"]} for one in found["phases"]]
    found["chain"] = {"name": advice.chain, "stages": stages} if advice.chain else None
    found["fill"] = list(advice.fill)
    return found
