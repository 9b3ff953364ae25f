"""What can be known to go wrong with a run's rewards before anything heavy is loaded."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tui_ft import paths
from tui_ft.hub import locate_model
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.folder import RunError
from tui_ft.runs.json_schema import SchemaError, read_schema, validator_of
from tui_ft.runs.reward_models import find_reward_model, how_to_make
from tui_ft.spec import RunSpec
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.rewards import (
    ExactMatchReward,
    HttpReward,
    JsonReward,
    LengthReward,
    PythonReward,
    Reward,
    RewardModelReward,
)

Found = tuple[str, str, str | None]
"""Severity, text and advice of a finding."""
_WITHOUT_ANSWERS: Final = "prompt_only"


def check_rewards(spec: RunSpec) -> list[Finding]:
    """Return what is found of a run's rewards, and how long prompts may be. Never raises."""
    asked = spec.objective
    if not isinstance(asked, OnlineFields):
        return []
    found: list[Found] = [found for one in asked.rewards for found in _check(one, asked)]
    if spec.training.extra.get("use_vllm") and importlib.util.find_spec("vllm") is None:
        text = "training.extra.use_vllm: vllm is not installed here"
        found.append(("bad", text, "pip install vllm, or leave use_vllm out"))
    room = spec.training.max_length - asked.max_completion_length
    if room > 0:
        found.append(
            (
                "note",
                f"prompts of more than {room:,} tokens are left out, as training.max_length "
                f"({spec.training.max_length:,}) is for prompt and answer together; the run says "
                "how many they are before it loads the model",
                None,
            )
        )
    return [Finding(severity, text, advice) for severity, text, advice in found]  # type: ignore[arg-type]


def unanswered_refusal(spec: RunSpec, format: str, columns: Mapping[str, str]) -> str | None:
    """Return why rows leave a reward with nothing to compare with; else None.

    Args:
        spec: the run.
        format: of the rows.
        columns: which of them plays which part.
    """
    asked = spec.objective
    without = format == _WITHOUT_ANSWERS and "reference" not in columns
    if not without or not isinstance(asked, OnlineFields):
        return None
    if not any(isinstance(reward, ExactMatchReward) for reward in asked.rewards):
        return None
    return (
        "the reward exact_match compares with the row's own answer, and the rows are prompts "
        "without one: map its column with data.columns, such as "
        "{prompt: question, reference: answer}"
    )


def with_absolute_rewards(spec: RunSpec, absolute: Callable[[str], str]) -> RunSpec:
    """Return ``spec`` with the files and folders that its rewards name made absolute."""
    asked = spec.objective
    if not isinstance(asked, OnlineFields):
        return spec
    rewards = [_absolute(reward, absolute) for reward in asked.rewards]
    return spec.model_copy(update={"objective": asked.model_copy(update={"rewards": rewards})})


def _absolute(reward: Reward, absolute: Callable[[str], str]) -> Reward:
    changes: dict[str, Any] = {}
    match reward:
        case PythonReward(file=file):
            changes = {"file": absolute(file)}
        case JsonReward(json_schema=str(file)):
            changes = {"json_schema": absolute(file)}
        case RewardModelReward(model=model):
            changes = {"model": _absolute_model(reward, absolute(model))}
        case _:
            pass
    return reward.model_copy(update=changes)


def _absolute_model(reward: RewardModelReward, there: str) -> str:
    """Return the folder of a run or model; an id on the Hub as it is."""
    if Path(there).exists():
        return there
    try:
        run = find_reward_model(reward).run
    except RunError:
        return reward.model
    return reward.model if run is None else str(run.path)


def _check(reward: Reward, asked: OnlineFields) -> Sequence[Found]:
    match reward:
        case PythonReward():
            return _check_python(reward)
        case RewardModelReward():
            return _check_model(reward)
        case HttpReward():
            return _check_http(reward)
        case JsonReward(json_schema=schema) if schema is not None:
            return _check_schema(schema)
        case LengthReward(unit="tokens") if (reward.least or 0) > asked.max_completion_length:
            text = (
                f"no answer is as long as the reward length wants it: {reward.least} tokens at "
                f"least, and objective.max_completion_length is {asked.max_completion_length}"
            )
            return [("bad", text, "raise objective.max_completion_length, or lower least")]
        case _:
            return []


def _check_python(reward: PythonReward) -> Sequence[Found]:
    file = Path(paths.expand(reward.file)).absolute()
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is no UTF-8 text"
        return [("bad", f"the reward file {file} cannot be read: {said}", None)]
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return [("bad", f"{file}{line}: is not valid Python: {said}", None)]
    if reward.function not in _names_in(tree):
        return [("bad", f"{file} has no function {reward.function}", "name it by `function`")]
    text = f"this run executes your code: {reward.function} in {file}, with all that you may do"
    return [("warning", text, "read the file before you start the run")]


def _names_in(tree: ast.Module) -> set[str]:
    """Return what a module's own level defines, imports among it."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _check_model(reward: RewardModelReward) -> Sequence[Found]:
    try:
        place = find_reward_model(reward)
    except RunError as error:
        return [("bad", f"objective.rewards: {error}", None)]
    if place.path is not None:
        return []
    model = locate_model(reward.model, reward.revision)
    if "/" not in reward.model and model.where in ("missing", "gated", "unknown"):
        # Ids on the Hub have an owner, but for a few old ones: a run is meant.
        reason = f"objective.rewards: there is no run {reward.model}, nor a folder or a model of "
        return [("bad", f"{reason}that name", how_to_make(reward.model))]
    if model.where in ("missing", "gated"):
        reason = f"the reward model: {model.reason or 'it is not there'}"
        return [("bad", reason, "name a run with objective reward, a folder, or a Hub id")]
    if model.where == "hub":
        return [("note", f"the reward model {reward.model} is fetched from the Hub first", None)]
    return [("warning", model.reason, None)] if model.reason else []


def _check_http(reward: HttpReward) -> Sequence[Found]:
    host = urlsplit(reward.url).netloc
    unset = [name for name in reward.headers_from_env.values() if not os.environ.get(name)]
    found: list[Found] = [
        ("bad", f"the environment variable {name} for {host} is not set", f"export {name} first")
        for name in unset
    ]
    secure = reward.url.startswith("https:") or not reward.headers_from_env
    if not secure and urlsplit(reward.url).hostname not in ("localhost", "127.0.0.1", "::1"):
        text = f"{host} is sent its headers unencrypted, for everybody on the way to read"
        found.append(("warning", text, "use an address that begins with https:"))
    return [*found, ("note", f"prompts and answers are sent to {host}", None)]


def _check_schema(schema: dict[str, Any] | str) -> Sequence[Found]:
    try:
        validator_of(read_schema(schema))
    except SchemaError as error:
        return [("bad", str(error), error.advice[0] if error.advice else None)]
    return []
