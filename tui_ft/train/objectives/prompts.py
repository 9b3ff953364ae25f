"""Prompts as tokens, with the row's own answer and columns beside them for the rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from datasets import Sequence as ListOf
from datasets import Value

from tui_ft.data import TemplateError
from tui_ft.data.chat.prompts import asked_in, asked_text
from tui_ft.data.items import AnyItem
from tui_ft.spec import RunSpec
from tui_ft.spec.online import REFERENCE, OnlineFields, columns_for, wanted_columns
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.protocol import NO_ITEM, TokenRow, Totals

PROMPT_TOKENS: Final = "prompt_input_ids"
"""The column of a prompt's tokens; by its end `mixing` knows what to count."""
NEEDS_REFERENCE: Final = ("exact_match",)
"""The kinds of rewards that have nothing to say without the row's own answer."""
_FEATURES: Final = {
    "prompt": Value("string"),  # JSON: a text, or messages, which differ in their keys
    PROMPT_TOKENS: ListOf(Value("int32")),
    REFERENCE: Value("string"),
    "columns": Value("string"),
    "line": Value("int64"),
}


class PromptRows:
    """Rows of a prompt's tokens, what it says, the row's own answer, and columns for rewards."""

    def __init__(self, spec: RunSpec, tokenizer: TransformersChatTokenizer) -> None:
        self._spec, self._tokenizer = spec, tokenizer
        asked = spec.objective
        assert isinstance(asked, OnlineFields)
        self._rewards = asked.rewards
        self._room = spec.training.max_length - asked.max_completion_length
        self._wanted = wanted_columns(asked)
        self._columns: Mapping[str, Any] = {}
        self._missing = dict.fromkeys(self._wanted or (), 0)
        self._rows = self._with_reference = self._tokens = self._longest = 0

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns of a row."""
        return _FEATURES

    def take_columns(self, values: Mapping[str, Any]) -> None:
        """Keep the columns of the row that is made next; see `TakesColumns`."""
        self._columns = values

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the row that a prompt becomes; why not, where it leaves no room for an answer."""
        asked = asked_in(item)
        if asked is None:
            return NO_ITEM
        try:
            ids = self._tokenizer.encode(asked_text(asked, self._tokenizer)).ids
        except TemplateError as error:
            return f"the chat template refuses it: {error}"
        if not ids:
            return "its prompt is empty"
        if len(ids) > self._room:
            return (
                f"its prompt is longer than {self._room} tokens, which training.max_length less "
                "objective.max_completion_length leaves for it"
            )
        self._rows += 1
        self._with_reference += asked.reference is not None
        self._tokens += len(ids)
        self._longest = max(self._longest, len(ids))
        prompt = asked.prompt if isinstance(asked.prompt, str) else list(map(dict, asked.prompt))
        return [
            {
                "prompt": orjson.dumps(prompt, default=str).decode(),
                PROMPT_TOKENS: ids,
                REFERENCE: asked.reference,
                "columns": orjson.dumps(self._kept_columns(), default=str).decode(),
                "line": line,
            }
        ]

    def beside(self) -> PromptRows:
        """Return a maker for another file of the run."""
        return type(self)(self._spec, self._tokenizer)

    def refusal(self) -> str | None:
        """Return why no reward could say anything of the rows; else None."""
        absent = [name for name, count in self._missing.items() if count == self._rows]
        if absent and self._rows:
            return f"no row has the column {absent[0]}, which a reward is to be given"
        if self._with_reference or not self._rows:
            return None
        needy = [reward.kind for reward in self._rewards if reward.kind in NEEDS_REFERENCE]
        if not needy:
            return None
        return (
            f"the reward {needy[0]} compares with the row's own answer, and no row has one: map "
            "its column with data.columns, such as {prompt: question, reference: answer}"
        )

    def warnings(self) -> list[str]:
        """Return which rewards have nothing to compare with in some rows, or are not given one."""
        said = []
        without = self._rows - self._with_reference
        needy = [reward.kind for reward in self._rewards if reward.kind in NEEDS_REFERENCE]
        if needy and without and self._with_reference:
            said.append(f"{without:,} rows have no answer for {needy[0]} to compare with")
        if self._spec.evaluation.score is not None and not self._with_reference:
            said.append("evaluation.score grades nothing: no row has an answer to compare with")
        some = ((name, n) for name, n in self._missing.items() if 0 < n < self._rows)
        return said + [f"{n:,} rows have no column {name} for the rewards" for name, n in some]

    def totals(self) -> Totals:
        """Return what the prompts add up to; what carries loss is only generated in training."""
        return Totals(self._rows, self._tokens, 0, self._longest)

    def _kept_columns(self) -> dict[str, Any]:
        for name in self._wanted or ():
            self._missing[name] += self._columns.get(name) is None
        return columns_for(self._wanted, self._columns)


def whole_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `PromptRows` as rewards are given it: read back, its columns beside it."""
    return {
        **orjson.loads(row["columns"]),
        "prompt": orjson.loads(row["prompt"]),
        REFERENCE: row[REFERENCE],
    }
