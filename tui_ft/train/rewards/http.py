"""What an HTTP endpoint gives for answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from tui_ft import text
from tui_ft.spec.rewards import HttpReward
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_OK: Final = range(200, 300)
_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


class EndpointError(Exception):
    """The endpoint gave no rewards; the message says why."""


def make(reward: HttpReward, job: Job) -> Score:
    """Return what asks the endpoint.

    Raises:
        RunFailure: an environment variable for a header is not set.
    """
    endpoint = Endpoint(reward, note=job.note)
    return endpoint.score


class Endpoint:
    """An endpoint that is asked again where it is worth it.

    Args:
        reward: which, and how often.
        note: told once when answers are left without this reward.
        pause: waits so many seconds; tests do not.
    """

    def __init__(
        self,
        reward: HttpReward,
        note: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reward, self._note, self._pause = reward, note, pause
        self._host = urlsplit(reward.url).netloc
        self._told = False
        # No redirects: the headers may hold a token, which is for this address alone.
        self._client = httpx.Client(
            timeout=reward.timeout, headers=headers_of(reward), follow_redirects=False
        )

    def score(self, answers: Answers) -> list[float | None]:
        """Return the endpoint's rewards.

        Raises:
            RunFailure: it gives none, and that is to end the run.
        """
        count = len(answers.completions)
        size = self._reward.batch_size or max(1, count)
        found: list[float | None] = []
        for start in range(0, count, size):
            rows = range(start, min(start + size, count))
            try:
                found += self._ask(self._body(answers, rows), len(rows))
            except EndpointError as error:
                found += self._without(error, len(rows))
        return found

    def _body(self, answers: Answers, rows: range) -> bytes:
        def of(values: Sequence[Any]) -> list[Any]:
            return [values[row] for row in rows]

        body = {
            "prompts": of(answers.prompts),
            "completions": of(answers.texts),
            "references": of(answers.references),
            "columns": {name: of(answers.columns[name]) for name in self._reward.columns},
        }
        return orjson.dumps(body, default=str)

    def _ask(self, body: bytes, count: int) -> list[float | None]:
        """Ask until there is an answer; as often as the run says, with longer and longer pauses."""
        for attempt in range(self._reward.retries + 1):
            last = attempt == self._reward.retries
            try:
                response = self._post(body)
            except httpx.TimeoutException:
                fault = f"did not answer within {self._reward.timeout:g} s"
            except httpx.HTTPError as error:
                fault = f"cannot be reached: {text.one_line(str(error), 120)}"
            else:
                status = response.status_code
                if status in _OK:
                    return _rewards_in(response.content, count)
                fault = f"answered {status}: {text.one_line(response.text, 120) or 'nothing'}"
                if status != _TOO_MANY and status < _SERVER_ERROR:
                    raise EndpointError(fault)
            if last:
                break
            self._pause(min(_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE))
        times = self._reward.retries + 1
        raise EndpointError(fault + (f" (asked {times} times)" if times > 1 else ""))

    def _post(self, body: bytes) -> httpx.Response:
        """Post ``body``; return the answer, read whole.

        Raises:
            httpx.TimeoutException: it was not whole in time. What httpx bounds is each wait alone,
                and one that sends a byte now and then would never be done.
        """
        until = time.monotonic() + self._reward.timeout
        kind = {"Content-Type": "application/json"}
        with self._client.stream("POST", self._reward.url, content=body, headers=kind) as response:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("not whole in time")
        return httpx.Response(response.status_code, content=b"".join(parts))

    def _without(self, error: EndpointError, count: int) -> list[float | None]:
        reason = f"the reward endpoint {self._host} {error}"
        if self._reward.on_failure == "stop":
            raise RunFailure(
                reason,
                "bring it up again and resume the run from its newest checkpoint",
                "or set on_failure to skip: answers are then left without this reward",
            ) from None
        if not self._told:
            self._told = True
            self._note(f"{reason}; these answers go without this reward")
        return [None] * count


def headers_of(reward: HttpReward) -> dict[str, str]:
    """Return the headers, their values from the environment.

    Raises:
        RunFailure: a variable is not set, or holds what no header can.
    """
    found = {}
    for header, variable in reward.headers_from_env.items():
        value = os.environ.get(variable, "").strip()
        if not value:
            raise RunFailure(
                f"the reward endpoint's header {header} is to come from the environment variable "
                f"{variable}, which is not set",
                f"export {variable} where the run is started from, and start or resume it there",
            )
        if not (value.isascii() and value.isprintable()):
            # Said here without it: the library's own words would show the value in the log.
            raise RunFailure(
                f"the environment variable {variable} holds a character that no header can: an "
                "end of line, a control character, or none of ASCII",
                f"export {variable} again, as one line of plain text",
            )
        found[header] = value
    return found


def _rewards_in(content: bytes, count: int) -> list[float | None]:
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        shown = text.one_line(content[:200].decode(errors="replace"), 80)
        raise EndpointError(f"answered no JSON: {shown or 'nothing'}") from None
    given = said.get("rewards") if isinstance(said, dict) else said
    if not isinstance(given, list):
        raise EndpointError('answered no list of rewards: {"rewards": [...]} is what belongs there')
    if len(given) != count:
        raise EndpointError(f"answered {len(given)} rewards for {count} answers")
    wrong = [one for one in given if not _is_reward(one)]
    if wrong:
        shown = text.one_line(repr(wrong[0]), 40)
        raise EndpointError(f"answered {shown}, where a number or null belongs")
    return [None if one is None else float(one) for one in given]


def _is_reward(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
