"""Start chains, stop them, take them up again."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder, create
from tui_ft.chains.glance import host_elsewhere
from tui_ft.chains.revising import revise, settle
from tui_ft.chains.stages import all_runs, is_done, refuse_lost_outputs, runs_by_stage, takers
from tui_ft.chains.status import status_of
from tui_ft.runs import control, removing
from tui_ft.runs import folder as folders
from tui_ft.runs.attending import begin_to_attend
from tui_ft.runs.changes import Change, ChangedError, refuse_unless_told
from tui_ft.runs.folder import RunError, RunFolder, one_at_a_time
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.runs.orphans import end_orphan
from tui_ft.runs.registry import summary_of
from tui_ft.runs.worker_process import TRAIN_ENTRY
from tui_ft.spec.chain import PREVIOUS, STAGE, Chain, Stage, load_chain
from tui_ft.spec.run_spec import RunSpec


def load(file: Path, overrides: Iterable[str] = ()) -> Chain:
    """Return the chain in a YAML file, as it would be started from the present folder.

    Raises:
        SpecError: the file cannot be read, or describes no chain.
    """
    return absolute(load_chain(file, overrides), Path.cwd())


def start(chain: Chain, *, worker: str = TRAIN_ENTRY) -> ChainFolder:
    """Write the chain's folder, start its process, and return the folder.

    Relative paths are those of the present working directory; they are frozen as absolute ones.

    Raises:
        RunError: the folder cannot be written or the process cannot be started.
    """
    folder = create(absolute(chain, Path.cwd()))
    _start_conductor(folder, worker)
    return folder


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a chain goes on.

    Attributes:
        stage: the first that is not done.
        run: its run, which goes on; None where a new one begins.
        anew: the stages that get a new run for what was asked.
        changes: what has changed since the run was last at work.
    """

    stage: str
    run: str | None
    anew: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


def resume(
    folder: ChainFolder,
    overrides: Iterable[str] = (),
    *,
    redo: Iterable[str] = (),
    anyway: bool = False,
    worker: str = TRAIN_ENTRY,
) -> Onward:
    """Take a chain up where it ended: at the first stage that has not finished.

    Args:
        folder: the chain's.
        overrides: `STAGE.KEY=VALUE` for stages that have not finished, or that are in ``redo``:
            each takes a new run.
        redo: stages that take a new run, finished or not, with all that take what they leave.
        anyway: go on with the stage's run though its data have changed.
        worker: the runs' worker.

    Raises:
        RunError: it is at work, it has finished, what an earlier stage left is gone, too much has
            changed (`ChangedError`), or the process cannot be started.
        SpecError: what is set is wrong.
    """
    with one_at_a_time(folder):
        return _resume(folder, list(overrides), list(redo), anyway=anyway, worker=worker)


def _resume(
    folder: ChainFolder, overrides: list[str], redone: list[str], *, anyway: bool, worker: str
) -> Onward:
    settle(folder)
    status = status_of(folder)
    if status.is_live:
        raise RunError(f"{folder.id} is at work; `ftui chain status {folder.id}` shows it")
    if status.state == "finished" and not (redone or overrides):
        raise RunError(f"{folder.id} has finished: there is nothing left to do in it")
    states = {one.name: one.state for one in status.stages}
    chain, changed = _changed(folder, overrides, states, redone)
    if not anyway:
        _ask_where_silent(folder)
    there = runs_by_stage(folder, journal.read(folder))
    gone = [one.name for one in chain.stages if states[one.name] == "deleted"]
    lost = [name for name in gone if not is_done(chain, chain.stage(name), there)]
    anew = _anew(chain, states, [*lost, *changed], changed, redone)
    runs = {name: run for name, run in there.items() if name not in anew}
    _refuse_live(run for name, run in there.items() if name in anew)
    onward = _onward(folder, chain, runs, anew, anyway=anyway)
    user = control.user_name()
    decided: list[journal.Event] = [journal.Changed(stage=name, user=user) for name in anew]
    if anyway and onward.run is not None:
        decided.append(journal.Allowed(stage=onward.stage, user=user))
    if changed:
        revise(folder, chain, decided)
    else:
        journal.note(folder, decided)
    _start_conductor(folder, worker)
    return onward


def _onward(
    folder: ChainFolder, chain: Chain, runs: dict[str, RunFolder], anew: list[str], *, anyway: bool
) -> Onward:
    """Return where the chain goes on, and refuse what its process would refuse later."""
    to_do = [one for one in chain.stages if not is_done(chain, one, runs)]
    if not to_do:  # somebody has brought its last run to an end
        last = chain.stages[-1].name
        return Onward(last, runs[last].id)
    stage = to_do[0]
    run = runs.get(stage.name)
    taken = {one.stage for one in chain.references(stage)}
    if taken <= runs.keys():
        refuse_lost_outputs(folder, chain, stage, runs)
    if run is None or summary_of(run).is_live:
        return Onward(stage.name, run.id if run else None, tuple(anew))
    go_on = f"ftui chain resume {folder.id}"
    changes = refuse_unless_told(run, anyway=anyway, go_on=go_on)
    return Onward(stage.name, run.id, tuple(anew), changes)


