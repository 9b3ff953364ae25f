from __future__ import annotations

from pathlib import Path

import pytest

from tests.hardware.distributions import install, install_torch
from tui_ft.hardware.torch_build import TorchBuild, read_torch_build


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place where distributions are looked for."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path


@pytest.mark.parametrize(
    ("version", "written", "build", "words"),
    [
        (
            "2.13.0",
            "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n",
            TorchBuild("2.13.0", "cuda", (12, 8)),
            "CUDA 12.8 build",
        ),
        (
            "2.13.0+cpu",
            "from typing import Optional\ncuda: Optional[str] = None\nhip: Optional[str] = None\n",
            TorchBuild("2.13.0+cpu", "cpu"),
            "CPU build",
        ),
        (
            "2.13.0",
            "cuda: Optional[str] = None\nhip: Optional[str] = '6.4.1'\n",
            TorchBuild("2.13.0", "rocm"),
            "ROCm build",
        ),
        ("2.8.0", 'cuda = "13.0"\n', TorchBuild("2.8.0", "cuda", (13, 0)), "CUDA 13.0 build"),
    ],
)
def test_torch_says_itself_what_it_was_built_for(
    site: Path, version: str, written: str, build: TorchBuild, words: str
) -> None:
    install_torch(site, version, written)
    assert read_torch_build() == build
    assert build.words == words


@pytest.mark.parametrize(
    ("version", "build"),
    [
        ("2.9.0+cu128", TorchBuild("2.9.0+cu128", "cuda", (12, 8))),
        ("2.9.0+cu130", TorchBuild("2.9.0+cu130", "cuda", (13, 0))),
        ("2.9.0+rocm6.4", TorchBuild("2.9.0+rocm6.4", "rocm")),
        ("2.9.0+cpu", TorchBuild("2.9.0+cpu", "cpu")),
        ("2.9.0", TorchBuild("2.9.0", "cpu")),
    ],
)
def test_without_its_file_the_version_tells(site: Path, version: str, build: TorchBuild) -> None:
    install(site, "torch", version)
    assert read_torch_build() == build


def test_without_either_nvidias_libraries_tell(site: Path) -> None:
    install(site, "torch", "2.9.0")
    install(site, "nvidia-ml-py", "13.0")
    assert read_torch_build() == TorchBuild("2.9.0", "cpu")
    install(site, "nvidia-cublas-cu12", "12.8.4.1")
    build = read_torch_build()
    assert build == TorchBuild("2.9.0", "cuda")
    assert build.words == "CUDA build"


def test_what_a_broken_installation_left_is_no_torch(site: Path) -> None:
    remains = site / "torch-2.9.0.dist-info"
    remains.mkdir()
    (remains / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\n")
    assert read_torch_build() is None


def test_no_torch(site: Path) -> None:
    assert read_torch_build() is None
