"""Runs the room's code in a process that loads the stub, and brings back what it returned."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.nvml_stub import change_settings
from tui_ft.hardware import Gpu
from tui_ft.hardware.doctor import Check, diagnose
from tui_ft.hardware.nvml import Nvml

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Look:
    """What one look at the driver gave."""

    gpus: tuple[Gpu, ...]
    status: str | None
    driver: str | None
    cuda: tuple[int, int] | None


def looks(
    environment: Mapping[str, str], *settings: dict[str, object], denied: tuple[str, ...] = ()
) -> list[Look]:
    """Look once with each of ``settings``, all with one `Nvml`.

    Args:
        denied: methods of `psutil.Process` that raise AccessDenied.
    """
    found: list[Look] = _ask(environment, ("looks", settings, denied))
    return found


def diagnosis(environment: Mapping[str, str], home: Path) -> dict[str, Check]:
    """Return the doctor's checks by their name."""
    checks: tuple[Check, ...] = _ask(environment, ("diagnose", home))
    return {check.name: check for check in checks}


def _ask(environment: Mapping[str, str], request: tuple[Any, ...]) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", "from tests.hardware.probe import answer; answer()"],
        input=pickle.dumps(request),
        env=environment,
        cwd=_REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
        timeout=240,
    )
    return pickle.loads(done.stdout)


def _look_with(settings: tuple[dict[str, object], ...], denied: tuple[str, ...]) -> list[Look]:
    def deny(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    for method in denied:
        setattr(psutil.Process, method, deny)
    nvml, seen = Nvml(), []
    for one in settings:
        change_settings(os.environ, **one)
        gpus, status = nvml.read()
        seen.append(Look(gpus, status, nvml.driver_version, nvml.cuda_driver_version))
    nvml.close()
    return seen


def answer() -> None:
    """Serve one request, in the process that has the stub."""
    kind, *rest = pickle.load(sys.stdin.buffer)
    result = _look_with(*rest) if kind == "looks" else diagnose(*rest)
    sys.stdout.buffer.write(pickle.dumps(result))
