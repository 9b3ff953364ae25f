"""YAML as runs are written in it: `1e-4` is a number to people, and a text to YAML 1.1.

`10:30`, which YAML 1.1 takes for 630, and `010`, which it takes for 8, are none: they stay as they
were typed, and a field that wants a number says so, or reads the 10.

Read, such a value stays a text that a number field takes for a number, and a text field (a commit
12345e7) for a text. Where nobody knows which it is, in what is passed on to a library, quotes tell:
so they are kept when it is written again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

EXPONENT: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_TEXT: Final = "tag:yaml.org,2002:str"
_NUMBERS: Final = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
"""What is a number, as in YAML 1.1 but for hours, minutes and octal numbers."""


class Unquoted(str):
    """A text that stands without quotes, and reads as a number with an exponent."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Tells `1e-4` from `"1e-4"`."""


class _Dumper(yaml.SafeDumper):
    """Writes a text that reads as a number in quotes."""


def _construct(loader: _Loader, node: yaml.ScalarNode) -> str:
    value = str(loader.construct_scalar(node))
    return Unquoted(value) if node.style is None and EXPONENT.fullmatch(value) else value


def _represent(dumper: _Dumper, value: str) -> yaml.Node:
    return dumper.represent_scalar(_TEXT, value, style="'" if EXPONENT.fullmatch(value) else None)


def _represent_plain(dumper: _Dumper, value: Unquoted) -> yaml.Node:
    return dumper.represent_scalar(_TEXT, str(value))


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(_TEXT, _construct)
_Dumper.add_representer(str, _represent)
_Dumper.add_representer(Unquoted, _represent_plain)


def read(text: str) -> Any:  # noqa: ANN401 - whatever was written
    """Return what ``text`` holds.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: it holds a day that there is not.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def compose(text: str) -> yaml.Node | None:
    """Return what ``text`` holds as nodes, which know their lines; raises as `read` does."""
    node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    return node


def write(values: Mapping[str, Any], width: int = 100) -> str:
    """Return ``values`` as YAML, their order kept."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def write_in_line(value: object) -> str:
    """Return a list or a mapping as YAML on one line."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=True, default_flow_style=True, width=10_000
    ).strip()
