"""What generated answers are rewarded for: one module for each kind, and the table of them.

A module has `make(reward, job)`, which returns a `Score`: a function from answers to one number for
each, or None where it has no opinion. What trl is given (`RewardFunction`) has the signature of its
reward functions, and makes sure that what came back are numbers, one for each answer.
"""

from __future__ import annotations

import importlib
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tui_ft import text
from tui_ft.spec.online import REFERENCE, OnlineFields
from tui_ft.spec.rewards import reward_names
from tui_ft.train.errors import RunFailure

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

MODULES: Final = {
    "reward_model": "reward_model",
    "exact_match": "exact_match",
    "regex": "pattern",
    "json": "json_answer",
    "length": "length",
    "http": "http",
    "python": "python_file",
}
"""The kind of a reward in a RunSpec -> the module here that holds its `make`."""

_LONGEST_MESSAGE: Final = 300

Turns = str | list[dict[str, Any]]
"""A prompt or an answer as trl hands it over: a text, or the messages of a dialogue."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A batch of answers, as rewards look at them.

    Attributes:
        prompts: what was asked, once for each answer.
        completions: the answers, in the layout of the prompts.
        completion_ids: their tokens, the one that ends an answer among them; None when not known.
        columns: the columns of the data, and what the trainer adds, each with one value a row.
    """

    prompts: Sequence[Turns]
    completions: Sequence[Turns]
    completion_ids: Sequence[Sequence[int]] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """The answers as text."""
        return [text_of(completion) for completion in self.completions]

    @property
    def references(self) -> list[str | None]:
        """The answers of the data, None where there is none."""
        return list(self.columns.get(REFERENCE) or [None] * len(self.completions))


Score = Callable[[Answers], Sequence[float | None]]


class RewardFunction:
    """A reward as trl calls it. Its `__name__` stands in the names of figures.

    Args:
        name: what the reward is called.
        score: gives the numbers.
    """

    def __init__(self, name: str, score: Score) -> None:
        self.__name__ = name
        self._score = score

    def __call__(
        self,
        prompts: Sequence[Turns],
        completions: Sequence[Turns],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return the reward of each answer; None where it has none to give.

        Raises:
            RunFailure: it broke, or gave something else than one number for each answer.
        """
        answers = Answers(prompts, completions, completion_ids, columns)
        try:
            given = list(self._score(answers))
        except RunFailure:
            raise
        except Exception as error:  # whatever a reward does, the person is told which one it was
            traceback.print_exc()
            said = text.one_line(str(error), _LONGEST_MESSAGE) or "no message"
            raise RunFailure(
                f"the reward {self.__name__} broke: {type(error).__name__}: {said}",
                "worker.log has the whole traceback: `ftui logs --worker`",
            ) from error
        if len(given) != len(completions):
            raise RunFailure(
                f"the reward {self.__name__} gave {len(given)} values for "
                f"{len(completions)} answers: it has to give one number, or None, for each"
            )
        return [self._number(value, row) for row, value in enumerate(given)]

    def _number(self, value: object, row: int) -> float | None:
        if value is None:
            return None
        try:
            number = float(value)  # type: ignore[arg-type]  # that is what is found out
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
        shown = text.one_line(repr(value), 60)
        raise RunFailure(
            f"the reward {self.__name__} gave {shown} for answer {row + 1} of the batch, which is "
            "no number",
            "give a finite number for each answer, or None for no opinion",
        )


def reward_functions(job: Job) -> tuple[list[RewardFunction], list[float]]:
    """Return the rewards of a run as trl calls them, and their weights.

    Raises:
        RunFailure: one cannot be made: its model or file is not there.
    """
    asked = job.spec.objective
    assert isinstance(asked, OnlineFields)
    names = reward_names(asked.rewards)
    functions = []
    for name, reward in zip(names, asked.rewards, strict=True):
        module = importlib.import_module(f"{__name__}.{MODULES[reward.kind]}")
        functions.append(RewardFunction(name, module.make(reward, job)))
    return functions, [reward.weight for reward in asked.rewards]


def text_of(turns: Turns) -> str:
    """Return what is said in an answer, of several messages all of it."""
    if isinstance(turns, str):
        return turns
    return "\n".join(str(turn.get("content") or "") for turn in turns)
