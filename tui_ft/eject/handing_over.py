"""Write a run into a folder for others to take up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.eject.axolotl import axolotl_config
from tui_ft.eject.rows import WrittenRows, write_items, write_masked
from tui_ft.eject.script import sft_script
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import CHANGES_BASE

Target = Literal["script", "axolotl"]


class EjectError(Exception):
    """A run that cannot be handed over so; the reason is for people."""


@dataclass(frozen=True, slots=True)
class Ejected:
    """What was written.

    Attributes:
        file: the script or the YAML.
        command: how it is run.
        rows: the rows beside it.
        left_out: what of the run is not in it, in words.
    """

    file: Path
    command: str
    rows: WrittenRows
    left_out: tuple[str, ...] = ()


def eject(spec: RunSpec, target: Target, folder: Path) -> Ejected:
    """Write ``spec`` and its rows into a new or empty ``folder``.

    Raises:
        EjectError: the folder holds something, cannot be written, the data cannot be read, or the
            objective has no such form yet.
    """
    if spec.objective.kind != "sft":
        raise EjectError(
            f"a run of {spec.objective.kind} cannot be handed over yet, only supervised fine-tuning"
        )
    unknown = _not_handed_over(spec)
    if unknown:
        raise EjectError(f"a run with {unknown} cannot be handed over yet")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise EjectError(f"{folder} is not empty: name a new folder, nothing is replaced")
        paths.make_private_dir(folder)
        rows = (write_masked if target == "script" else write_items)(spec, folder)
        return _write(spec, target, folder, rows)
    except DataError as error:
        raise EjectError(str(error)) from None
    except OSError as error:
        place = error.filename or folder
        raise EjectError(f"{place} cannot be written: {os.strerror(error.errno or 0)}") from None


def _not_handed_over(spec: RunSpec) -> str:
    """Return what of the method, or of the data, the script and the YAML have no form for."""
    method = spec.method
    if method.kind not in ("full", "lora", "qlora"):
        return f"the method {method.kind}"
    if getattr(method, "init_lora_weights", "default") in CHANGES_BASE:
        return f"method.init_lora_weights {getattr(method, 'init_lora_weights', '')}"
    if getattr(method, "bits", 4) != 4:  # noqa: PLR2004 - bits
        return "a base in 8 bits"
    return "" if spec.data.mix is None else "data.mix"


def _write(spec: RunSpec, target: Target, folder: Path, rows: WrittenRows) -> Ejected:
    if target == "script":
        file = folder / "train.py"
        paths.write_atomically(file, sft_script(spec, evaluates=rows.eval > 0))
        return Ejected(file, "python train.py", rows, _not_in_script(spec))
    config = axolotl_config(spec, rows.layout, evaluates=rows.eval > 0)
    file = folder / "axolotl.yaml"
    notes = "".join(f"# not in it: {said}\n" for said in config.left_out)
    written = yaml.safe_dump(config.values, sort_keys=False, allow_unicode=True, width=100)
    paths.write_atomically(file, notes + written)
    return Ejected(file, "axolotl train axolotl.yaml", rows, config.left_out)


def _not_in_script(spec: RunSpec) -> tuple[str, ...]:
    said = []
    if spec.evaluation.score is not None:
        said.append("evaluation.score: answers graded before and after")
    if spec.evaluation.samples:
        said.append("evaluation.samples: answers written while it trains")
    return tuple(said)
