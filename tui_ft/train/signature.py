"""Check what a spec passes on to a library (`extra`) against what that library really takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tui_ft.spec.passed_on import extra_fault
from tui_ft.train.errors import RunFailure


def checked_extra(
    group: str,
    extra: Mapping[str, Any],
    target: Callable[..., Any],
    arguments: Mapping[str, Any],
    own: Collection[str] = (),
    through_kwargs: Collection[str] = (),
) -> dict[str, Any]:
    """Return ``arguments`` with ``extra`` put over them.

    Args:
        group: the spec's group, for the message.
        extra: what the person wrote.
        target: the function or class that takes the arguments.
        arguments: what ftui passes itself.
        own: names that `extra` may not set: they have a field of their own, or ftui needs them.
        through_kwargs: names that ``target`` takes without naming them in its signature.

    Raises:
        RunFailure: ``target`` has no such argument, or it is not for `extra` to set.
    """
    known = _named(target) | set(through_kwargs)
    fault = extra_fault(group, extra, target.__qualname__, known, own)
    if fault is not None:
        raise RunFailure(fault.reason, *filter(None, (fault.advice,)))
    return {**arguments, **extra}


def _named(target: Callable[..., Any]) -> set[str]:
    """Return the arguments that can be given by name; not `**kwargs` itself."""
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(target).parameters
    return {name for name, parameter in parameters.items() if parameter.kind not in unnamed}
