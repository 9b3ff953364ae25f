"""The rules of the house that no other tool holds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tui_ft
from tui_ft.spec.presets import PACKAGED, read_preset

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 500
HEAVY = (
    *("torch", "transformers", "trl", "peft", "datasets", "bitsandbytes", "accelerate"),
    *("tokenizers", "huggingface_hub", "numpy", "pandas", "pyarrow"),
)
DOORS = {"screens": "tui_ft/screens", "styles": "tui_ft/styles", "presets": "tui_ft/presets"}
PRESETS = sorted(PACKAGED.glob("*.yaml"))
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _written_files() -> list[Path]:
    rooms = [ROOT / name for name in ("tui_ft", "tests", "benchmarks", "docs")]
    return [p for room in rooms for kind in ("*.py", "*.tcss") for p in room.rglob(kind)]


def test_no_file_is_longer_than_people_read() -> None:
    lengths = {p: len(p.read_text().splitlines()) for p in _written_files()}
    assert {str(p): n for p, n in lengths.items() if n > LONGEST_FILE} == {}


def _modules(*rooms: str) -> list[str]:
    found = []
    for room in rooms:
        for path in sorted((ROOT / "tui_ft" / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts).removesuffix(".__init__"))
    return found


def _heavy_after_importing(modules: list[str]) -> str:
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.strip()


def test_the_app_and_every_command_load_nothing_heavy() -> None:
    modules = ["tui_ft.app", "tui_ft.cli", "tui_ft.demo.prepare", "tui_ft.demo.task"]
    modules += _modules("screens", "widgets", "commands", "runs", "spec", "data", "hub", "hardware")
    modules += _modules("models", "memory", "survey")
    assert _heavy_after_importing(modules) == "[]"


def test_help_loads_neither_the_app_nor_the_spec() -> None:
    program = (
        "import sys\nfrom tui_ft.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: pass\n"
        "print({'textual', 'pydantic', 'psutil'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_says_when_to_use_it_and_can_be_run(path: Path) -> None:
    preset = read_preset(path)
    assert len(preset.description) > 40
    assert preset.build(["model.name_or_path=m", "data.train=d.jsonl"]).name == path.stem


def test_the_doors_at_the_root_lead_into_the_package() -> None:
    for name, target in DOORS.items():
        door = ROOT / name
        assert door.is_symlink()
        assert str(door.readlink()) == target
        assert door.is_dir()


def test_one_version() -> None:
    assert _PROJECT["version"] == tui_ft.__version__
    assert f"## [{tui_ft.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_everything_that_is_needed_is_pinned_as_tested() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    needed = [*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["dev"]]
    names = {re.split(r"[><=\[ ]", need)[0].lower() for need in needed}
    pinned = {name.replace("_", "-") for name in pins}
    assert {name for name in names if name.replace("_", "-") not in pinned} == set()
    assert pins["torch"] == "2.13.0"  # another build costs gigabytes
    assert not [pin for pin in pins.values() if "+" in pin]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_in_the_documents_lead_somewhere(name: str) -> None:
    document = ROOT / name
    links = re.findall(r"\]\(([^)#]+)", document.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_building_names_no_host() -> None:
    files = ["Makefile", "pyproject.toml", "constraints.txt", ".ci/run", ".pre-commit-config.yaml"]
    for name in (*files, ".github/workflows/ci.yml"):
        assert not re.search(r"https?://|index-url", (ROOT / name).read_text()), name
