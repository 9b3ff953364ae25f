"""What a run is: RunSpec, its YAML, and the presets to start from."""

from tui_ft.spec.loading import build_spec, dump_spec, load_spec
from tui_ft.spec.presets import Preset, find_presets, resolve_spec
from tui_ft.spec.problems import Problem, SpecError
from tui_ft.spec.run_spec import RunSpec

__all__ = [
    "Preset",
    "Problem",
    "RunSpec",
    "SpecError",
    "build_spec",
    "dump_spec",
    "find_presets",
    "load_spec",
    "resolve_spec",
]
