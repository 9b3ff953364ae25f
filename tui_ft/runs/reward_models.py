"""Where the reward model of a run's rewards lies: an earlier run's, a folder, or one on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_ft import paths
from tui_ft.hub.outputs import run_name
from tui_ft.memory.model_facts import model_facts
from tui_ft.models import ArchitectureError, architecture_of
from tui_ft.runs.folder import RunError, RunFolder, exactly
from tui_ft.spec import RunSpec, SpecError, find_presets
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.rewards import RewardModelReward


@dataclass(frozen=True, slots=True)
class RewardModelPlace:
    """Where a reward model is.

    Attributes:
        path: the folder of its weights, an adapter's or a model's; None for one on the Hub.
        run: the run that made it, when one of ftui's did.
        spec: that run's.
    """

    path: Path | None
    run: RunFolder | None = None
    spec: RunSpec | None = None


def find_reward_model(reward: RewardModelReward) -> RewardModelPlace:
    """Return where a reward's model is.

    Raises:
        RunError: a run is named that made no reward model (yet), or a folder holds none.
    """
    said = run_name(reward.model)
    if said is not None:
        folder = RunFolder(paths.runs_dir() / said)
        if not folder.spec_file.is_file():
            raise RunError(f"there is no run {said}; {how_to_make(said)}")
        return _made_by(folder)
    named = Path(paths.expand(reward.model))
    run = _run_at(named, reward.model)
    if run is not None:
        return _made_by(run)
    if not named.exists():
        return RewardModelPlace(None)
    if not any((named / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise RunError(
            f"{named} holds no model: neither config.json nor adapter_config.json is in it"
        )
    inside = RunFolder(named.resolve().parent)  # the adapter or model of a run
    if inside.spec_file.is_file() and named.name in ("adapter", "model"):
        return _made_by(inside)
    return RewardModelPlace(named)


def reward_configs(spec: RunSpec) -> tuple[dict[str, Any], ...]:
    """Return the values of the config.json of each model that scores a run's answers.

    Of an adapter it is its base's. Nothing where one of them cannot be found: its size is then not
    known. Takes a few seconds where the Hub is slow.
    """
    asked = spec.objective.rewards if isinstance(spec.objective, OnlineFields) else ()
    found = []
    for reward in asked:
        if not isinstance(reward, RewardModelReward):
            continue
        try:
            place = find_reward_model(reward)
        except RunError:
            return ()
        name = reward.model if place.path is None else str(place.path)
        config = model_facts(name, reward.revision).config
        if config is None or not _is_read(config):
            return ()
        found.append(config)
    return tuple(found)


def _is_read(config: Mapping[str, Any]) -> bool:
    try:
        architecture_of(config, 1)
    except ArchitectureError:
        return False
    return True


def how_to_make(run: str) -> str:
    """Return how a run that would be a reward model is made."""
    preset = run if run in find_presets() else "reward-lora"
    named = "" if preset == run else f" --set name={run}"
    return (
        f"a reward model is made by `ftui train {preset}{named} --set model.name_or_path=… "
        "--set data.train=…`, whose data are pairs of answers"
    )


def _run_at(named: Path, name: str) -> RunFolder | None:
    folder = RunFolder(named)
    if folder.spec_file.is_file():
        return folder
    if "/" in name or named.exists():
        return None
    try:
        return exactly(name)
    except RunError:
        return None


def _made_by(run: RunFolder) -> RewardModelPlace:
    try:
        spec = run.spec()
    except SpecError as error:
        raise RunError(f"{run.id} cannot be read: {error}") from None
    if spec.objective.kind != "reward":
        raise RunError(
            f"{run.id} trained {spec.objective.kind}, and no reward model: give a run whose "
            "objective.kind is reward"
        )
    output = run.output_dir()
    if not (output / "config.json").is_file() and not (output / "adapter_config.json").is_file():
        raise RunError(f"{run.id} has left no {output.name} (yet): wait for it, or finish it first")
    return RewardModelPlace(output, run, spec)
