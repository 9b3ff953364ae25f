"""Names of modules that no module of the model has: peft passes over them without a word."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import Any

import torch

from tui_ft.train.errors import RunFailure


def refuse_missing_modules(
    config: Any,  # noqa: ANN401 - peft is untyped here
    model: torch.nn.Module,
    note: Callable[[str], None],
) -> None:
    """Look whether the modules that an adapter names are there.

    What was to be trained whole and is not there would be missing from what is saved: that is
    refused. Of several targets some may be another family's: that is said.

    Args:
        config: the adapter's, as peft takes it.
        model: the base.
        note: told which targets are not there.

    Raises:
        RunFailure: `modules_to_save` names what is not there.
    """
    there = [name for name, _ in model.named_modules() if name]
    for name in getattr(config, "modules_to_save", None) or ():
        if not any(path.endswith(name) for path in there):  # as peft looks for them
            raise RunFailure(
                f"method.modules_to_save: {type(model).__name__} has no module that is called "
                f"{name}",
                *_near(name, there),
            )
    targets = getattr(config, "target_modules", None)
    if isinstance(targets, str) or not targets:
        return
    missing = sorted(one for one in targets if not _is_there(one, there))
    if missing and len(missing) < len(targets):  # where none is there, peft says so itself
        note(
            f"method.target_modules: {type(model).__name__} has no module that is called "
            f"{', '.join(missing)}; the others are trained"
        )


def _is_there(name: str, paths: Collection[str]) -> bool:
    return any(path == name or path.endswith(f".{name}") for path in paths)


def _near(name: str, paths: Collection[str]) -> tuple[str, ...]:
    names = sorted({path.rpartition(".")[2] for path in paths} - {str(n) for n in range(1000)})
    near = difflib.get_close_matches(name.rpartition(".")[2], names, n=1)
    return (f"did you mean `{near[0]}`?",) if near else (f"it has {', '.join(names)}",)
