"""Calls of tools: their arguments as objects in rows, and as each chat template wants them.

OpenAI writes the arguments of a call as JSON text, others as an object. Templates are made for one
or the other: most write them with `tojson`, which would encode a text twice; DeepSeek's put the
text itself between others, which fails for an object. So rows hold objects, and a template that
cannot use them is given text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from tui_ft.data.items import Message


def with_object(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call with arguments as an object, where they are the JSON text of one."""
    function = call.get("function")
    if isinstance(function, dict):
        made = _with_object(function)
        return call if made is function else {**call, "function": made}
    return _with_object(call)


def render_calls(render: Callable[[Sequence[Message]], str], messages: Sequence[Message]) -> str:
    """Return what ``render`` makes of ``messages``, with arguments in the form that it can use.

    A template that fails, or that writes Python's notation of a dict, is given text instead.

    Raises:
        Exception: whatever ``render`` raises for arguments as objects, if text does not help.
    """
    arguments = [found for message in messages for found in _objects(message)]
    if not arguments:
        return render(messages)
    try:
        rendered = render(messages)
    except Exception as error:  # a template is a program of somebody else: anything may come
        try:
            return render([_with_text(message) for message in messages])
        except Exception:
            raise error from None  # what it says of the row as it stands is what counts
    if any(_is_python(found, rendered, messages) for found in arguments):
        return render([_with_text(message) for message in messages])
    return rendered


def _with_object(function: dict[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments")
    if not isinstance(arguments, str) or not arguments.lstrip().startswith("{"):
        return function
    try:
        return {**function, "arguments": orjson.loads(arguments)}
    except orjson.JSONDecodeError:
        return function


def _objects(message: Message) -> list[Mapping[str, Any]]:
    """Return the arguments of a message's calls that are objects."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return []
    functions = [call.get("function", call) for call in calls if isinstance(call, Mapping)]
    found = [made.get("arguments") for made in functions if isinstance(made, Mapping)]
    return [arguments for arguments in found if isinstance(arguments, Mapping)]


def _is_python(arguments: Mapping[str, Any], rendered: str, messages: Sequence[Message]) -> bool:
    """Return whether a template wrote `{'a': 1}`, and did not only repeat it from a content."""
    shown = str(arguments)
    if shown == _text(arguments) or shown not in rendered:
        return False
    said = sum(str(value).count(shown) for message in messages for value in _texts(message))
    return rendered.count(shown) > said


def _texts(message: Message) -> list[str]:
    return [value for value in message.values() if isinstance(value, str)]


def _with_text(message: Message) -> Message:
    """Return a message with the arguments of its calls as JSON text."""
    if not _objects(message):
        return message
    return {**message, "tool_calls": [_call_with_text(call) for call in message["tool_calls"]]}


def _call_with_text(call: Any) -> Any:  # noqa: ANN401 - a call is whatever the row holds
    if not isinstance(call, Mapping):
        return call
    if isinstance(call.get("function"), Mapping):
        return {**call, "function": _call_with_text(call["function"])}
    arguments = call.get("arguments")
    return {**call, "arguments": _text(arguments)} if isinstance(arguments, Mapping) else call


def _text(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)
