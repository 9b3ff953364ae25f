"""Rewards as a script writes them: plain functions with the signature of trl's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any, Final

from tui_ft import paths
from tui_ft.hub.outputs import RUN
from tui_ft.runs.folder import RunError
from tui_ft.runs.json_schema import SchemaError, read_schema
from tui_ft.runs.reward_models import RewardModelPlace, find_reward_model
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.rewards import (
    ExactMatchReward,
    HttpReward,
    JsonReward,
    LengthReward,
    PythonReward,
    RegexReward,
    RewardFields,
    RewardModelReward,
    reward_names,
)

FOLDER: Final = "reward_files"
"""Beside the script: the Python files of rewards."""
_IMPORTS: Final[dict[str, tuple[str, ...]]] = {
    "regex": ("import re",),
    "exact_match": (
        *("import re", "import string", "from decimal import Decimal, InvalidOperation"),
        "from fractions import Fraction",
    ),
    "json": ("import re",),
    "http": ("import time",),
    "python": ("import importlib.util",),
}
_LIBRARIES: Final[dict[str, tuple[str, ...]]] = {"http": ("import httpx",)}
_NEEDS: Final = {"http": "httpx"}
_WITHOUT_PART: Final = ("regex", "python")
_PLACES: Final = {"anywhere": "search", "full": "fullmatch"}
_ADAPTER: Final = "adapter_config.json"


class NoRewardError(Exception):
    """A reward that cannot stand in a script; the message says why."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """The rewards of a run in a script.

    Attributes:
        imports: of Python's own modules; `libraries` of others.
        needs: packages beside those of every script.
        parts: files of `parts` that the functions use.
        functions: their text.
        names: of the functions, in order; `weights` beside them.
        loads: lines that load reward models, once types are chosen.
        files: Python files that belong beside the script.
    """

    imports: tuple[str, ...]
    libraries: tuple[str, ...]
    needs: tuple[str, ...]
    parts: tuple[str, ...]
    functions: str
    names: tuple[str, ...]
    weights: tuple[float, ...]
    loads: tuple[str, ...]
    files: tuple[Path, ...]


def rewards_of(asked: OnlineFields) -> Rewards:
    """Return the rewards of an objective as a script writes them.

    Raises:
        NoRewardError: one needs what is not there, or what a script has no form for.
    """
    kinds = dict.fromkeys(reward.kind for reward in asked.rewards)
    names: list[str] = []
    functions: list[str] = []
    loads: list[str] = []
    files: list[Path] = []
    for name, reward in zip(reward_names(asked.rewards), asked.rewards, strict=True):
        function = "reward_" + re.sub(r"\W", "_", name)
        if function in names:  # two names that differ in what no function may be called
            function += f"_{len(names) + 1}"
        names.append(function)
        lines = WRITERS[reward.kind](reward, function)
        functions.append("\n".join([*lines, f'{function}.__name__ = "{name}"', "", ""]))
        if isinstance(reward, RewardModelReward):
            loads.append(f"scorers[{function!r}] = load_scorer({_place(reward)})")
        if isinstance(reward, PythonReward):
            files.append(_file(reward))
    files = list(dict.fromkeys(files))
    if len({file.name for file in files}) < len(files):
        raise NoRewardError("two Python files of rewards have the same name: rename one")
    schemas = any(isinstance(one, JsonReward) and one.json_schema for one in asked.rewards)
    libraries = [line for kind in kinds for line in _LIBRARIES.get(kind, ())]
    if schemas:
        libraries.append("from jsonschema import Draft202012Validator")
        libraries.append("from jsonschema.validators import validator_for")
    if loads:
        functions.insert(0, "scorers = {}\n\n")
    return Rewards(
        imports=tuple(line for kind in kinds for line in _IMPORTS.get(kind, ())),
        libraries=tuple(libraries),
        needs=(*(_NEEDS[k] for k in kinds if k in _NEEDS), *(("jsonschema",) if schemas else ())),
        parts=("rewards", *(_part(kind) for kind in kinds if kind not in _WITHOUT_PART)),
        functions="\n\n" + "\n".join(functions),
        names=tuple(names),
        weights=tuple(reward.weight for reward in asked.rewards),
        loads=tuple(loads),
        files=tuple(files),
    )


def _part(kind: str) -> str:
    return kind if kind.startswith("reward_") else f"reward_{kind}"


def _options(reward: RewardFields, *but: str) -> dict[str, Any]:
    """Return what is said of a reward beside its name and weight."""
    named = reward.model_dump(exclude_none=True)
    return {k: v for k, v in named.items() if k not in ("kind", "name", "weight", *but)}


def _arguments(**named: Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in named.items())


def _regex(reward: RegexReward, function: str) -> list[str]:
    flags = [("re.IGNORECASE", reward.ignore_case), ("re.DOTALL", reward.dot_all)]
    given = " | ".join(name for name, is_set in flags if is_set) or "0"
    fits = f"expression.{_PLACES[reward.match]}(said.strip())"
    return [
        f"def {function}(completions, **_):",
        f"    expression = re.compile({reward.pattern!r}, {given})",
        f"    return [float({fits} is not None) for said in texts(completions)]",
        "",
        "",
    ]


def _exact_match(reward: ExactMatchReward, function: str) -> list[str]:
    options = _options(reward)
    return [
        f"def {function}(completions, reference, **_):",
        f"    options = dict({_arguments(**options)})",
        "    return [",
        "        None if wanted is None else float(is_match(said, wanted, **options))",
        "        for said, wanted in zip(texts(completions), reference)",
        "    ]",
        "",
        "",
    ]


def _json(reward: JsonReward, function: str) -> list[str]:
    options = _arguments(fenced=reward.fenced)
    before = []
    if reward.json_schema is not None:
        try:
            schema = read_schema(reward.json_schema)
        except SchemaError as error:
            raise NoRewardError(str(error)) from None
        name = f"SCHEMA_OF_{function.upper()}"
        before = [
            f"{name} = {pformat(schema, width=96, sort_dicts=False)}",
            "",
            "",
        ]
        kind = f"validator_for({name}, default=Draft202012Validator)"
        options += f", validator={kind}({name}), valid_only={reward.valid_only!r}"
    return [
        *before,
        f"def {function}(completions, **_):",
        f"    return [of_json(said, {options}) for said in texts(completions)]",
        "",
        "",
    ]


def _length(reward: LengthReward, function: str) -> list[str]:
    given = _options(reward, "unit")
    if reward.unit == "tokens":
        each, of = "len(ids)", "ids in completion_ids"
        takes = "completion_ids"
    else:
        each = "len(said.split())" if reward.unit == "words" else "len(said)"
        takes, of = "completions", "said in texts(completions)"
    return [
        f"def {function}({takes}, **_):",
        f"    return [of_length({each}, {_arguments(**given)}) for {of}]",
        "",
        "",
    ]


def _http(reward: HttpReward, function: str) -> list[str]:
    options = _arguments(
        timeout=reward.timeout,
        retries=reward.retries,
        headers=reward.headers_from_env,
        batch_size=reward.batch_size,
        skip=reward.on_failure == "skip",
    )
    columns = "{" + ", ".join(f"{name!r}: columns[{name!r}]" for name in reward.columns) + "}"
    return [
        f"def {function}(prompts, completions, reference, **columns):",
        f"    options = dict({options})  # headers come from the environment",
        f"    sent = {columns}",
        f"    return ask({reward.url!r}, prompts, completions, reference, sent, **options)",
        "",
        "",
    ]


def _python(reward: PythonReward, function: str) -> list[str]:
    name = _file(reward).name
    stem = f"reward_{Path(name).stem}"
    return [
        f'found = importlib.util.spec_from_file_location({stem!r}, HERE / "{FOLDER}" / {name!r})',
        "module = importlib.util.module_from_spec(found)",
        "found.loader.exec_module(module)",
        f"{function} = module.{reward.function}",
    ]


def _file(reward: PythonReward) -> Path:
    file = Path(paths.expand(reward.file))
    if not file.is_file():
        raise NoRewardError(f"there is no file {file} for the reward {reward.function}")
    return file


def _reward_model(reward: RewardModelReward, function: str) -> list[str]:
    return [
        f"def {function}(prompts, completions, **_):",
        f"    return scores(scorers[{function!r}], prompts, completions, {reward.batch_size})",
        "",
        "",
    ]


def _place(reward: RewardModelReward) -> str:
    """Return the arguments that say where a reward model lies."""
    try:
        place = find_reward_model(reward)
    except RunError as error:
        raise NoRewardError(f"objective.rewards: {error}") from None
    if place.path is None:
        return f"{reward.model!r}, {reward.revision!r}, None, None"
    if not (place.path / _ADAPTER).is_file():
        return f"{str(place.path)!r}, None, None, None"
    name, revision = _base(place, place.path)
    return f"{str(place.path)!r}, None, {name!r}, {revision!r}"


def _base(place: RewardModelPlace, adapter: Path) -> tuple[str, str | None]:
    """Return on which model the adapter of a reward model belongs."""
    if place.spec is None:
        config = json.loads((adapter / _ADAPTER).read_text(encoding="utf-8"))
        return str(config["base_model_name_or_path"]), config.get("revision")
    method, model = place.spec.method, place.spec.model
    own_way = model.dtype != "auto" or bool(model.extra) or model.name_or_path.startswith(RUN)
    if method.kind in ("qlora", "bottleneck") or own_way:
        raise NoRewardError(
            f"the reward model {place.path} is an adapter of {method.kind} on a base that is "
            "loaded in its own way, which a script has no form for: train it with lora or full"
        )
    return model.name_or_path, model.revision


WRITERS: Final[dict[str, Callable[[Any, str], list[str]]]] = {
    "regex": _regex,
    "exact_match": _exact_match,
    "json": _json,
    "length": _length,
    "http": _http,
    "python": _python,
    "reward_model": _reward_model,
}
"""The kind of a reward -> what writes its function."""
