"""`make bench`: print every figure, each measured now on this machine.

`python -m benchmarks --only data --scale 0.1` measures one part, with files a tenth as large.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks import (
    bench_app,
    bench_chart,
    bench_data,
    bench_estimate,
    bench_runs,
    bench_throughput,
    bench_worker,
)


def main() -> int:
    """Run all benchmarks, one after the other, and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="the app, events, the worker, throughput, data or the chart")
    parser.add_argument("--scale", type=float, default=1.0, help="of the files of data")
    asked = parser.parse_args()
    parts: dict[str, Sequence[Callable[[], dict[str, float]]]] = {
        "the app": [bench_app.first_frame, bench_app.memory],
        "memory, in closed form": [bench_estimate.table_of_methods],
        "events": [bench_runs.whole_path, bench_runs.open_long_run],
        "the worker": [bench_worker.overhead],
        "throughput": [bench_throughput.quick],
        "data": [partial(measure, asked.scale) for measure in bench_data.MEASURES],
    }
    for title, measures in parts.items():
        if asked.only not in (None, title):
            continue
        print(f"\n{title}")
        for measure in measures:
            print(f"  (load average {os.getloadavg()[0]:.1f})")
            for name, value in measure().items():
                print(f"  {name:<56} {value:>12,.4g}")
            sys.stdout.flush()
    if asked.only in (None, "the chart"):
        print("\nthe chart")
        bench_chart.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
