"""Write a run into a folder for others to take up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tui_ft import paths, text
from tui_ft.data.classes import are_others
from tui_ft.data.problems import DataError
from tui_ft.eject.axolotl import axolotl_config
from tui_ft.eject.axolotl_grpo import MODULE, reward_module
from tui_ft.eject.axolotl_limits import no_axolotl
from tui_ft.eject.beginning import no_beginning, prepared
from tui_ft.eject.modules import write_bottleneck, write_ppo
from tui_ft.eject.processes import (
    ACCELERATE_FILE,
    accelerate_config,
    command_of,
    not_in_accelerate,
)
from tui_ft.eject.reward_lines import FOLDER as REWARDS_FOLDER
from tui_ft.eject.reward_lines import NoRewardError, rewards_of
from tui_ft.eject.rows import WrittenRows, write_items, write_masked
from tui_ft.eject.script import TEMPLATE_FILE, script
from tui_ft.hub.class_names import class_names
from tui_ft.runs.checks.model_fit import model_misfit
from tui_ft.spec import RunSpec, yaml_text
from tui_ft.spec.chat_templates import template_file
from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.ppo import PpoObjective

Target = Literal["script", "axolotl"]


class EjectError(Exception):
    """A run that cannot be handed over so; the reason is for people."""


@dataclass(frozen=True, slots=True)
class Ejected:
    """What was written.

    Attributes:
        file: the script or the YAML.
        command: how it is run.
        rows: the rows beside it.
        left_out: what of the run is not in it, in words.
    """

    file: Path
    command: str
    rows: WrittenRows
    left_out: tuple[str, ...] = ()


def eject(spec: RunSpec, target: Target, folder: Path) -> Ejected:
    """Write ``spec`` and its rows into a new or empty ``folder``.

    Raises:
        EjectError: the folder holds something, cannot be written, the data cannot be read, or the
            run has no such form; the message says why.
    """
    no_form = _no_script if target == "script" else no_axolotl
    refusal = _no_rewards(spec) or no_form(spec) or _cannot_be(spec)
    if refusal:
        raise EjectError(refusal)
    spec = prepared(spec)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise EjectError(f"{folder} is not empty: name a new folder, nothing is replaced")
        paths.make_private_dir(folder)
        rows = (write_masked if target == "script" else write_items)(spec, folder)
        return _write(spec, target, folder, rows)
    except DataError as error:
        raise EjectError(str(error)) from None
    except OSError as error:
        place = error.filename or folder
        raise EjectError(f"{place} cannot be written: {os.strerror(error.errno or 0)}") from None


def _cannot_be(spec: RunSpec) -> str:
    """Return why nobody could train a run; empty where it can be."""
    unfit = model_misfit(spec)
    faults = ((one.reason, one.advice) for one in impossible(spec))
    reason, advice = next(faults, None) or unfit or ("", "")
    return f"{reason}: {advice}" if reason else ""


def _no_script(spec: RunSpec) -> str:
    """Return why a run cannot be a script; empty where it can."""
    return no_beginning(spec)


def _no_rewards(spec: RunSpec) -> str:
    """Return why the rewards of a run cannot be written; empty where they can, or it has none."""
    if isinstance(spec.objective, OnlineFields):
        try:
            rewards_of(spec.objective)
        except NoRewardError as error:
            return str(error)
    return ""


def _write(spec: RunSpec, target: Target, folder: Path, rows: WrittenRows) -> Ejected:
    template = spec.model.chat_template
    if template is not None:
        source = template_file(template).read_text(encoding="utf-8")
        paths.write_atomically(folder / TEMPLATE_FILE, source)
    if isinstance(spec.objective, OnlineFields):
        rewards = rewards_of(spec.objective)
        _copy(rewards.files, folder / REWARDS_FOLDER)
        if target == "axolotl":
            paths.write_atomically(folder / f"{MODULE}.py", reward_module(rewards))
    if target == "script":
        return _write_script(spec, folder, rows)
    config = axolotl_config(spec, rows.layout, rows=rows.train, evaluates=rows.eval > 0)
    left_out = (*config.left_out, *_of_data(spec, rows, "Axolotl"))
    file = folder / "axolotl.yaml"
    notes = "".join(f"# not in it: {said}\n" for said in left_out)
    paths.write_atomically(file, notes + _yaml(config.values))
    return Ejected(file, "axolotl train axolotl.yaml", rows, left_out)


def _write_script(spec: RunSpec, folder: Path, rows: WrittenRows) -> Ejected:
    file = folder / "train.py"
    written = script(spec, evaluates=rows.eval > 0, classes=dict(rows.classes))
    paths.write_atomically(file, written)
    if isinstance(spec.objective, OnlineFields):
        _copy(rewards_of(spec.objective).files, folder / REWARDS_FOLDER)
    config = accelerate_config(spec)
    if config is not None:
        paths.write_atomically(folder / ACCELERATE_FILE, _yaml(config))
    if spec.method.kind == "bottleneck":
        write_bottleneck(folder)
    if isinstance(spec.objective, PpoObjective):
        write_ppo(folder)
    left_out = (*_not_in_script(spec), *_of_data(spec, rows, ""), *_of_head(spec, rows))
    return Ejected(file, command_of(spec), rows, left_out)


def _copy(files: Sequence[Path], folder: Path) -> None:
    """Copy the Python files of rewards beside the script."""
    for file in files:
        paths.make_private_dir(folder)
        paths.write_atomically(folder / file.name, file.read_text(encoding="utf-8"))


def _yaml(values: dict[str, Any]) -> str:
    return yaml_text.write(values)


def _of_data(spec: RunSpec, rows: WrittenRows, whose: str) -> tuple[str, ...]:
    """Return what of the data is not in the files."""
    said = []
    if spec.data.mix is not None:
        said.append(
            f"data.mix: rows of {spec.data.mix.train}, {spec.data.mix.weight:.0%} of the tokens, "
            "are not among those of train.jsonl: losses will differ"
        )
    if whose and rows.left_out:
        said.append(f"{rows.left_out:,} rows that {whose} has no form for")
    return tuple(said)


def _of_head(spec: RunSpec, rows: WrittenRows) -> tuple[str, ...]:
    """Return that a head of other classes, where there are as many, begins as it is."""
    names = [name for name, _ in rows.classes]
    head = class_names(spec.model.name_or_path, spec.model.revision) if names else ()
    if not are_others(names, head) or len(names) != len(head):
        return ()
    known = ", ".join(text.one_line(name, 40) for name in head)
    return (f"a new head: the script begins with the model's own, which tells {known} apart",)


def _not_in_script(spec: RunSpec) -> tuple[str, ...]:
    said = list(not_in_accelerate(spec))
    if spec.model.backend != "transformers":
        said.append(f"model.backend {spec.model.backend}: the script loads with transformers")
    if spec.evaluation.score is not None:
        said.append("evaluation.score: answers graded before and after")
    if spec.evaluation.samples and spec.objective.kind not in ("reward", "classification"):
        said.append("evaluation.samples: answers written while it trains")
    if spec.objective.kind == "ppo":
        said.append("entropy, clip ratios, lengths of answers: the script logs rewards, KL, losses")
    return tuple(said)
