"""Memory before the run beside memory of the run, on a real GPU.

    python -m benchmarks.bench_gpu_memory measure measured.jsonl     on a machine with a GPU
    python -m benchmarks.bench_gpu_memory compare measured.jsonl     anywhere

The first probes each run of the grid as `ftui estimate --probe` does: its own trainer, real rows of
one length, three steps, random weights, each in a process of its own. The second asks the closed
form and the dry run for the same runs, and prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.estimate_grid import MODELS
from benchmarks.estimate_more import config
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import CONTEXT, Figure
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.probing import ProbeAnswer, ProbeQuestion, ask
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step
from tui_ft.spec import RunSpec, build_spec

_GIB: Final = 2**30
_AT_ONCE: Final = 5
_HOPPER: Final = (9, 0)
_ROOM: Final = 72.0
"""GiB that the probes of one moment may take together, of a card with 80."""
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "0.5B": MODELS["Qwen2.5-0.5B"],
    "1B": MODELS["Llama-3.2-1B"],
    "3B": {**MODELS["Llama-3.2-3B, 3 layers"], "num_hidden_layers": 28},
    "8B": config("llama", 4096, 14336, 32, 8, 128256, 32),
    "Gemma 3 1B": {**MODELS["Gemma-3-1B, 6 layers"], "num_hidden_layers": 26},
    "Qwen3 4B": {**MODELS["Qwen3-4B, 3 layers"], "num_hidden_layers": 36},
}
_AGAIN: Final = {"gradient_checkpointing": True}
_FUSED: Final = {"optim": "adamw_torch_fused"}


class Measured(msgspec.Struct, frozen=True):
    """A run of the grid by its name, and what its probe found."""

    name: str
    answer: ProbeAnswer


@dataclass(frozen=True, slots=True)
class Case:
    """A run of the grid: a shape, rows in a pass, tokens in a row, and groups of its spec."""

    shape: str
    method: dict[str, Any]
    batch: int
    length: int
    training: dict[str, Any]
    groups: dict[str, Any]

    @property
    def name(self) -> str:
        """The run on one line."""
        extra = {**self.training, **self.groups.get("model", {}), **self.groups.get("hardware", {})}
        again = extra.pop("gradient_checkpointing")
        optim = extra.pop("optim")
        kind = self.groups.get("objective", {}).get("kind", "sft")
        more = [str(value) for value in (kind, optim, *extra.values())]
        usual = ("sft", "adamw_torch_fused")
        more = [one for one in more if one not in usual]
        told = ", ".join(["checkpointing" if again else "no checkpointing", *more])
        dora = " dora" if self.method.get("use_dora") else ""
        return f"{self.shape} {self.method['kind']}{dora}, {self.batch} x {self.length}, {told}"

    @property
    def spec(self) -> RunSpec:
        """The run."""
        return build_spec(
            {
                "model": {"name_or_path": "random", **self.groups.get("model", {})},
                "data": {"train": "random", "eval_fraction": 0},
                "method": self.method,
                "training": {
                    "max_length": self.length,
                    "per_device_train_batch_size": self.batch,
                    "eval_steps": None,
                    "save_steps": None,
                    **self.training,
                },
                **{key: value for key, value in self.groups.items() if key != "model"},
            }
        )

    @property
    def step(self) -> Step:
        """The step that takes most, as the estimates know it."""
        values = _SHAPES[self.shape]
        return step_of(self.spec, values, capability=_HOPPER, longest=self.length)


def _case(
    shape: str, kind: str, batch: int, length: int, *, again: bool = False, **more: Any
) -> Case:
    method = {"kind": kind, **more.pop("method", {})}
    training = {"gradient_checkpointing": again, **_FUSED, **more.pop("training", {})}
    return Case(shape, method, batch, length, training, more)


def grid() -> list[Case]:
    """Return the runs, the largest first."""
    pairs: dict[str, Any] = {"objective": {"kind": "dpo"}}
    eight_bits, paged = {"optim": "adamw_8bit"}, {"optim": "paged_adamw_8bit"}
    return [
        _case("3B", "full", 1, 2048, again=True),
        _case("8B", "lora", 2, 1024),
        _case("3B", "full", 2, 1024, again=True, training=eight_bits),
        _case("1B", "full", 4, 2048),
        _case("8B", "lora", 1, 2048, again=True),
        _case("8B", "lora", 4, 1024, again=True),
        _case("Qwen3 4B", "lora", 2, 2048),
        _case("3B", "lora", 4, 1024),
        _case("3B", "lora", 2, 2048, again=True),
        _case("1B", "full", 4, 1024, again=True),
        _case("1B", "full", 1, 4096, again=True),
        _case("1B", "full", 4, 1024, again=True, training=eight_bits),
        _case("1B", "full", 4, 1024, again=True, training={"optim": "adafactor"}),
        _case("1B", "full", 4, 1024, again=True, training={"optim": "sgd"}),
        _case("8B", "qlora", 2, 1024, training=paged),
        _case("8B", "qlora", 4, 2048, again=True),
        _case("8B", "qlora", 1, 2048, again=True),
        _case("3B", "qlora", 4, 1024),
        _case("3B", "qlora", 4, 1024, again=True),
        _case("Gemma 3 1B", "lora", 2, 1024),
        _case("Gemma 3 1B", "full", 1, 1024, again=True),
        _case("0.5B", "full", 8, 512),
        _case("1B", "lora", 4, 1024),
        _case("1B", "lora", 8, 512, again=True),
        _case("1B", "lora", 1, 8192, again=True),
        _case("1B", "lora", 2, 2048, model={"attn_implementation": "eager"}),
        _case("1B", "lora", 4, 1024, method={"use_dora": True}),
        _case("1B", "lora", 2, 1024, **pairs),
        _case("1B", "full", 1, 1024, again=True, **pairs),
        _case("1B", "lora", 2, 1024, objective={"kind": "orpo"}),
        _case("1B", "ia3", 4, 1024),
        _case("1B", "prompt_tuning", 4, 1024),
        _case("1B", "prefix_tuning", 4, 1024),
        _case("1B", "freeze", 4, 1024),
    ]


def measure(cases: Iterable[Case], out: Path) -> None:
    """Probe each run, several at once where memory for all of them is there."""
    room, said = threading.Condition(), threading.Lock()
    free = _ROOM

    def probe(case: Case) -> None:
        nonlocal free
        answer = estimate(case.step)
        expected = _ROOM / 2 if isinstance(answer, Unknown) else answer.high / _GIB
        takes = min(_ROOM, 1.1 * expected + 1)
        with room:
            room.wait_for(lambda: free >= takes)
            free -= takes
        try:
            asked = ProbeQuestion(
                spec=case.spec.model_dump(mode="json"),
                config=_SHAPES[case.shape],
                longest=case.length,
            )
            found = Measured(case.name, ask(asked, 240))
        finally:
            with room:
                free += takes
                room.notify_all()
        with said, out.open("ab") as file:
            file.write(msgspec.json.encode(found) + b"\n")
            told = found.answer.problem or f"{found.answer.reserved / _GIB:.2f} GiB"
            print(f"{case.name}: {told}", flush=True)

    with ThreadPoolExecutor(_AT_ONCE) as several:
        list(several.map(probe, cases))


def compare(file: Path) -> None:
    """Print what was foreseen beside what was measured."""
    lines = [msgspec.json.decode(line, type=Measured) for line in file.read_bytes().splitlines()]
    measured = {one.name: one.answer for one in lines}
    cases = [case for case in grid() if case.name in measured]
    replies = dry_runs([Question(step=case.step) for case in cases], timeout=3600)
    head = ("run", "measured", "dry run", "", "closed form", "", "allocated", "dry run", "")
    print("| " + " | ".join(head) + " | outside torch |\n|" + "---|" * (len(head) + 1))
    errors: dict[str, list[float]] = {"dry run": [], "closed form": [], "allocated": []}
    for case, reply in zip(cases, replies, strict=True):
        answer, replayed = measured[case.name], reply.replayed
        if answer.problem or answer.needed_at_least or replayed is None:
            why = (
                answer.problem or reply.error or f"over {(answer.needed_at_least or 0) / _GIB:.1f}"
            )
            print(f"| {case.name} | {why} |" + " |" * len(head))
            continue
        quick = estimate(case.step, careful=True)
        foreseen = quick.expected - CONTEXT if isinstance(quick, Figure) else 0
        found = {
            "dry run": replayed.reserved / answer.reserved - 1,
            "closed form": foreseen / answer.reserved - 1,
            "allocated": replayed.allocated / answer.allocated - 1,
        }
        for name, error in found.items():
            errors[name].append(error)
        outside = (answer.process or 0) - answer.reserved
        cells = (
            f"{answer.reserved / _GIB:.2f}",
            f"{replayed.reserved / _GIB:.2f}",
            f"{found['dry run']:+.1%}",
            f"{foreseen / _GIB:.2f}",
            f"{found['closed form']:+.1%}",
            f"{answer.allocated / _GIB:.2f}",
            f"{replayed.allocated / _GIB:.2f}",
            f"{found['allocated']:+.1%}",
            f"{outside / _GIB:.2f}" if answer.process else "",
        )
        print(f"| {case.name} | " + " | ".join(cells) + " |")
    for name, each in errors.items():
        sizes = sorted(map(abs, each))
        print(f"\n{name}: {len(each)} runs, median {statistics.median(sizes):.2%}, "
              f"worst {max(each, key=abs):+.2%}, lowest {min(each):+.2%}")  # fmt: skip


def main() -> int:
    """Measure, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("measure", "compare"))
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    if asked.do == "measure":
        measure(grid(), asked.file)
    else:
        compare(asked.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
