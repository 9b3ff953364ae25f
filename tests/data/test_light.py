"""The room stays light: the app imports it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "accelerate bitsandbytes datasets huggingface_hub jinja2 numpy pandas peft pyarrow tokenizers "
    "torch transformers trl"
)


def test_importing_the_room_imports_nothing_heavy() -> None:
    modules = (
        "chat_protocol chat_tokenizer converting digest formats items loss_mask mask_summary "
        "messages problems reading row_view rows split turn_shapes turns"
    )
    program = (
        f"import sys; {'; '.join(f'import tui_ft.data.{name}' for name in modules.split())}; "
        f"print(sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_rendering_needs_no_transformers() -> None:
    program = (
        "import sys, tui_ft.data.chat_template, tokenizers; "
        "print({'numpy', 'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
