"""`make bench-memory`: the closed form beside the dry run, over a grid of steps.

    python -m benchmarks.bench_estimate [--known]

Answers of dry runs are kept, so the grid costs its time once; ``--known`` asks for no new ones.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks.estimate_grid import MODELS, Case, cases
from tui_ft.memory.dry_run import DryRunError, dry_runs, known_answer
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.moments import moments_of
from tui_ft.memory.estimate.reserving import replayed_short
from tui_ft.memory.question import Question
from tui_ft.memory.replayed import Replayed
from tui_ft.memory.step import Quantization

_AT_ONCE: Final = 8
_OUTSIDE: Final = 0.10
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Compared:
    """A case: what the dry run says and the closed form, in bytes, and the latter's time.

    Attributes:
        allocated: at the closed form's largest moment.
        lost: what its shortened step reserves above that.
        quick_s: seconds of the moments.
        careful_s: seconds of the shortened step.
        moment: the closed form's peak, in words.
    """

    case: Case
    dry: Replayed
    allocated: int
    lost: int
    quick_s: float
    careful_s: float
    moment: str

    @property
    def allocated_error(self) -> float:
        """Of what is allocated, as a share."""
        return self.allocated / self.dry.allocated - 1

    @property
    def reserved_error(self) -> float:
        """Of what is reserved, as a share."""
        return (self.allocated + self.lost) / self.dry.reserved - 1


def answers(grid: Sequence[Case], *, known_only: bool) -> dict[int, Replayed]:
    """Return the dry runs' answers by the number of their case."""
    found: dict[int, Replayed] = {}
    for start in range(0, len(grid), _AT_ONCE):
        part = [Question(step=case.step) for case in grid[start : start + _AT_ONCE]]
        if known_only:
            replies = [known_answer(question) for question in part]
        else:
            try:
                replies = list(dry_runs(part, timeout=3600))
            except DryRunError as error:
                print(f"cases from {start}: {error}")
                continue
        for number, reply in enumerate(replies, start):
            if reply is not None and reply.replayed is not None:
                found[number] = reply.replayed
            elif reply is not None:
                print(f"{grid[number].name}: not replayed: {reply.error}")
    return found


def compare(case: Case, dry: Replayed) -> Compared:
    """Return a case with both answers."""
    began = time.process_time()
    model = model_of(case.step)
    peak = max(moments_of(model), key=lambda moment: moment.total)
    quick = time.process_time()
    reserved, allocated = replayed_short(model)
    careful = time.process_time()
    lost = reserved - allocated
    words = f"{peak.stage}: {peak.what}"
    return Compared(case, dry, peak.total, lost, quick - began, careful - quick, words)


def table_of_methods() -> dict[str, float]:
    """Return the milliseconds of a table of all methods for an 8B model, best of ten."""
    from tui_ft.memory.estimate import estimate
    from tui_ft.memory.methods import other_methods

    config = {**MODELS["Llama-3.1-8B, 3 layers"], "num_hidden_layers": 32}
    lora = next(case.step for case in cases() if case.method == "lora")
    step = msgspec.structs.replace(lora, config=config)
    full = msgspec.structs.replace(step, adapter=None, weights="float32")
    four_bits = msgspec.structs.replace(step, quantization=Quantization())
    steps = [full, step, four_bits, *other_methods(step).values()]
    found = {}
    for name, careful in (("quick", False), ("with the allocator's slack", True)):
        times = []
        for _ in range(10):
            began = time.process_time()
            for one in steps:
                estimate(one, careful=careful)
            times.append(time.process_time() - began)
        found[f"a table of {len(steps)} methods, {name} (ms)"] = 1000 * min(times)
    return found


def _say_groups(rows: Sequence[Compared], title: str, key: Callable[[Compared], str]) -> None:
    groups: dict[str, list[Compared]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    print(f"\n{title:<34}{'n':>4}   allocated: median, worst   reserved: median, worst (%)")
    for name, group in sorted(groups.items()):
        allocated = _summary(row.allocated_error for row in group)
        reserved = _summary(row.reserved_error for row in group)
        print(f"  {name:<32}{len(group):>4}   {allocated}   {reserved}")


def _summary(errors: Iterable[float]) -> str:
    found = sorted(abs(error) for error in errors)
    return f"{100 * statistics.median(found):16.2f}{100 * found[-1]:9.2f}"


def _say_all(rows: Sequence[Compared]) -> None:
    for name, errors in (
        ("allocated", [row.allocated_error for row in rows]),
        ("reserved", [row.reserved_error for row in rows]),
    ):
        found = sorted(abs(error) for error in errors)
        middle, mean = statistics.median(found), statistics.fmean(found)
        p90 = found[int(0.9 * len(found))]
        print(
            f"{name}: n {len(found)}, median {100 * middle:.2f} %, mean {100 * mean:.2f} %, p90 "
            f"{100 * p90:.2f} %, worst {100 * found[-1]:.2f} %, "
            f"most under {100 * min(errors):+.2f} %"
        )
    for name, times in (
        ("moments", [row.quick_s for row in rows]),
        ("shortened step", [row.careful_s for row in rows]),
    ):
        middle, most = 1000 * statistics.median(times), 1000 * max(times)
        print(f"{name}: median {middle:.2f} ms, most {most:.1f}")


def main() -> int:
    """Print the grid's errors, by method, objective, family, and every row outside."""
    os.nice(5)
    grid = cases()
    found = answers(grid, known_only="--known" in sys.argv)
    rows = [compare(grid[number], dry) for number, dry in sorted(found.items())]
    if not rows:
        print("no case has an answer of a dry run yet")
        return 1
    print(f"the closed form beside the dry run: {len(rows)} of {len(grid)} cases")
    _say_all(rows)
    _say_groups(rows, "method", lambda row: row.case.method)
    _say_groups(rows, "objective", lambda row: row.case.step.objective)
    _say_groups(rows, "family", lambda row: row.case.model.partition(",")[0])
    outside = [
        row
        for row in rows
        if abs(row.allocated_error) > _OUTSIDE or abs(row.reserved_error) > _OUTSIDE
    ]
    print(f"\noutside 10 %: {len(outside)}")
    for row in outside:
        print(
            f"  {row.case.name}: allocated {row.dry.allocated / _MIB:.0f} MiB "
            f"({100 * row.allocated_error:+.1f} %), reserved {row.dry.reserved / _MIB:.0f} "
            f"({100 * row.reserved_error:+.1f} %); peak {row.dry.stage}, here {row.moment}"
        )
    for name, value in table_of_methods().items():
        print(f"{name}: {value:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
