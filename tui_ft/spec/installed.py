"""What classes of installed libraries take, read off their source: nothing of theirs is imported.

For those whose arguments are the fields of dataclasses, as configurations of transformers, trl,
peft and accelerate are. A run's own process looks at the class itself, and has the last word.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_DEEPEST: Final = 12
"""Files that an import is followed through; libraries pass a name on through some four."""
_WITHOUT_FIELDS: Final = frozenset(("object", "ABC", "Generic", "Protocol"))


class _Class(NamedTuple):
    module: str
    node: ast.ClassDef


def arguments_of(module: str, name: str) -> frozenset[str] | None:
    """Return the arguments that a class can be called with, by name.

    Args:
        module: where it is imported from, such as `trl`.
        name: of the class.

    Returns:
        None where it cannot be told: the library is not here, or is written otherwise.
    """
    try:
        found = _class(module, name)
        return None if found is None else _arguments(found)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _arguments(found: _Class) -> frozenset[str] | None:
    """Return the arguments of `__init__`, where it is written out, else the fields of all bases."""
    for one in found.node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            named = (*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs)
            return frozenset(argument.arg for argument in named[1:])
    names = set(_fields(found.node))
    for base in found.node.bases:
        if not isinstance(base, ast.Name):
            return None
        if base.id in _WITHOUT_FIELDS:
            continue
        inherited = _class(found.module, base.id)
        theirs = None if inherited is None else _arguments(inherited)
        if theirs is None:
            return None
        names |= theirs
    return frozenset(names)


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Yield the fields of a dataclass that can be given."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return
    for one in node.body:
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        given = one.value.keywords if isinstance(one.value, ast.Call) else []
        kept = any(k.arg == "init" and ast.unparse(k.value) == "False" for k in given)
        if not kept and "ClassVar" not in ast.unparse(one.annotation):
            yield one.target.id


def _class(module: str, name: str, depth: int = 0) -> _Class | None:
    """Return a class by the name that a module has it by, wherever that took it from."""
    tree = _tree(module)
    if tree is None or depth > _DEEPEST:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Class(module, node)
    for inner in ast.walk(tree):  # libraries that load late import for type checkers alone
        if not isinstance(inner, ast.ImportFrom):
            continue
        for alias in inner.names:
            if name == (alias.asname or alias.name):
                found = _class(_absolute(module, inner), alias.name, depth + 1)
                if found is not None:
                    return found
    return None


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """Return the module that an import is from."""
    if not node.level:
        return node.module or ""
    is_package = _file(module).name == "__init__.py"
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join((*kept, *((node.module,) if node.module else ())))


def _tree(module: str) -> ast.Module | None:
    """Return what a module is written as; None where there is no source of it."""
    try:
        return _parsed(_file(module))
    except FileNotFoundError:  # not kept: it may be installed yet
        return None


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


def _file(module: str) -> Path:
    """Return the file of a module. Its package is found, and not imported.

    Raises:
        FileNotFoundError: there is none.
    """
    top, *inner = module.split(".")
    found = importlib.util.find_spec(top) if top else None
    for place in (found and found.submodule_search_locations) or ():
        path = Path(place, *inner)
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file.is_file() and (inner or file.name == "__init__.py"):
                return file
    raise FileNotFoundError(module)
