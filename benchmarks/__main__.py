"""`make bench`: print every figure, each measured now on this machine."""

from __future__ import annotations

import sys

from benchmarks import bench_app, bench_chart, bench_data, bench_estimate, bench_runs, bench_worker


def main() -> int:
    """Run all benchmarks, one after the other, and print what they found."""
    parts = {
        "the app": [bench_app.first_frame, bench_app.memory],
        "memory, in closed form": [bench_estimate.table_of_methods],
        "events": [bench_runs.whole_path, bench_runs.open_long_run],
        "the worker": [bench_worker.overhead],
        "data": [
            bench_data.survey_beside_others,
            bench_data.memory_by_size,
            bench_data.app_on_a_large_file,
            bench_data.tokens_beside_the_tokenizer,
            bench_data.near_duplicates,
        ],
    }
    for title, measures in parts.items():
        print(f"\n{title}")
        for measure in measures:
            for name, value in measure().items():
                print(f"  {name:<56} {value:>12,.4g}")
            sys.stdout.flush()
    print("\nthe chart")
    bench_chart.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
