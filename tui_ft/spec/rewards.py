"""What answers are rewarded for, in objectives that let the model answer: one group for each kind.

A run names one reward or several; what they give, times their weights, is added up.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from tui_ft.spec.group import Group

Extract = Literal["auto", "whole", "after_hashes", "boxed", "last_number", "last_line"]
"""What of a text is the answer: what follows the last `####` (GSM8K), what the last `\\boxed{}`
holds (MATH), the last number, the last line that is not empty, or all of it; `auto` takes the first
of hashes and box that is there, else all."""
_SECRET = re.compile(r"(?:key|token|secret|password|passwd)=", re.IGNORECASE)
Column = Annotated[str, Field(min_length=1)]


class RewardFields(Group):
    """What all rewards have in common."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")] | None = None
    """What it is called in figures and charts; its kind when not given."""
    weight: float = 1.0
    """How much it counts; below 0 it is a penalty."""

    @model_serializer(mode="wrap")
    def _with_its_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the kind down though it is the default: nobody could read a list without."""
        return {"kind": getattr(self, "kind", None), **handler(self)}


class RewardModelReward(RewardFields):
    """A reward model's score: one that an earlier run trained, or any with a head of one output."""

    kind: Literal["reward_model"] = "reward_model"
    """The score of a reward model."""
    model: Annotated[str, Field(min_length=1)]
    """A run of ftui's with objective reward (`run:NAME`), or a model's folder or Hub id."""
    revision: str | None = None
    """Branch, tag or commit of a model on the Hub; the newest when not given."""
    batch_size: PositiveInt = 16
    """Texts scored at once."""


class ExactMatchReward(RewardFields):
    """1 for the answer of the data, 0 for any other; for mathematics and short answers.

    Compared is with the column `reference` of `data.columns`, where there is one, else with the
    row's own answer. A formula is the same however LaTeX writes it.
    """

    kind: Literal["exact_match"] = "exact_match"
    """Whether the answer is that of the data."""
    extract: Extract = "auto"
    """Which part of a generated answer is compared."""
    extract_reference: Extract = "auto"
    """Which part of the data's answer is compared."""
    ignore_case: bool = True
    """Whether capital and small letters are the same."""
    numbers: bool = True
    """Compare numbers by value: 1,000 is 1000.0, $5 is 5, 50% is 50, and 1/2 is 0.5."""
    any_of: bool = False
    """The data's answer is a list of right ones, written as JSON: any of them will do."""
    ignore_punctuation: bool = False
    """Leave out punctuation and more than one space."""


class RegexReward(RewardFields):
    """1 for an answer that a regular expression fits, else 0; for the form of answers."""

    kind: Literal["regex"] = "regex"
    """Whether a regular expression fits."""
    pattern: Annotated[str, Field(min_length=1)]
    """The expression, such as `<think>.*</think>.*` in Python's syntax."""
    match: Literal["anywhere", "full"] = "anywhere"
    """Whether it has to fit somewhere, or the whole answer (but for outer space)."""
    ignore_case: bool = False
    """Whether capital and small letters are the same."""
    dot_all: bool = True
    """Whether a dot stands for the end of a line too."""

    @field_validator("pattern")
    @classmethod
    def _is_an_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            at = "" if error.pos is None else f" at character {error.pos + 1}"
            raise ValueError(f"is no regular expression: {error.msg}{at}") from None
        return pattern


class JsonReward(RewardFields):
    """1 for valid JSON (that fits a schema, when one is given), else 0."""

    kind: Literal["json"] = "json"
    """Whether the answer is JSON, and fits a schema."""
    json_schema: dict[str, Any] | Annotated[str, Field(min_length=1)] | None = None
    """The JSON schema that it has to fit: a file, or the schema itself."""
    fenced: bool = True
    """Look into a ```json block where the answer has one."""
    valid_only: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """What valid JSON gets that does not fit the schema."""


