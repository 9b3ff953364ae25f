"""What a survey says of real data: the format of each file, and each finding with its count.

`python -m benchmarks.bench_findings DATA` looks at every file of the folder. To judge how often a
check is right, `--sample N --of FINDING` prints that many rows of it, spread over those found;
rows are for reading, and do not belong in the results.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tui_ft import text
from tui_ft.data import Row
from tui_ft.survey.asking import Asked
from tui_ft.survey.browsing import Browser
from tui_ft.survey.folder import rows_to_look_at
from tui_ft.survey.request import Request
from tui_ft.survey.summary import Summary
from tui_ft.survey.verdict import verdict_of

_WIDTH = 700


def main() -> int:
    """Print format, verdict and findings of every file, or a sample of the rows of one finding."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_findings")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sample", type=int, default=0, metavar="N")
    parser.add_argument("--of", default="", metavar="FINDING")
    parser.add_argument("--eval", metavar="FILE")
    parser.add_argument("--pii", action="store_true")
    parser.add_argument("--toxicity", action="store_true")
    given = parser.parse_args()
    files = sorted(given.data.iterdir()) if given.data.is_dir() else [given.data]
    with tempfile.TemporaryDirectory() as home:
        os.environ["FTUI_HOME"] = home
        for file in files:
            request = Request(str(file), eval=given.eval, pii=given.pii, toxicity=given.toxicity)
            asked = Asked(request)
            *_, summary = asked.follow()
            if given.sample:
                _print_rows(asked, summary, given.of, given.sample)
            else:
                _print_findings(file.name, summary)
    return 0


def _print_findings(name: str, summary: Summary) -> None:
    print(f"\n## {name}\n")
    if summary.layout is None or summary.problem is not None:
        print(f"refused: {summary.problem}")
        return
    layout = summary.layout
    print(
        f"{layout.style} (`{layout.format}`), confidence {text.percent(layout.confidence)}: "
        f"{layout.reason}. {verdict_of(summary).sentence}.\n"
    )
    print("| finding | severity | rows | share |\n|---|---|---|---|")
    for finding in summary.findings:
        share = text.percent(finding.share)
        print(f"| {finding.id} | {finding.severity} | {finding.count:,} | {share} |")


def _print_rows(asked: Asked, summary: Summary, finding: str, count: int) -> None:
    positions = list(rows_to_look_at(asked.folder, finding))
    step = max(1, len(positions) // count)
    browser = Browser(asked.folder, summary)
    for position in positions[::step][:count]:
        found = browser.at(position)
        if found is not None and isinstance(found.row, Row):
            print(f"\n--- {Path(summary.path).name} line {found.row.line}")
            for name, value in found.row.values.items():
                print(f"{name}: {text.one_line(str(value), _WIDTH)}")


if __name__ == "__main__":
    sys.exit(main())
