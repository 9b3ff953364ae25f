"""Presets: RunSpecs with gaps, to start from. Shipped in the package or kept by the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_ft import paths
from tui_ft.spec.kinds import without_other_kinds
from tui_ft.spec.loading import Lines, build_spec, load_spec, read_yaml
from tui_ft.spec.problems import Problem, SpecError
from tui_ft.spec.run_spec import RunSpec

Note = Callable[[str], None]
PACKAGED = Path(__file__).resolve().parent.parent / "presets"


@dataclass(frozen=True, slots=True)
class Preset:
    """A named start for a run: what it sets, and when to use it."""

    name: str
    path: Path
    description: str
    values: Mapping[str, Any]
    lines: Lines

    def build(self, overrides: Iterable[str] = (), note: Note | None = None) -> RunSpec:
        """Return the run: the preset with ``key=value`` overrides put over it.

        Where they set another kind of a group, what a shipped preset says of the old one is left
        out, as no other kind has it; in one of the user's own that is told as a fault.

        Args:
            overrides: `key=value`.
            note: called with what was left out.

        Raises:
            SpecError: something is still missing (most presets leave model and data open) or wrong.
        """
        typed, values = tuple(overrides), self.values
        if self.path.parent == PACKAGED:
            values, left_out = without_other_kinds(values, typed)
            if note is not None and left_out:
                note("\n".join(left_out))
        return build_spec(values, typed, lines=self.lines, file=str(self.path))


def find_presets() -> dict[str, Preset]:
    """Return every preset by name; one in the user's folder hides the packaged one of that name.

    A file that cannot be read is left out: it is reported when asked for by name.
    """
    found: dict[str, Preset] = {}
    for folder in (PACKAGED, paths.config_dir() / "presets"):
        for path in sorted(folder.glob("*.yaml")):
            try:
                found[path.stem] = read_preset(path)
            except SpecError:
                found.pop(path.stem, None)
    return found


def read_preset(path: Path) -> Preset:
    """Return the preset in ``path``.

    Raises:
        SpecError: unreadable, no YAML, or without the `description` that says when to use it.
    """
    values, lines = read_yaml(path)
    description = values.get("description")
    if not isinstance(description, str) or not description.strip():
        fault = "is missing: a preset says when to use it"
        raise SpecError([Problem("description", fault, file=str(path))])
    return Preset(path.stem, path, description.strip(), values, lines)


def resolve_spec(
    reference: str, overrides: Iterable[str] = (), note: Note | None = None
) -> RunSpec:
    """Return the RunSpec that ``reference`` means: a YAML file's path, or a preset's name.

    ``note`` is called with what is left out of a preset, see `Preset.build`.

    Raises:
        SpecError: neither exists, or what it says cannot be run.
    """
    file, preset = _find(reference)
    return read_preset(file).build(overrides, note) if preset else load_spec(file, overrides)


def preset_values(reference: str) -> dict[str, Any]:
    """Return what a preset or a run's YAML file sets, gaps and all; see `resolve_spec`.

    Raises:
        SpecError: neither exists, or it is no YAML.
    """
    file, _ = _find(reference)
    return dict(read_yaml(file)[0])


def _find(reference: str) -> tuple[Path, bool]:
    """Return the file that ``reference`` means, and whether it is a preset."""
    path = paths.expand(reference)
    if _is_file(path):
        return path, False
    user_file = paths.config_dir() / "presets" / f"{reference}.yaml"
    for candidate in (user_file, PACKAGED / f"{reference}.yaml"):
        if "/" not in reference and _is_file(candidate):
            return candidate, True
    known = ", ".join(sorted(find_presets()))
    fault = "no such file, and no preset of that name"
    raise SpecError(
        [Problem("", fault, file=reference, allowed=f"a YAML file, or one of: {known}")]
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long to be one
        return False
