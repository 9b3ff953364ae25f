"""Which run belongs to which stage of a chain, and which stages are still to be done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.place import Place, placed_at, read_place
from tui_ft.runs.registry import summary_of
from tui_ft.spec.chain import Chain, Stage


def runs_by_stage(folder: ChainFolder, events: list[journal.Event]) -> dict[str, RunFolder]:
    """Return the run of each stage that has one which is still there, in the stages' order.

    One that was started in the very moment in which the chain's process was killed is not in the
    journal; its folder says which stage it is.
    """
    known = journal.runs_of(events)
    changed = {e.stage: e.t for e in events if isinstance(e, journal.Changed)}
    found: dict[str, RunFolder] = {}
    for run, place, made in _made_by(folder, events):
        is_newer = made > changed.get(place.stage, 0.0)
        if known.get(place.stage, run.id if is_newer else "") == run.id:
            found[place.stage] = run
    return found


def all_runs(folder: ChainFolder, events: list[journal.Event]) -> list[RunFolder]:
    """Return every run that the chain has started and that is still there, in the stages' order.

    Also those in whose place a later one stands.
    """
    return [run for run, _, _ in _made_by(folder, events)]


def _made_by(
    folder: ChainFolder, events: list[journal.Event]
) -> list[tuple[RunFolder, Place, float]]:
    """Return the chain's runs, each with its place, and when it was made, in Unix seconds."""
    # A chain that was deleted may have had this one's name, and its runs may be there.
    born = events[0].t if events else math.inf
    named = {event.run for event in events if isinstance(event, journal.Started)}
    found = [
        (run, place, placed_at(run.path))
        for run in all_folders()
        if (place := read_place(run.path)) is not None and place.chain == folder.id
    ]
    mine = [one for one in found if one[2] > born or one[0].id in named]
    return sorted(mine, key=lambda one: (one[1].number, one[2]))


def takers(chain: Chain, names: Iterable[str]) -> list[Stage]:
    """Return the stages that take what the stages ``names`` leave, or what such a one leaves."""
    found: list[Stage] = []
    reached = set(names)
    for stage in chain.stages:  # a stage takes from earlier ones alone
        if reached & {one.stage for one in chain.references(stage)}:
            found.append(stage)
            reached.add(stage.name)
    return found


def is_done(chain: Chain, stage: Stage, runs: Mapping[str, RunFolder]) -> bool:
    """Tell whether nothing is left to do in a stage.

    One that has no run any more is done too where all that took its output are: somebody made
    room.
    """
    if stage.name in runs:
        return summary_of(runs[stage.name]).state == "finished"
    direct = [
        one for one in chain.stages if stage.name in {ref.stage for ref in chain.references(one)}
    ]
    return bool(direct) and all(is_done(chain, one, runs) for one in direct)


def refuse_lost_outputs(
    folder: ChainFolder, chain: Chain, stage: Stage, runs: Mapping[str, RunFolder]
) -> None:
    """Let a stage only begin when what it takes is there.

    Raises:
        RunError: an earlier stage has finished, and what it left is gone.
    """
    for name in dict.fromkeys(one.stage for one in chain.references(stage)):
        output = runs[name].output_dir()
        if not output.is_dir():
            raise RunError(
                f"stage {stage.name} takes what stage {name} left, and that is gone: {output}. "
                f"Put it back, or train it anew with `ftui chain resume {folder.id} --redo {name}`"
            )
