"""A chain: runs one after the other, each of which may begin with what an earlier one left.

SFT, then DPO on its output; SFT, a reward model on its output, then reinforcement learning with
both (the pipeline of arXiv:2203.02155, section 3). A stage is a run like any other; where it names
a model it may write `previous`, or `stage:NAME` of an earlier one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from tui_ft.spec import yaml_text
from tui_ft.spec.group import Group
from tui_ft.spec.loading import Lines, build_spec, read_yaml
from tui_ft.spec.methods import TRAINS_BASE, VIRTUAL_TOKENS
from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.spec.presets import preset_values
from tui_ft.spec.problems import Problem, SpecError
from tui_ft.spec.run_spec import RunSpec

PREVIOUS: Final = "previous"
"""The output of the stage before, as a model's name."""
STAGE: Final = "stage:"
"""Before the name of a stage, whose output is meant."""
MODEL: Final = "model.name_or_path"

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$"
_DEEPEST: Final = 8
"""stages, number, run, and what is in a run."""


class _StageFile(Group):
    """A stage as it is written down."""

    name: Annotated[str, Field(pattern=_NAME)]
    """What the stage is called: letters, digits, `.`, `_`, `-`; at most 31."""
    preset: str | None = None
    """A preset's name or the YAML file of a run that it starts from."""
    run: dict[str, Any] = Field(default_factory=dict)
    """What is set over it, as in the YAML of a run."""


