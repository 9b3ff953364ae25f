"""The chain of runs that is advised."""

from __future__ import annotations

from pathlib import Path

from tui_ft.advise.advice import Advice
from tui_ft.chains import life
from tui_ft.spec.chain import Chain, Stage


def chain_of(advice: Advice) -> Chain:
    """Return the chain that is advised, with absolute paths; its stages all have a run."""
    stages = [Stage(one.objective, one.run) for one in advice.phases if one.run is not None]
    said = " then ".join(phase.name for phase in advice.phases)
    return life.absolute(Chain(advice.chain, tuple(stages), said), Path.cwd())