class LengthReward(RewardFields):
    """1 for an answer of the length asked for; falls to 0 over `margin` beyond it.

    With a margin, and only `most`, this is the soft overlong punishment of DAPO (arXiv:2503.14476,
    equation 13) raised by 1.
    """

    kind: Literal["length"] = "length"
    """Whether the answer has a certain length."""
    unit: Literal["tokens", "characters", "words"] = "tokens"
    """What is counted."""
    target: PositiveInt | None = None
    """The best length; 1 there, less by distance, 0 from `margin` away (from the target itself,
    when no margin is given)."""
    least: NonNegativeInt | None = None
    """Shorter answers get less."""
    most: PositiveInt | None = None
    """Longer answers get less."""
    margin: PositiveInt | None = None
    """Beyond `least` and `most` the reward falls to 0 over so much; at once when not given."""

    @model_validator(mode="after")
    def _says_what_is_asked(self) -> LengthReward:
        limits = (self.least, self.most)
        if self.target is None and limits == (None, None):
            raise ValueError("says no length: give target, or least, or most")
        if self.target is not None and limits != (None, None):
            raise ValueError("target goes without least and most: give the one or the others")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least ({self.least}) is above most ({self.most})")
        return self


class HttpReward(RewardFields):
    """What an HTTP endpoint of yours gives: prompts and answers are sent to it.

    It is sent `{"prompts": [...], "completions": [...], "references": [...], "columns": {...}}` by
    POST, and answers `{"rewards": [...]}` with one number (or null, for no opinion) for each.
    """

    kind: Literal["http"] = "http"
    """What an HTTP endpoint gives."""
    url: Annotated[str, Field(min_length=1)]
    """Its address."""
    timeout: PositiveFloat = 30.0
    """Seconds to wait for an answer."""
    retries: Annotated[NonNegativeInt, Field(le=10)] = 3
    """How often it is asked again where it does not answer, or with 429 or 5xx."""
    headers_from_env: dict[str, str] = Field(default_factory=dict)
    """Headers by name, each with the environment variable that holds its value, so that no token
    is written down: `{Authorization: JUDGE_TOKEN}`."""
    columns: list[Column] = Field(default_factory=list)
    """Columns of the data that are sent along."""
    batch_size: PositiveInt | None = None
    """Answers sent at once; all of a step when not given."""
    on_failure: Literal["stop", "skip"] = "stop"
    """Whether a dead endpoint ends the run, or leaves these answers without this reward."""

    @field_validator("url")
    @classmethod
    def _is_an_address_without_secrets(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host = parts.hostname
            secret = parts.username or parts.password or _SECRET.search(parts.query)
        except ValueError as error:
            raise ValueError(f"is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("is no address of the form http://host:port/path")
        if secret:
            raise ValueError(
                "holds a user name, password or key, which would be written down with the run: "
                "send it in a header that headers_from_env names"
            )
        return url

    @field_validator("headers_from_env")
    @classmethod
    def _names_variables(cls, headers: dict[str, str]) -> dict[str, str]:
        for header, variable in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", header):
                raise ValueError(f"`{header[:40]}` is no name of a header")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
                raise ValueError(
                    f"{header}: give the name of an environment variable that holds the value, "
                    "not the value itself, which would be written down with the run"
                )
        return headers


class PythonReward(RewardFields):
    """What a Python function of yours gives, called as trl calls its reward functions.

    `def reward(prompts, completions, **columns) -> list[float | None]`; it runs in the training
    process, with all that you may do.
    """

    kind: Literal["python"] = "python"
    """What a Python function of yours gives."""
    file: Annotated[str, Field(min_length=1)]
    """The Python file."""
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "reward"
    """The function in it."""
    allow_code: bool = False
    """Run the file. Only for code you have read."""

    @model_validator(mode="after")
    def _was_allowed(self) -> PythonReward:
        if not self.allow_code:
            raise ValueError(
                f"{self.file} would be run as you: read it, then set allow_code to true"
            )
        return self


Reward = Annotated[
    RewardModelReward
    | ExactMatchReward
    | RegexReward
    | JsonReward
    | LengthReward
    | HttpReward
    | PythonReward,
    Field(discriminator="kind"),
]


def reward_names(rewards: list[Reward]) -> list[str]:
    """Return what each reward is called, no two alike: `regex`, `regex_2` and so on."""
    names: list[str] = []
    for reward in rewards:
        wanted = name = reward.name or reward.kind
        number = 1
        while name in names:
            number += 1
            name = f"{wanted}_{number}"
        names.append(name)
    return names
