"""What the installed torch was built for, found without importing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """The installed torch.

    Attributes:
        cuda: version of CUDA it was built with, None for other kinds or when not known.
    """

    version: str
    kind: Literal["cuda", "rocm", "cpu"]
    cuda: tuple[int, int] | None = None

    @property
    def words(self) -> str:
        """The build in words: `CUDA 12.8 build`."""
        if self.kind == "cuda":
            number = f" {self.cuda[0]}.{self.cuda[1]}" if self.cuda else ""
            return f"CUDA{number} build"
        return "ROCm build" if self.kind == "rocm" else "CPU build"


def read_torch_build() -> TorchBuild | None:
    """Return the installed torch's build, or None when there is no torch.

    torch writes it down in its own `version.py`. Where that cannot be read, the local part of the
    version tells (`+cu128`, `+cpu`), and without one NVIDIA's libraries beside it: PyPI's wheels
    for CUDA bring them along.
    """
    try:
        torch = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        return None
    if not torch.version:  # what an installation that was broken off leaves behind
        return None
    try:
        written = Path(str(torch.locate_file("torch/version.py"))).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return _from_version(torch.version)
    return _from_file(torch.version, written) or _from_version(torch.version)


def _from_file(version: str, written: str) -> TorchBuild | None:
    lines = re.findall(r"^(cuda|hip)\b[^=\n]*=\s*(None|['\"][^'\"\n]*['\"])", written, re.MULTILINE)
    values = {name: value.strip("'\"") for name, value in lines}
    if "cuda" not in values:
        return None
    if values.get("hip", "None") != "None":
        return TorchBuild(version, "rocm")
    number = re.match(r"(\d+)\.(\d+)", values["cuda"])
    if number is None:
        return TorchBuild(version, "cpu")
    return TorchBuild(version, "cuda", (int(number[1]), int(number[2])))


def _from_version(version: str) -> TorchBuild:
    local = version.partition("+")[2]
    if number := re.match(r"cu(\d+)(\d)$", local):
        return TorchBuild(version, "cuda", (int(number[1]), int(number[2])))
    if local.startswith("rocm"):
        return TorchBuild(version, "rocm")
    if not local and _has_nvidia_libraries():
        return TorchBuild(version, "cuda")
    return TorchBuild(version, "cpu")


def _has_nvidia_libraries() -> bool:
    names = (str(found.metadata["Name"]) for found in metadata.distributions())
    return any(re.match(r"nvidia[-_](cublas|cuda[-_]runtime)", name) for name in names)
