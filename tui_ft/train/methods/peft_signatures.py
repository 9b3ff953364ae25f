"""The arguments of peft's configurations as the installed peft has them.

`python -m tui_ft.train.methods.peft_signatures` prints those that are shipped as
`peft_configs.json`.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from tui_ft.spec.methods import PeftMethod
from tui_ft.spec.peft_configs import RESERVED, Facts, PeftTypeName, argument_fault
from tui_ft.train.errors import RunFailure


def facts_of(config_class: type[Any]) -> Facts:
    """Return the arguments of a configuration, and of each the kinds of its values."""
    hints = typing.get_type_hints(config_class)
    names = [field.name for field in dataclasses.fields(config_class) if field.init]
    # Sorted: `typing` hands out one union for all that have the same members, in whatever order.
    return {
        name: tuple(sorted(set(_kinds(hints[name]))))
        for name in sorted(names)
        if name not in RESERVED
    }


def refuse_unknown_arguments(method: PeftMethod) -> None:
    """Look at the arguments again, beside the peft that is installed.

    Raises:
        RunFailure: it has no such method, or the method no such argument.
    """
    config_class = PEFT_TYPE_TO_CONFIG_MAPPING.get(method.peft_type)
    if config_class is None:
        reason = f"method.peft_type {method.peft_type}: peft {version('peft')} has no such method"
        raise RunFailure(reason, "install a newer peft")
    fault = argument_fault(method.peft_type, facts_of(config_class), method.arguments)
    if fault is not None:
        raise RunFailure(f"method.arguments: {fault} (peft {version('peft')})")


def _kinds(annotation: Any) -> list[str]:  # noqa: ANN401 - any annotation
    """Return the kinds of values that an annotation allows."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [kind for one in typing.get_args(annotation) for kind in _kinds(one)]
    if origin is typing.Literal:
        return [f"={value}" for value in typing.get_args(annotation)]
    bare = origin or annotation
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return [f"={member.value}" for member in bare]
    return [_PLAIN.get(bare, "any")]


_PLAIN: Final[dict[Any, str]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    types.NoneType: "none",
    list: "list",
    tuple: "list",
    set: "list",
    dict: "map",
}


def as_shipped(facts: Mapping[str, Facts]) -> str:
    """Return facts as JSON, an argument on each line."""
    methods = []
    for name, arguments in sorted(facts.items()):
        lines = (f'  "{argument}": {json.dumps(kinds)}' for argument, kinds in arguments.items())
        inner = ",\n".join(lines)
        methods.append(f' "{name}": {{\n{inner}\n }}')
    return "{\n" + ",\n".join(methods) + "\n}\n"


def main() -> None:
    """Print the facts of every method that can be passed on."""
    facts = {
        name: facts_of(PEFT_TYPE_TO_CONFIG_MAPPING[name]) for name in typing.get_args(PeftTypeName)
    }
    print(as_shipped(facts), end="")  # noqa: T201 - it is what it is for


if __name__ == "__main__":
    main()
