"""How closely two processes follow one at the same effective batch: DDP and FSDP2, on the CPU.

`python -m benchmarks.bench_two_processes | grep '^|'`: the tiny Llama, 6 steps of 8 rows of many
lengths. The ranks print their own figures in between.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from tests.tiny_model import make_tiny_llama, write_rows
from tests.train.running import run_worker
from tests.train.several.test_several import (
    DDP,
    FSDP,
    FULL,
    LORA,
    QLORA,
    rows_of_many_lengths,
    spread_spec,
)
from tests.train.several.two_ranks import TwoRanks, prepare, train
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder

_CASES: Final = [
    (kind["kind"], method["kind"], precision)
    for precision in ("fp32", "bf16")
    for kind, method in ((DDP, FULL), (DDP, LORA), (FSDP, FULL), (FSDP, LORA), (FSDP, QLORA))
]


def main() -> None:
    """Train each case twice and print the largest differences."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as place, Path(os.devnull).open("w") as nowhere:
        folder = Path(place)
        write_rows(folder / "rows.jsonl", rows_of_many_lengths(120))
        model = make_tiny_llama(folder / "model")
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            table = [_row(*found) for found in _trained(folder, model)]
    print("| spread | method | precision | training loss | evaluation loss | weights |")
    print("|---|---|---|---|---|---|")
    print("\n".join(table))


def _trained(folder: Path, model: Path) -> list[tuple[Any, ...]]:
    runs, alone = [], []
    for number, (kind, method, precision) in enumerate(_CASES):
        what: dict[str, Any] = {"kind": method} | ({"r": 4} if "lora" in str(method) else {})
        spec = spread_spec(folder, model, {"kind": kind}, what, precision=precision)
        runs.append(TwoRanks(prepare(spec, folder / f"two-{number}")))
        one = spread_spec(folder, model, None, what, precision=precision)
        alone.append(run_worker(one, folder / f"one-{number}"))
    said = train(runs)
    return [
        (case, first, one, RunFolder(run.path))
        for case, (first, _), one, run in zip(_CASES, said, alone, runs, strict=True)
    ]


def _row(case: tuple[str, str, str], told: Any, one: Any, folder: RunFolder) -> str:  # noqa: ANN401
    evaluations = [event.values["eval_loss"] for event in one.of(ev.Evaluation)]
    (ours,), (theirs,) = (f.output_dir().glob("*.safetensors") for f in (folder, one.folder))
    mine, other = (safetensors.torch.load_file(path) for path in (ours, theirs))
    weights = max(float((mine[k] - other[k]).abs().max()) for k in other)
    losses, evaluated = _apart(told.losses, one.losses), _apart(told.evaluations, evaluations)
    assert mine.keys() == other.keys()
    assert all(tensor.dtype == torch.float32 for tensor in mine.values())
    return f"| {' | '.join(case)} | {losses:.1e} | {evaluated:.1e} | {weights:.1e} |"


def _apart(ours: list[Any], theirs: list[Any]) -> float:
    return float(max(abs(a - b) for a, b in zip(ours, theirs, strict=True)))


if __name__ == "__main__":
    main()
