"""Start chains, stop them, take them up again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder, create
from tui_ft.chains.status import runs_by_stage, status_of
from tui_ft.runs import control
from tui_ft.runs.background import start_in_background
from tui_ft.runs.folder import RunError
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.runs.registry import summary_of
from tui_ft.runs.worker_process import TRAIN_ENTRY
from tui_ft.spec.chain import PREVIOUS, STAGE, Chain, Stage
from tui_ft.spec.run_spec import RunSpec


def start(chain: Chain, *, worker: str = TRAIN_ENTRY) -> ChainFolder:
    """Write the chain's folder, start its process, and return the folder.

    Relative paths are those of the present working directory; they are frozen as absolute ones.

    Raises:
        RunError: the folder cannot be written or the process cannot be started.
    """
    folder = create(absolute(chain, Path.cwd()))
    _start_conductor(folder, worker)
    return folder


def resume(
    folder: ChainFolder, overrides: Iterable[str] = (), *, worker: str = TRAIN_ENTRY
) -> None:
    """Take a chain up where it ended: at the first stage that has not finished.

    Args:
        folder: the chain's.
        overrides: `STAGE.KEY=VALUE` for stages that have not finished: each takes a new run.
        worker: the runs' worker.

    Raises:
        RunError: it is at work, it has finished, or the process cannot be started.
        SpecError: what is set is wrong.
    """
    status = status_of(folder)
    if status.is_live:
        raise RunError(f"{folder.id} is at work; `ftui chain status {folder.id}` shows it")
    if status.state == "finished":
        raise RunError(f"{folder.id} has finished: there is nothing left to do in it")
    changed = _changed(folder, overrides, {one.name: one.state for one in status.stages})
    for name in changed:
        journal.append(folder, journal.Changed(stage=name, user=control.user_name()))
    _start_conductor(folder, worker)


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


def _changed(folder: ChainFolder, overrides: Iterable[str], states: dict[str, str]) -> list[str]:
    """Write what is set into the frozen chain; return the stages that it changes."""
    chain = folder.chain()
    names: list[str] = []
    for text in overrides:
        name, _, rest = text.partition(".")
        if states.get(name) == "finished":
            raise RunError(f"stage {name} has finished: what it left is taken as it is")
        chain = chain.with_stage(name, [rest])
        names.append(name)
    if names:
        folder.write(absolute(chain, Path.cwd()))
    return list(dict.fromkeys(names))


def _start_conductor(folder: ChainFolder, worker: str) -> None:
    offset = folder.control_file.stat().st_size if folder.control_file.exists() else 0
    before = len(journal.read(folder))
    start_in_background(
        "tui_ft.chains.conductor",
        folder.path,
        ("--worker", worker, "--control-offset", str(offset)),
        log=folder.log,
        name=f"the process of {folder.id}",
        has_begun=lambda: len(journal.read(folder)) > before,
    )
