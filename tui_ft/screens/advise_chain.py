"""Start the chain that is advised: shown with what it takes first, then checked, then started."""

from __future__ import annotations

from pathlib import Path

from tui_ft import text
from tui_ft.advise.advice import Advice
from tui_ft.runs.folder import RunError
from tui_ft.spec.chain import Chain, Stage
from tui_ft.spec.problems import SpecError


def chain_of(advice: Advice) -> Chain:
    """Return the chain that is advised; its stages all have a run."""
    stages = [Stage(one.objective, one.run) for one in advice.phases if one.run is not None]
    said = " then ".join(phase.name for phase in advice.phases)
    return Chain(advice.chain, tuple(stages), said)


def what_it_takes(advice: Advice) -> str:
    """Return what each stage of the chain takes of memory and time, in a sentence."""
    stages = [
        f"{one.objective} {text.memory(one.expected)} of {text.memory(one.free)}, "
        f"{text.duration(one.seconds)}"
        for one in advice.phases
    ]
    whole = [one.seconds for one in advice.phases]
    known = [seconds for seconds in whole if seconds is not None]
    together = f"; about {text.duration(sum(known))} in all" if len(known) == len(whole) else ""
    return f"{'; '.join(stages)}{together}"


def start_chain(advice: Advice) -> tuple[str, bool]:
    """Return what became of it, and whether it was started. Takes seconds; never raises.

    A step of each stage is replayed first: what would run out of memory is not started.
    """
    from tui_ft.chains import life
    from tui_ft.chains.check import check_chain

    try:
        chain = life.absolute(chain_of(advice), Path.cwd())
        found = check_chain(chain, memory=True)
        against = [
            f"{one.stage}: {finding.text}{f' ({finding.advice})' if finding.advice else ''}"
            for one in found
            if one.is_refused
            for finding in one.findings
            if finding.severity == "bad"
        ]
        if against:
            return "; ".join(against), False
        folder = life.start(chain)
    except (RunError, SpecError, OSError) as error:
        return str(error), False
    return f"{folder.id} runs in the background; Home shows and stops it", True
