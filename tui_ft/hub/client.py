"""One question to the Hub: bounded in time and size, and never more said than has to be.

The token goes to the endpoint's own host and nowhere else: httpx drops it when it is sent on to
another one. No message holds it.
"""

from __future__ import annotations

import email.utils
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from tui_ft import paths, text
from tui_ft.hub.places import hf_home

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)?")
"""How models and data sets are called: `name`, or `owner/name`."""

SECONDS: Final = 5.0
BIGGEST_ANSWER: Final = 32 << 20

_TIMEOUT: Final = "HF_HUB_ETAG_TIMEOUT"
"""Seconds that huggingface_hub waits for what the Hub says of a file: of the same kind as ours."""
_CONNECTING: Final = 0.6
"""The part of the time in which a connection has to come about."""
_DIGITS: Final = 5  # a day has 86,400 seconds
_TRUE: Final = frozenset(("1", "on", "yes", "true"))
_RESET: Final = re.compile(r"\bt=(\d{1,9})\b")  # of the header `ratelimit: "api";r=0;t=55`


@dataclass(frozen=True, slots=True)
class Answer:
    """What the Hub answered.

    Attributes:
        status: the HTTP status.
        body: as it came; whether it makes sense is for the reader to find out.
        retry_after: after how many seconds it may be asked again, when it says so.
        code: the Hub's own word for what is wrong: `RepoNotFound`, `GatedRepo`, …
    """

    status: int
    body: bytes = b""
    retry_after: int | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Why there is no answer.

    Attributes:
        endpoint: who was asked, without a password.
        error: what went wrong, as httpx calls it: `ConnectError`, `ReadTimeout`, …
    """

    endpoint: str
    error: str


def ask(
    path: str,
    parameters: Mapping[str, str | Sequence[str]],
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> Answer | Silence:
    """Return what the Hub answers to a GET. Never raises, and takes `patience` at most.

    Args:
        path: below the endpoint, such as `/api/models/org/name`; quoted as URLs are.
        parameters: of the question; one with several values is given several times.
        environ: honours HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME and HF_HUB_ETAG_TIMEOUT.
        transport: how the Hub is reached; httpx's own when None.
    """
    found: list[Answer | Silence] = []
    shown = endpoint(environ)

    def get() -> None:
        try:
            found.append(_get(path, parameters, environ, transport))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            found.append(Silence(shown, type(error).__name__))

    # A resolver that hangs, or a header that comes byte by byte, is bounded by no timeout of httpx.
    asking = threading.Thread(target=get, daemon=True, name="ftui-hub")
    asking.start()
    asking.join(patience(environ))
    return found[0] if found else Silence(shown, "ReadTimeout")


def _get(
    path: str,
    parameters: Mapping[str, str | Sequence[str]],
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> Answer:
    seconds = patience(environ)
    until = time.monotonic() + seconds
    url = _address(environ) + path
    secret = token(environ)
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    limits = httpx.Timeout(seconds, connect=seconds * _CONNECTING)
    with (
        httpx.Client(timeout=limits, follow_redirects=True, transport=transport) as client,
        client.stream("GET", url, params=parameters, headers=headers) as answer,
    ):
        return Answer(
            answer.status_code,
            _body(answer, until),
            _retry_after(answer.headers),
            answer.headers.get("x-error-code", ""),
        )


def _body(answer: httpx.Response, until: float) -> bytes:
    """Return the body. httpx's own limit is for each piece: a slow Hub could hold us for ever.

    Raises:
        httpx.HTTPError: it is too slow or too long.
    """
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if time.monotonic() > until:
            raise httpx.ReadTimeout("the answer takes too long")
        if len(body) > BIGGEST_ANSWER:
            raise httpx.DecodingError("the answer is too long")
    return bytes(body)


def patience(environ: Mapping[str, str] = os.environ) -> float:
    """Return how many seconds the Hub is waited for: people on a slow line may give it longer."""
    given = environ.get(_TIMEOUT, "").strip()
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) <= _DIGITS else 0
    return float(seconds) or SECONDS


def endpoint(environ: Mapping[str, str] = os.environ) -> str:
    """Return the Hub's address as it may be shown: without a user and a password."""
    return text.one_line(re.sub(r"//[^/]*@", "//", _address(environ)), 120)


def _address(environ: Mapping[str, str]) -> str:
    return environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_offline(environ: Mapping[str, str] = os.environ) -> bool:
    """Return what huggingface_hub makes of the environment: the older name counts as well."""
    value = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.lower() in _TRUE


def token(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the Hub token from the usual places. It is used for the request and nothing else."""
    if found := environ.get("HF_TOKEN", "").strip():
        return found
    file = paths.expand(environ.get("HF_TOKEN_PATH", hf_home(environ) / "token"))
    try:
        return file.read_text().strip() or None
    except (OSError, ValueError):
        return None


def complaint(answer: Answer | Silence, environ: Mapping[str, str] = os.environ) -> str:
    """Return what is wrong with an answer that is of no use, whatever was asked, and what to do."""
    hub = f"the Hub ({endpoint(environ)})"
    if isinstance(answer, Silence):
        if "Timeout" in answer.error:
            return (
                f"{hub} does not answer in {patience(environ):g} s ({answer.error}): try again "
                f"later, or give it longer ({_TIMEOUT}=60)"
            )
        return (
            f"{hub} cannot be reached ({answer.error}): check the connection, the proxy "
            "(HTTPS_PROXY) and HF_ENDPOINT"
        )
    wait = f"in {answer.retry_after:,} s" if answer.retry_after else "later"
    more = "" if token(environ) else "; logged in (`hf auth login`) you may ask more often"
    said = {
        401: "does not accept your token (401): `hf auth login`, or set HF_TOKEN anew",
        403: "refuses (403): your token lacks the permission to read",
        429: f"is asked too often from here (429): try again {wait}{more}",
    }
    if answer.status in said:
        return f"{hub} {said[answer.status]}"
    if answer.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return f"{hub} is in trouble (it answers {answer.status}): try again {wait}"
    return f"{hub} answers {answer.status}, which makes no sense here: check HF_ENDPOINT"


def nonsense(environ: Mapping[str, str] = os.environ) -> str:
    """Return what is said of an answer that cannot be read."""
    return (
        f"the answer of {endpoint(environ)} makes no sense: is HF_ENDPOINT the address of a Hub, "
        "and no login page in between?"
    )


def _retry_after(headers: httpx.Headers) -> int | None:
    """Return the seconds to wait: of `Retry-After`, a number or a date, or of the Hub's own."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return int(given[:9])
    if given:
        try:
            then = email.utils.parsedate_to_datetime(given).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
        return max(0, round(then - time.time()))
    reset = _RESET.search(headers.get("ratelimit", ""))
    return int(reset[1]) if reset else None
