"""Checks of who speaks when: chat templates, and models, expect turns to alternate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import messages_of
from tui_ft.data.checks.glance import Glance
from tui_ft.data.items import ASSISTANT, Message, Prompt
from tui_ft.data.row_view import RowView

_USER: Final = "user"
_SYSTEM: Final = "system"
_TOOL: Final = "tool"
_MANY_TURNS: Final = 40
_LEAST_TURNS: Final = 4
_TIMES_LONGER: Final = 4
_LONG_TURN: Final = 200
_CALL_MARKS: Final = ("<tool_call", "<function", "[TOOL_CALLS]", '"name"', "Action:")


Roles = tuple[str, ...]


def _with_roles(are_suspect: Callable[[Roles], bool]) -> Callable[[Glance], list[int]]:
    """Return how to find the rows of certain roles: most files have few successions of them."""

    def suspects(glance: Glance) -> list[int]:
        suspect = [rows for roles, rows in glance.by_roles.items() if are_suspect(roles)]
        return [row for rows in suspect for row in rows]

    return suspects


def _have_one_twice(roles: Roles) -> bool:
    before = ""
    for role in roles:
        if role == before and role != _TOOL:
            return True
        before = role
    return False


def _has_same_role_twice(view: RowView) -> bool:
    return _have_one_twice(view.roles)


def _start_with_assistant(roles: Roles) -> bool:
    for role in roles:
        if role != _SYSTEM:
            return role == ASSISTANT
    return False


def _starts_with_assistant(view: RowView) -> bool:
    return _start_with_assistant(view.roles)


def _end_with_another(roles: Roles) -> bool:
    return bool(roles) and roles[-1] != ASSISTANT


def _ends_with_another(view: RowView) -> bool:
    return _end_with_another(view.roles) and not isinstance(view.item, Prompt)


def _have_late_system(roles: Roles) -> bool:
    return len(roles) > 1 and _SYSTEM in roles[1:]


def _has_late_system(view: RowView) -> bool:
    return _have_late_system(view.roles)


def _has_swapped_roles(view: RowView) -> bool:
    """Return whether every turn of the assistant is a short question, and the user's answers."""
    if len(view.roles) < _LEAST_TURNS:
        return False
    asked, told = (_said_by(role, view) for role in (ASSISTANT, _USER))
    if min(len(asked), len(told)) < _LEAST_TURNS // 2:
        return False
    if not all(_is_question(text) for text in asked) or any(_is_question(text) for text in told):
        return False
    mean_told, mean_asked = (sum(map(len, texts)) / len(texts) for texts in (told, asked))
    return mean_told >= _LONG_TURN and mean_told >= _TIMES_LONGER * mean_asked


def _may_have_swapped_roles(glance: Glance) -> list[int]:
    rows = [row for roles, rows in glance.by_roles.items() if _are_several(roles) for row in rows]
    # The last answer is a question too, where there is one.
    said = ((row, glance.answers[row].strip()) for row in rows)
    return [row for row, answer in said if not answer or _is_question(answer)]


def _are_several(roles: Roles) -> bool:
    return len(roles) >= _LEAST_TURNS


def _said_by(role: str, view: RowView) -> list[str]:
    contents = (m.get("content") for m in messages_of(view) if m.get("role") == role)
    return [content.strip() for content in contents if isinstance(content, str)]


def _is_question(text: str) -> bool:
    return text.endswith(("?", "？", "؟"))


def _has_result_without_call(view: RowView) -> bool:
    if _TOOL not in view.roles:
        return False
    called = False
    for message in messages_of(view):
        if message.get("role") == _TOOL:
            if not called:
                return True
        else:
            called = message.get("role") == ASSISTANT and _calls(message)
    return False


def _have_tool(roles: Roles) -> bool:
    return _TOOL in roles


def _calls(message: Message) -> bool:
    """Return whether a message calls a tool, if only in words."""
    if message.get("tool_calls") or isinstance(message.get("function_call"), Mapping):
        return True
    content = message.get("content")
    return isinstance(content, str) and any(mark in content for mark in _CALL_MARKS)


def _are_many(roles: Roles) -> bool:
    return len(roles) > _MANY_TURNS


def _has_many_turns(view: RowView) -> bool:
    return _are_many(view.roles)


SAME_ROLE_TWICE: Final = RowCheck(
    CheckAbout(
        id="same-role-twice",
        title="same role twice in a row",
        severity="warning",
        why="Several templates (Llama 2, Mistral, Gemma) refuse turns that do not alternate.",
        advice="Join the two turns, or drop these rows.",
    ),
    _has_same_role_twice,
    _with_roles(_have_one_twice),
)
STARTS_WITH_ASSISTANT: Final = RowCheck(
    CheckAbout(
        id="starts-with-assistant",
        title="assistant speaks first",
        severity="warning",
        why="An assistant's turn before any user's is learned as an answer to nothing, and some "
        "templates refuse it.",
        advice="Drop the first turn where it is a greeting, or else these rows.",
    ),
    _starts_with_assistant,
    _with_roles(_start_with_assistant),
)
ENDS_WITH_USER: Final = RowCheck(
    CheckAbout(
        id="ends-with-user",
        title="last turn is not the assistant's",
        severity="warning",
        why="What stands after the last answer is never learned; often the answer was lost.",
        advice="Drop the last turn, or these rows if their answer was lost.",
    ),
    _ends_with_another,
    _with_roles(_end_with_another),
)
SYSTEM_NOT_FIRST: Final = RowCheck(
    CheckAbout(
        id="system-not-first",
        title="system message is not first",
        severity="warning",
        why="Most templates refuse or drop a system message that does not come first.",
        advice="Put it first, or make it a user's turn. A row without one is no fault.",
    ),
    _has_late_system,
    _with_roles(_have_late_system),
)
SWAPPED_ROLES: Final = RowCheck(
    CheckAbout(
        id="swapped-roles",
        title="roles look swapped",
        severity="warning",
        why="Every turn of the assistant is a short question and the user gives long answers: "
        "the model learns to ask.",
        advice="Swap the roles; keep interviews in which the assistant is meant to ask.",
    ),
    _has_swapped_roles,
    _may_have_swapped_roles,
)
TOOL_RESULT_WITHOUT_CALL: Final = RowCheck(
    CheckAbout(
        id="tool-result-without-call",
        title="tool result without a call",
        severity="warning",
        why="No call stands before the tool's result: the model never learns when to call it.",
        advice="Add the assistant's tool_calls, or drop these rows.",
    ),
    _has_result_without_call,
    _with_roles(_have_tool),
)
TOO_MANY_TURNS: Final = RowCheck(
    CheckAbout(
        id="too-many-turns",
        title="over 40 turns",
        severity="note",
        why="Long dialogues are cut at the maximum length, often in the middle.",
        advice="Compare with max_length in tokens; split them where the subject changes.",
    ),
    _has_many_turns,
    _with_roles(_are_many),
    remedy="none",
)
CHECKS: Final = (
    SAME_ROLE_TWICE,
    STARTS_WITH_ASSISTANT,
    ENDS_WITH_USER,
    SYSTEM_NOT_FIRST,
    SWAPPED_ROLES,
    TOOL_RESULT_WITHOUT_CALL,
    TOO_MANY_TURNS,
)
