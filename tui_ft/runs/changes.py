"""What has changed since a run was last at work: its spec, its data, the machine, the libraries.

A run that is taken up again says so, with the old and the new, and what follows. It does not go on
by itself where its past and its future would no longer be of one kind: on other rows only when a
person says so, on weights that its checkpoint does not fit not at all.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tui_ft import paths, text
from tui_ft.hardware import Gpu, take_snapshot
from tui_ft.runs.environment import data_facts, data_files, stamp_of, versions
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.gpu_choice import choose
from tui_ft.runs.ladder import as_trained
from tui_ft.runs.reader import RunReader
from tui_ft.runs.registry import may_live_elsewhere, summary_of, where_seen
from tui_ft.runs.run_data import with_files
from tui_ft.spec import RunSpec
from tui_ft.spec.distributed import strategy_name

Weight = Literal["note", "warning", "asks", "bad"]
"""It goes on as before; otherwise than before; only when told to; or cannot."""

_LONGEST: Final = 80
_ARITHMETIC: Final = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")
_UNFIT: Final = (
    "model.name_or_path",
    "model.adapter",
    "model.revision",
    "objective.kind",
    "method",
    "training.optim",
)
"""What decides which tensors there are: a checkpoint of another kind does not fit."""
_FITS: Final = ("method.lora_dropout",)
_LAID_OUT_ALIKE: Final = frozenset(("one process", "DDP"))
"""Ways to spread a run whose checkpoints any of them can go on from."""
_HARMLESS: Final = (
    "name",
    "description",
    "evaluation",
    "hardware",
    "output",
    "training.logging_steps",
    "training.eval_steps",
    "training.save_steps",
    "training.save_total_limit",
    "training.early_stopping_patience",
    "training.per_device_eval_batch_size",
    "training.dataloader_num_workers",
    "training.on_out_of_memory",
)
"""What trains nothing."""
_FILES: Final = ("data.train", "data.eval", "data.mix.train")
"""What is compared by the rows themselves, wherever they lie."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is other than it was.

    Attributes:
        what: a dotted key of the spec, a library, or a word for it.
        consequence: what follows for the run, in a sentence.
    """

    what: str
    old: str
    new: str
    weight: Weight
    consequence: str

    @property
    def sentence(self) -> str:
        """All of it in words."""
        return f"{self.what} was {self.old}, and is {self.new} now: {self.consequence}"


class ChangedError(RunError):
    """A run does not go on, or not without being told to, for what has changed."""

    def __init__(self, run_id: str, changes: Sequence[Change], go_on: str | None = None) -> None:
        self.changes = tuple(changes)
        stops = [one for one in changes if one.weight in ("asks", "bad")]
        self.can_be_told = not any(one.weight == "bad" for one in stops)
        why = "; ".join(one.sentence for one in stops)
        command = go_on or f"ftui resume {run_id}"
        told = f"Put it back, or go on all the same with `{command} --anyway`"
        super().__init__(
            f"{run_id} does not go on: {why}. {told}"
            if self.can_be_told
            else f"{run_id} cannot go on: {why}. Put it back, or start a new run"
        )


def changes_since(folder: RunFolder, gpus: Sequence[Gpu] | None = None) -> tuple[Change, ...]:
    """Return what has changed since the run's last attempt; nothing for a run without a past.

    Reads data files whole where their time stamp is another, which takes a second for a gigabyte.

    Args:
        folder: the run's.
        gpus: the GPUs that the run gets; when None, those it would get now.

    Raises:
        SpecError: `run.yaml` is missing or was damaged.
    """
    before = _recorded(folder)
    if before is None:
        return ()
    spec = folder.spec()
    step = folder.checkpoints()[-1][0] if folder.checkpoints() else 0
    found = [
        *_of_spec(before.get("spec"), spec, step),
        *_of_data(before.get("data"), folder, spec, step),
        *_of_device(folder, spec, gpus),
        *_of_spread(folder, spec, gpus),
        *_of_libraries(before),
    ]
    if step:
        return tuple(found)
    anew = "nothing was saved yet, so the run begins anew with it"
    return tuple(Change(one.what, one.old, one.new, "note", anew) for one in found)


def refuse_unless_told(
    folder: RunFolder, *, anyway: bool, go_on: str | None = None
) -> tuple[Change, ...]:
    """Return what has changed since, where the run goes on with it.

    Args:
        folder: the run's.
        anyway: also on other data than before, or though it may be at work on another host.
        go_on: the command that a person takes it up with; `ftui resume` when None.

    Raises:
        ChangedError: it does not.
        SpecError: `run.yaml` is missing or was damaged.
    """
    changes = (*_of_host(folder), *changes_since(folder))
    stopping = ("bad",) if anyway else ("asks", "bad")
    if any(one.weight in stopping for one in changes):
        raise ChangedError(folder.id, changes, go_on)
    return changes


def _of_host(folder: RunFolder) -> Iterator[Change]:
    """Ask before a run is taken up that another host has not said to be over."""
    summary = summary_of(folder)
    if may_live_elsewhere(summary):
        seen = where_seen(folder, summary).removeprefix(" on ")
        what = "if it still works there, two would write one folder; look there with `ftui runs`"
        yield Change("the host", seen, socket.gethostname(), "asks", what)


def _recorded(folder: RunFolder) -> Mapping[str, Any] | None:
    try:
        facts = json.loads(folder.environment_file.read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _of_spec(old: object, spec: RunSpec, step: int) -> Iterator[Change]:
    if not isinstance(old, dict):
        return
    was, now = dict(_flat(old)), dict(_flat(spec.model_dump(mode="json")))
    for key in sorted(was.keys() | now.keys()):
        before, after = was.get(key), now.get(key)
        if before == after or key in _FILES:
            continue
        if _is_in(key, _UNFIT) and not _is_in(key, _FITS):
            weight, what = "bad", "the checkpoint is not of this kind"
        elif _is_in(key, _HARMLESS):
            weight, what = "note", "it goes on, and what it learns stays the same"
        else:
            weight, what = "warning", f"it goes on, otherwise than before from step {step}"
        yield Change(key, _shown(before), _shown(after), weight, what)  # type: ignore[arg-type]


def _of_data(old: object, folder: RunFolder, spec: RunSpec, step: int) -> Iterator[Change]:
    known = {one.get("use"): one for one in old} if isinstance(old, list) else {}
    try:
        files = data_files(with_files(folder, spec))
    except RunError:
        return  # not fetched yet
    for use, path in files.items():
        was = known.get(use)
        if was is None or was.get("sha256") is None:
            continue
        same_place = was["path"] == str(paths.expand(path))
        if same_place and was.get("stamp") == stamp_of(path):
            continue
        now = data_facts(use, path)
        if now["sha256"] == was["sha256"]:
            if not same_place:
                yield Change(f"data.{use}", was["path"], now["path"], "note", "the same rows")
        elif use == "eval":
            what = "figures of the evaluation before and after are of different rows"
            yield Change("data.eval", _of_file(was), _of_file(now), "warning", what)
        else:
            what = f"until step {step} it learned other rows, and its place among them is lost"
            yield Change(f"data.{use}", _of_file(was), _of_file(now), "asks", what)


def _of_spread(folder: RunFolder, spec: RunSpec, gpus: Sequence[Gpu] | None) -> Iterator[Change]:
    """Compare how many processes train, and what each of them holds."""
    plan = RunReader(folder).catch_up().plan
    if plan is None:
        return
    found = gpus if gpus is not None else _gpus_now(folder, spec)
    count = spec.hardware.processes or max(1, len(found))
    strategy = spec.hardware.strategy(count)
    old, new = (
        plan.strategy or "one process",
        strategy_name(strategy) if strategy else "one process",
    )
    if old != new and not {old, new} <= _LAID_OUT_ALIKE:
        what = "each lays out its checkpoints otherwise"
        yield Change("hardware.distributed", old, new, "bad", what)
    elif plan.processes != count:
        what = "a step takes other rows than before; gradient_accumulation_steps makes up for it"
        yield Change("processes", str(plan.processes), str(count), "warning", what)


def _gpus_now(folder: RunFolder, spec: RunSpec) -> tuple[Gpu, ...]:
    try:
        return choose(spec.hardware, take_snapshot(folder.path)).now
    except RunError:
        return ()  # said by the preflight


def _of_device(folder: RunFolder, spec: RunSpec, gpus: Sequence[Gpu] | None) -> Iterator[Change]:
    plan = RunReader(folder).catch_up().plan
    if plan is None:
        return
    if gpus is None:
        try:
            choice = choose(spec.hardware, take_snapshot(folder.path))
        except RunError:
            return  # said by the preflight
        gpus = choice.now
    old = "the CPU" if plan.device.startswith("CPU") else plan.device
    new = gpus[0].name if gpus else "the CPU"
    if old == new:
        return
    if not gpus:
        consequence = "it goes on, many times slower"
    else:
        consequence = "it goes on, near the old curve and not on it: other cards round otherwise"
    if as_trained(folder).training.precision == "auto":
        consequence += f"; training.precision is auto, and was {plan.precision}"
    yield Change("the device", old, new, "warning", consequence)


def _of_libraries(before: Mapping[str, Any]) -> Iterator[Change]:
    known, now = before.get("libraries"), versions()
    for name, old in known.items() if isinstance(known, dict) else ():
        new = now.get(name)
        if old == new or name not in now:
            continue
        if name in _ARITHMETIC:
            weight, what = "warning", "it goes on; defaults and rounding may be others"
        else:
            weight, what = "note", "it goes on"
        yield Change(name, old or "not there", new or "not there", weight, what)  # type: ignore[arg-type]


def _flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their values; groups are gone through, maps are values."""
    for name, value in values.items():
        key = f"{at}{name}"
        if isinstance(value, dict) and name not in ("extra", "columns"):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _is_in(key: str, places: Sequence[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def _shown(value: object) -> str:
    return "not given" if value is None else text.one_line(str(value), _LONGEST)


def _of_file(facts: Mapping[str, Any]) -> str:
    if facts["sha256"] is None:
        return "not there"
    digest = str(facts["sha256"])[:12]
    return f"{facts['path']} of {text.size(facts['bytes'])} (sha256 {digest}…)"