def _anew(
    chain: Chain, states: dict[str, str], altered: list[str], changed: list[str], redone: list[str]
) -> list[str]:
    """Return the stages that get a new run, in their order.

    Whoever takes what is trained anew begins anew too. One that has finished stays as it is unless
    it was asked for.

    Args:
        chain: the chain.
        states: of each stage.
        altered: the stages whose output will be another: changed, or deleted and not done.
        changed: those that were set anew.
        redone: those that were asked for.
    """
    unknown = [name for name in redone if name not in states]
    if unknown:
        raise RunError(f"there is no stage {unknown[0]}; there are {', '.join(states)}")
    asked = {*redone, *(one.name for one in takers(chain, redone))}
    follow = {one.name for one in takers(chain, altered)}
    begun = {name for name in follow if states[name] not in ("finished", "waiting", "deleted")}
    wanted = asked | begun | set(changed)
    return [one.name for one in chain.stages if one.name in wanted]


def delete(folder: ChainFolder, *, runs: bool = False, anyway: bool = False) -> list[str]:
    """Remove a chain, and all runs that it ever started when ``runs``; return their names.

    Args:
        folder: the chain's.
        runs: its runs too.
        anyway: also what another host may still be at work on, which does not answer.

    Raises:
        RunError: it is at work, or one of the runs is, or they cannot be removed.
    """
    mine = all_runs(folder, journal.read(folder)) if runs else []
    if status_of(folder).is_live:
        stop_it = f"`ftui chain stop {folder.id}`"
        raise RunError(f"{folder.id} is still running: stop it first ({stop_it})")
    host = host_elsewhere(journal.read(folder))
    if host and not anyway:
        raise RunError(
            f"{folder.id} ran on {host}, which has not said that it ended: if its process is gone "
            f"there, `ftui chain delete {folder.id} --anyway` does it"
        )
    for run in mine:
        removing.refuse_at_work(run, anyway=anyway)
    for run in mine:
        removing.delete(run, anyway=anyway)
    folders.delete(folder, "ftui chain stop")
    return [run.id for run in mine]


def _refuse_live(runs: Iterable[RunFolder]) -> None:
    for run in runs:
        if summary_of(run).is_live:
            raise RunError(f"{run.id} is still running: stop it first (`ftui stop {run.id}`)")


def _ask_where_silent(folder: ChainFolder) -> None:
    """Raise, for a person to say, where another host has not said that the chain ended there."""
    host = host_elsewhere(journal.read(folder))
    if host:
        what = f"if its process works on {host} yet, two would write one folder; look there first"
        before = f"{host}, which has not said that it ended"
        change = Change("the host", before, socket.gethostname(), "asks", what)
        raise ChangedError(folder.id, [change], f"ftui chain resume {folder.id}")


def stop(folder: ChainFolder, *, now: bool = False) -> str:
    """Ask the chain to stop; its run saves a checkpoint first, unless ``now``. Return what is done.

    Raises:
        RunError: nothing of it is at work.
    """
    command: control.Command = "kill" if now else "stop"
    if status_of(folder).is_live:
        control.append_command(folder.control_file, command)
        return "ends its run at once" if now else "saves a checkpoint of its run and stops"
    for run in runs_by_stage(folder, journal.read(folder)).values():
        if summary_of(run).is_live:  # its process was killed, and the run goes on
            (control.request_kill if now else control.request_stop)(run)
            return f"has no process any more; its run {run.id} is told to stop"
        if now and end_orphan(run):
            return f"has no process any more; the worker that run {run.id} left is ended"
    raise RunError(f"{folder.id} is not at work: it is {status_of(folder).state}")


def absolute(chain: Chain, base: Path) -> Chain:
    """Return ``chain`` with its local paths made absolute, so that it means the same anywhere."""
    return Chain(
        chain.name,
        tuple(Stage(one.name, _absolute(one.run, base)) for one in chain.stages),
        chain.description,
    )


def _absolute(run: RunSpec, base: Path) -> RunSpec:
    fixed = with_absolute_paths(run, base)
    name = run.model.name_or_path
    if name == PREVIOUS or name.startswith(STAGE):  # whatever folder happens to be called so
        fixed = fixed.model_copy(
            update={"model": fixed.model.model_copy(update={"name_or_path": name})}
        )
    return fixed


def _changed(
    folder: ChainFolder, overrides: Iterable[str], states: dict[str, str], redone: list[str]
) -> tuple[Chain, list[str]]:
    """Return the frozen chain with what is set, and the stages that this changes.

    Args:
        folder: the chain's.
        overrides: what is set.
        states: of each stage.
        redone: the stages that are trained anew whatever their state.
    """
    chain = folder.chain()
    names: list[str] = []
    for text in overrides:
        name, _, rest = text.partition(".")
        if states.get(name) == "finished" and name not in redone:
            raise RunError(
                f"stage {name} has finished, and what it left is taken as it is: "
                f"add `--redo {name}` to train it anew with `{text}`"
            )
        chain = chain.with_stage(name, [rest])
        names.append(name)
    return absolute(chain, Path.cwd()), list(dict.fromkeys(names))


def _start_conductor(folder: ChainFolder, worker: str) -> None:
    before = len(journal.read(folder))

    def has_begun() -> bool:
        return len(journal.read(folder)) > before

    module = "tui_ft.chains.conductor"
    begin_to_attend(module, folder, worker, name="the process", has_begun=has_begun)
