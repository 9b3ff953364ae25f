"""The room stays light: the app imports it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "accelerate bitsandbytes datasets huggingface_hub jinja2 numpy pandas peft pyarrow tokenizers "
    "torch transformers trl"
)


def test_importing_the_room_imports_nothing_heavy() -> None:
    """Templates are rendered with jinja2, and so imported where one is rendered."""
    program = (
        "import importlib, pkgutil, sys, tui_ft.data as room; "
        "found = [one.name for one in pkgutil.walk_packages(room.__path__, room.__name__ + '.')]; "
        "[importlib.import_module(name) for name in found if not name.endswith('template')]; "
        f"print(len(found) > 30, sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True []"


def test_rendering_needs_no_transformers() -> None:
    program = (
        "import sys, tui_ft.data.chat.template, tokenizers; "
        "print({'numpy', 'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