class _ChainFile(Group):
    """A chain as it is written down."""

    version: Literal[1] = 1
    """The version of this format."""
    name: Annotated[str, Field(pattern=_NAME)] = "chain"
    """What the chain is called: letters, digits, `.`, `_`, `-`; at most 31."""
    description: str = ""
    """A sentence for those who read it later."""
    stages: Annotated[list[_StageFile], Field(min_length=1)]
    """The runs, in their order."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a stage's run where another stage's output belongs.

    Attributes:
        key: dotted, such as model.name_or_path.
        stage: the name of the other stage.
    """

    key: str
    stage: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of a chain, whole but for what earlier stages leave."""

    name: str
    run: RunSpec


@dataclass(frozen=True, slots=True)
class Chain:
    """Runs in their order. What is wrong with their order is found when it is read."""

    name: str
    stages: tuple[Stage, ...]
    description: str = ""

    def stage(self, name: str) -> Stage:
        """Return the stage called ``name``."""
        return next(stage for stage in self.stages if stage.name == name)

    def number(self, name: str) -> int:
        """Return its place, the first being 1."""
        return [stage.name for stage in self.stages].index(name) + 1

    def references(self, stage: Stage) -> tuple[Reference, ...]:
        """Return which outputs of other stages a stage takes; the one before is named."""
        before = self.number(stage.name) - 2
        named = self.stages[before].name if before >= 0 else ""
        return tuple(_references(stage.run, named))

    def filled(self, stage: Stage, output: Callable[[str], str]) -> RunSpec:
        """Return a stage's run with the outputs of other stages in their places.

        Args:
            stage: of this chain.
            output: returns the model that stands for the output of the stage of that name.
        """
        taken = {one.key: one.stage for one in self.references(stage)}

        def fill(key: str, text: str) -> str:
            return output(taken[key]) if key in taken else text

        return RunSpec.model_validate(_each_text(stage.run.model_dump(), fill))

    def first_model(self, stage: Stage) -> str:
        """Return the model that the chain of models under a stage begins with."""
        taken = {one.key: one.stage for one in self.references(stage)}
        if MODEL in taken:
            return self.first_model(self.stage(taken[MODEL]))
        return stage.run.model.name_or_path

    def with_stage(self, name: str, overrides: Iterable[str]) -> Chain:
        """Return the chain with ``key=value`` set in one of its runs.

        Raises:
            SpecError: there is no such stage, or what is set is wrong.
        """
        if name not in [stage.name for stage in self.stages]:
            known = ", ".join(stage.name for stage in self.stages)
            raise SpecError([Problem("", f"there is no stage {name}", file="--set", allowed=known)])
        changed = tuple(
            Stage(one.name, build_spec(one.run.model_dump(), overrides))
            if one.name == name
            else one
            for one in self.stages
        )
        chain = replace(self, stages=changed)
        _refuse(_faults(chain), None, {})
        return chain


def load_chain(path: Path, overrides: Iterable[str] = ()) -> Chain:
    """Return the chain in the YAML file ``path``.

    Args:
        path: the file.
        overrides: `STAGE.KEY=VALUE`, put over the runs of the stages.

    Raises:
        SpecError: the file cannot be read, is no YAML, or describes no chain; with one problem for
            each fault, named by stage and key.
    """
    values, lines = read_yaml(path, _DEEPEST, _ChainFile)
    try:
        written = _ChainFile.model_validate(values)
    except ValidationError as error:
        raise SpecError(list(_file_problems(error, lines, str(path)))) from None
    per_stage = _by_stage(written, overrides)
    stages: list[Stage] = []
    problems: list[Problem] = []
    for index, one in enumerate(written.stages):
        under = {
            where[3:]: line
            for where, line in lines.items()
            if where[:3] == ("stages", index, "run") and len(where) > 3  # noqa: PLR2004
        }
        here = lines.get(("stages", index))
        try:
            stages.append(_stage(written.name, one, per_stage[one.name], under, path))
        except SpecError as error:
            problems += [
                replace(
                    problem,
                    key=f"{one.name}.{problem.key}".rstrip("."),
                    line=problem.line or (here if problem.file == str(path) else None),
                )
                for problem in error.problems
            ]
    if problems:
        raise SpecError(problems)
    chain = Chain(written.name, tuple(stages), written.description)
    places = {one.name: lines.get(("stages", at)) for at, one in enumerate(written.stages)}
    _refuse(_faults(chain), str(path), places)
    return chain


def dump_chain(chain: Chain) -> str:
    """Return ``chain`` as YAML with every field of every run, ready for `load_chain`."""
    stages = [{"name": one.name, "run": one.run.model_dump(mode="json")} for one in chain.stages]
    values = {"version": 1, "name": chain.name, "description": chain.description, "stages": stages}
    return yaml_text.write(values)


def _by_stage(written: _ChainFile, overrides: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {one.name: [] for one in written.stages}
    for text in overrides:
        name, dot, rest = text.partition(".")
        if not dot or name.strip() not in found:
            fault = f"`{text}` does not begin with a stage's name and a dot"
            allowed = ", ".join(f"{known}.KEY=VALUE" for known in found)
            raise SpecError([Problem("", fault, file="--set", allowed=allowed)])
        found[name.strip()].append(rest)
    return found


def _stage(chain: str, one: _StageFile, overrides: list[str], lines: Lines, file: Path) -> Stage:
    values: dict[str, Any] = {}
    if one.preset is not None:
        values = preset_values(_beside(one.preset, file))
    _lay_over(values, one.run)
    if "name" not in one.run:
        values["name"] = f"{chain}-{one.name}"
    return Stage(one.name, build_spec(values, overrides, lines=lines, file=str(file)))


def _beside(reference: str, file: Path) -> str:
    """Return a run's file as seen from the chain's; a preset's name stays one."""
    there = file.parent / reference
    return str(there) if reference.endswith((".yaml", ".yml")) and there.is_file() else reference


