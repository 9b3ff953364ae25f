"""What a Python function of the person's own gives. Only ever run with `allow_code`."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_ft import paths, text
from tui_ft.spec.rewards import PythonReward
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

Function = Callable[..., Any]


def make(reward: PythonReward, job: Job) -> Score:
    """Return what calls the function, as trl calls a reward function.

    Raises:
        RunFailure: the file or the function is not there, the file breaks, or was not allowed.
    """
    function = load_function(reward)

    def score(answers: Answers) -> Sequence[float | None]:
        # Lists of its own: what it does to them is not done to what is trained on.
        arguments = {
            "prompts": list(answers.prompts),
            "completions": list(answers.completions),
            "completion_ids": answers.completion_ids,
            **answers.columns,
        }
        try:
            given = function(**arguments)
            if inspect.isawaitable(given):
                given = asyncio.run(_awaited(given))
        except (Exception, SystemExit) as error:  # the code is somebody else's: anything may come
            traceback.print_exc()
            raise _broken(reward, error) from error
        # Texts, keys and sets can be gone through as well, but in them no number is an answer's.
        if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
            shown = text.one_line(repr(given), 60)
            raise RunFailure(
                f"the reward {reward.function} of {reward.file} gave {shown}, which is no list",
                f"give a list with one number, or None, for each of the {len(answers.completions)} "
                "answers",
            )
        return list(given)

    return score


def load_function(reward: PythonReward) -> Function:
    """Return the function; the file is run for it.

    Raises:
        RunFailure: see `make`.
    """
    if not reward.allow_code:
        raise RunFailure(f"{reward.file} was not allowed: set allow_code once you have read it")
    file = Path(paths.expand(reward.file))
    if not file.is_file():
        raise RunFailure(f"there is no file {file} for the reward {reward.function}")
    spec = importlib.util.spec_from_file_location(f"ftui_reward_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise RunFailure(f"{file} is no Python file: its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the code is somebody else's: anything may come
        traceback.print_exc()
        raise _broken(reward, error) from error
    function: Function | None = getattr(module, reward.function, None)
    if not callable(function):
        there = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        raise RunFailure(
            f"{file} has no function {reward.function}",
            f"it has: {', '.join(there)}" if there else "it has no function at all",
        )
    return function


async def _awaited(given: Any) -> Any:  # noqa: ANN401 - whatever the function gives
    return await given


def _broken(reward: PythonReward, error: BaseException) -> RunFailure:
    file = Path(paths.expand(reward.file))
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == file and frame.lineno
    ]
    if isinstance(error, SyntaxError) and error.lineno:
        lines.append(error.lineno)
    where = f"{file}, line {lines[-1]}" if lines else str(file)
    said = text.one_line(str(error), 300) or "no message"
    named = "unexpected keyword argument" in said
    takes = ("let it take **kwargs: columns and more are handed over by name",) if named else ()
    return RunFailure(
        f"the reward {reward.function} broke in {where}: {type(error).__name__}: {said}",
        *takes,
        "worker.log has the whole traceback: `ftui logs --worker`",
    )
