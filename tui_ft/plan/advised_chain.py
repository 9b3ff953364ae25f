"""The chain of runs that is advised, checked and started."""

from __future__ import annotations

from pathlib import Path

from tui_ft.advise.advice import Advice
from tui_ft.chains import life
from tui_ft.chains.check import check_chain
from tui_ft.chains.folder import ChainFolder
from tui_ft.runs.folder import RunError
from tui_ft.spec.chain import Chain, Stage


def chain_of(advice: Advice) -> Chain:
    """Return the chain that is advised; its stages all have a run."""
    stages = [Stage(one.objective, one.run) for one in advice.phases if one.run is not None]
    said = " then ".join(phase.name for phase in advice.phases)
    return Chain(advice.chain, tuple(stages), said)


def start_chain(advice: Advice) -> ChainFolder:
    """Start the chain that is advised, in the background; return its folder. Takes seconds.

    A step of each stage is replayed first: what would run out of memory is not started.

    Raises:
        RunError: a stage would not run, or the chain cannot be started.
        SpecError: a stage is no run as it stands.
        OSError: a file cannot be written or read.
    """
    chain = life.absolute(chain_of(advice), Path.cwd())
    against = [
        f"{one.stage}: {finding.text}{f' ({finding.advice})' if finding.advice else ''}"
        for one in check_chain(chain, memory=True)
        if one.is_refused
        for finding in one.findings
        if finding.severity == "bad"
    ]
    if against:
        raise RunError("; ".join(against))
    return life.start(chain)