def _lay_over(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put ``over`` into ``values``, group by group."""
    for key, value in over.items():
        inner = values.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged = dict(inner)
            _lay_over(merged, value)
            values[key] = merged
        else:
            values[key] = copy.deepcopy(value)


def _references(run: RunSpec, before: str) -> list[Reference]:
    found: list[Reference] = []

    def look(key: str, text: str) -> str:
        if key == MODEL and text == PREVIOUS:
            found.append(Reference(key, before))
        elif text.startswith(STAGE) and key.split(".", maxsplit=1)[0] in ("model", "objective"):
            found.append(Reference(key, text.removeprefix(STAGE).strip()))
        return text

    _each_text(run.model_dump(), look)
    return found


def _each_text(value: Any, change: Callable[[str, str], str], at: str = "") -> Any:  # noqa: ANN401
    """Return plain ``value`` with each text in it as ``change`` returns it for its dotted key."""
    if isinstance(value, str):
        return change(at, value)
    if isinstance(value, Mapping):
        return {k: _each_text(v, change, f"{at}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_each_text(one, change, f"{at}.{number}") for number, one in enumerate(value)]
    return value


def _faults(chain: Chain) -> Iterator[tuple[str, Problem]]:
    """Return what is wrong with the order of a chain's stages, each with the stage's name."""
    names = [stage.name for stage in chain.stages]
    for at, stage in enumerate(chain.stages):
        if stage.name in names[:at]:
            yield stage.name, Problem(stage.name, "is the name of two stages")
        for taken in chain.references(stage):
            key = f"{stage.name}.{taken.key}"
            if not taken.stage:
                fault = f"is `{PREVIOUS}`, and no stage stands before the first"
                yield stage.name, Problem(key, fault, allowed="a folder, or an id on the Hub")
            elif taken.stage not in names[:at]:
                known = ", ".join(f"{STAGE}{name}" for name in names[:at]) or "none stands before"
                fault = f"names the stage {taken.stage}, which does not stand before it"
                yield stage.name, Problem(key, fault, allowed=known)
            else:
                unfit = _unfit(stage, taken, chain.stage(taken.stage).run)
                if unfit is not None:
                    yield stage.name, Problem(key, unfit)


def _unfit(stage: Stage, taken: Reference, earlier: RunSpec) -> str | None:
    """Return why the output of an earlier run cannot stand where it is named."""
    if taken.key != MODEL:
        if earlier.objective.kind in ANSWERS_NOTHING:
            return None
        return f"names the stage {taken.stage}, which trains no reward model"
    if (
        earlier.objective.kind in ANSWERS_NOTHING
        and stage.run.objective.kind not in ANSWERS_NOTHING
    ):
        return (
            f"names the stage {taken.stage}, whose model scores texts and generates none: take the "
            "stage before that, such as stage:sft"
        )
    if stage.run.model.adapter == "continue":
        return _not_continued(stage, taken, earlier)
    if earlier.method.kind in VIRTUAL_TOKENS:
        return (
            f"names the stage {taken.stage}, which learns tokens before every row "
            f"({earlier.method.kind}): no later stage can begin with them; use lora there"
        )
    return None


def _not_continued(stage: Stage, taken: Reference, earlier: RunSpec) -> str | None:
    """Return why a stage cannot train the adapter of an earlier one further."""
    left, now = earlier.method.kind, stage.run.method.kind
    if left in TRAINS_BASE:
        return (
            f"names the stage {taken.stage}, which leaves a whole model ({left}) and no adapter "
            "that model.adapter continue could train further"
        )
    if left != now and not {left, now} <= {"lora", "qlora"}:
        return (
            f"names the stage {taken.stage}, whose adapter is {left}: with model.adapter continue "
            f"method.kind has to be {left} too, and is {now}"
        )
    return None


def _refuse(
    faults: Iterable[tuple[str, Problem]], file: str | None, lines: Mapping[str, int | None]
) -> None:
    found = [replace(problem, file=file, line=lines.get(name)) for name, problem in faults]
    if found:
        raise SpecError(found)


def _file_problems(error: ValidationError, lines: Lines, file: str) -> Iterator[Problem]:
    for fault in error.errors(include_url=False):
        where = fault["loc"]
        line = next(
            (lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in lines), None
        )
        in_stage = bool(where) and where[0] == "stages" and len(where) > 1
        model = _StageFile if in_stage else _ChainFile
        known = ", ".join(model.model_fields)
        said = {"extra_forbidden": "unknown key", "missing": "is missing"}
        message = said.get(fault["type"], re.sub(r"^Input should", "it should", fault["msg"]))
        key = ".".join(str(part) for part in where)
        yield Problem(key, message, line=line, file=file, allowed=known)
