"""Check what a spec passes on to a library (`extra`) against what that library really takes."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tui_ft.train.errors import RunFailure


def checked_extra(
    group: str, extra: Mapping[str, Any], target: Callable[..., Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``own`` arguments with ``extra`` put over them.

    Args:
        group: the spec's group, for the message.
        extra: what the person wrote.
        target: the function or class that takes the arguments.
        own: the arguments that ftui sets itself.

    Raises:
        RunFailure: ``target`` has no such argument.
    """
    known = inspect.signature(target).parameters
    for name in extra:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (f"did you mean `{near[0]}`?",) if near else ()
            reason = f"{group}.extra.{name}: {target.__qualname__} has no such argument"
            raise RunFailure(reason, *hint)
    return {**own, **extra}
