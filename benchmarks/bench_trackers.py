"""What a tracker that hangs, or one that raises, takes of a run's time: nothing, if all is well.

`python -m benchmarks.bench_trackers` prints a table in Markdown. The runs are real, through the
supervisor and its trackers' processes, of the tiny model of the tests; the trackers' libraries are
stand-ins that never answer, or raise. The ways take turns.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.tiny_model import make_tiny_llama
from tests.tracking.conftest import HANGS, RAISES
from tests.train.running import make_spec
from tui_ft import paths
from tui_ft.runs import events as ev
from tui_ft.runs.launch import launch
from tui_ft.runs.reader import read_events
from tui_ft.runs.registry import summary_of

_STEPS: Final = 300
_ROUNDS: Final = 3
_WAYS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "one that hangs": ("wandb",),
    "one that raises": ("trackio",),
}


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds that a run took.

    Attributes:
        quick: between two steps, where a tenth are quicker: others on the machine matter least.
        step: between two steps, the median.
        training: from the first step to the last.
        whole: from the launch to its end.
        losses: of all steps.
        told: whether the run says of a tracker that it gets nothing any more.
    """

    quick: float
    step: float
    training: float
    whole: float
    losses: tuple[float | None, ...]
    told: bool


def main() -> int:
    """Print the table."""
    found: dict[str, list[Took]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        root = Path(name)
        _stand_in(root / "stand-ins")
        os.environ |= {"FTUI_HOME": str(root / "home"), "WANDB_API_KEY": "nobodys"}
        paths.make_private_dir(root / "home")
        model = make_tiny_llama(root / "model")
        for number in range(_ROUNDS):
            for way, names in _WAYS.items():
                folder = root / f"{way}-{number}".replace(" ", "-")
                folder.mkdir()
                found[way].append(_run(folder, model, names))
    heads = "tracker, a quick step, median step, all steps, launch to end, rounds, losses, told of"
    print(f"| {' | '.join(heads.split(', '))} |")
    print("|---|---|---|---|---|---|---|---|")
    first = found["none"][0].losses
    for way, each in found.items():
        quick, step, training, whole = (
            statistics.median(getattr(one, name) for one in each)
            for name in ("quick", "step", "training", "whole")
        )
        rounds = ", ".join(f"{one.training:.2f}" for one in each)
        same = "the same" if all(one.losses == first for one in each) else "**others**"
        told = "yes" if all(one.told for one in each) else "no"
        print(
            f"| {way} | {quick * 1000:.1f} ms | {step * 1000:.1f} ms | {training:.2f} s "
            f"| {whole:.1f} s | {rounds} | {same} | {told} |"
        )
    return 0


def _stand_in(place: Path) -> None:
    """Put the libraries where all processes of a run find them."""
    place.mkdir()
    (place / "wandb.py").write_text(HANGS)
    (place / "trackio.py").write_text(RAISES)
    os.environ["PYTHONPATH"] = f"{place}:{os.environ.get('PYTHONPATH', Path.cwd())}"


def _run(folder: Path, model: Path, trackers: tuple[str, ...]) -> Took:
    training: dict[str, Any] = {"max_steps": _STEPS, "eval_steps": None, "save_steps": None}
    spec = make_spec(folder, model, training=training, tracking={"report_to": list(trackers)})
    began = time.time()
    run = launch(spec)
    while summary_of(run).is_live:
        time.sleep(0.1)
    events = list(read_events(run))
    (ended,) = (event for event in events if isinstance(event, ev.Ended))
    assert ended.state == "finished", ended
    steps = [event for event in events if isinstance(event, ev.Metrics) and "loss" in event.values]
    assert len(steps) == _STEPS, (
        trackers,
        len(steps),
        [e for e in events if not isinstance(e, ev.Metrics)],
    )
    between = [after.t - before.t for before, after in itertools.pairwise(steps)]
    alerts = [event.text for event in events if isinstance(event, ev.Alert)]
    return Took(
        statistics.quantiles(between, n=10)[0],
        statistics.median(between),
        steps[-1].t - steps[0].t,
        ended.t - began,
        tuple(event.values["loss"] for event in steps),
        any("no longer gets" in text for text in alerts),
    )


if __name__ == "__main__":
    sys.exit(main())
