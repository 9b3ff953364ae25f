"""Modules of ftui's own that a run needs and no library has: copied beside the script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import tui_ft
from tui_ft import paths

_PACKAGE: Final = Path(tui_ft.__file__).parent
BOTTLENECK: Final = "bottleneck_adapters"
"""The module of these adapters: pandas takes any `bottleneck` for a library that it knows."""
_PPO: Final = (
    "__init__",
    "advantages",
    "figures",
    "kl",
    "losses",
    "passes",
    "policy",
    "rollout",
    "value_head",
)
_ANSWERING: Final = "answering"
"""What graded answers share with PPO, and so lies a folder higher in the package."""
_SPEC: Final = re.compile(r"^from tui_ft\.spec\.\S+ import (\w+)$", re.MULTILINE)
_ORIGIN: Final = "# From ftui (Apache-2.0), which this folder does not need.\n"


def write_bottleneck(folder: Path) -> None:
    """Copy bottleneck adapters into ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    _write("tuners/bottleneck.py", folder / f"{BOTTLENECK}.py")


def write_ppo(folder: Path) -> None:
    """Copy what PPO is made of into a folder `ppo` in ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    inside = folder / "ppo"
    paths.make_private_dir(inside)
    for name in _PPO:
        _write(f"train/ppo/{name}.py", inside / f"{name}.py")
    _write(f"train/{_ANSWERING}.py", inside / f"{_ANSWERING}.py")


def _write(source: str, file: Path) -> None:
    """Copy a module of the package to ``file``, without need of ours.

    What it imports from its own folder, or of answering, lies beside it; a class of the spec is
    only an annotation.
    """
    original = _PACKAGE / source
    parent = ".".join(original.relative_to(_PACKAGE.parent).parent.parts)
    name, own = original.stem, file.stem
    text = _SPEC.sub(r"from typing import Any as \1", original.read_text(encoding="utf-8"))
    text = text.replace(f"from {parent} import {name}", f"import {own}")
    text = text.replace(f"{name}.load(", f"{own}.load(").replace(f"{parent}.{name}", own)
    inside = file.parent.name
    text = text.replace(f"from {parent}.", f"from {inside}.")
    text = text.replace(f"from tui_ft.train.{_ANSWERING} ", f"from {inside}.{_ANSWERING} ")
    paths.write_atomically(file, _ORIGIN + text)
