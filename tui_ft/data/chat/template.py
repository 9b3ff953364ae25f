"""Chat templates, rendered as transformers renders them, without transformers.

The environment (sandbox, block trimming, helpers, the `{% generation %}` tag) is the one that
`transformers.utils.chat_template_utils` of version 5 sets up, so that the text is the same to the
letter. Templates come from the Hub and are foreign code: they run in jinja2's immutable sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from tui_ft.data.chat.tool_calls import render_calls
from tui_ft.data.items import REASONING


def compile_template(source: str) -> Template:
    """Return the template, ready to render.

    Raises:
        jinja2.TemplateSyntaxError: it is no valid template.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        raise_exception=_raise_exception,
        strftime_now=_strftime_now,
        dict=_Dict(),
        namespace=_Namespace,
    )
    return environment.from_string(source)


def render_template(
    template: Template,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    tools: Sequence[Any] | None,
    special_tokens: Mapping[str, str],
) -> str:
    """Return the conversation as ``template`` writes it.

    Args:
        template: from `compile_template`.
        messages: the conversation; fields that are None are left out, as transformers does, and
            arguments of tool calls become text for templates that need text.
        add_generation_prompt: end with what asks the model for its answer.
        tools: JSON schemas of the tools offered.
        special_tokens: `bos_token`, `eos_token`, … for the template to use.

    Raises:
        Exception: whatever the template does wrong; jinja2.TemplateError if it refuses.
    """

    def render(written: Sequence[Mapping[str, Any]]) -> str:
        return template.render(
            **special_tokens,
            messages=[_with_reasoning(message) for message in written],
            tools=list(tools) if tools else None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
        )

    return render_calls(render, messages)


def _with_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message with its reasoning under the names that templates read."""
    known = {name: value for name, value in message.items() if value is not None}
    for name in REASONING:
        if name in known:
            return {"thinking": known[name], **known, "reasoning_content": known[name]}
    return known


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}`: writes what it holds, in a scope of its own."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Dict:
    """`dict(…)` and `dict.fromkeys(…)`, and nothing else of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """Jinja's namespace, closed to Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` stays free for namespace(self=…)
        own, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(own, values)

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any template value
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a template may not set the attribute {name!r} on a namespace")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any,  # noqa: ANN401 - any template value
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which no chat template means.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
