"""A driver library without hardware, so that the real pynvml can be driven through its troubles.

    library = build_stub(tmp_path)
    environment = stub_environment(library, count=4, utilization=0, **{"power_mw.1": 71_000})
    subprocess.run([sys.executable, ...], env=environment)
    change_settings(environment, count=3)          # takes effect at the next call into the library

Settings and their defaults stand in `stub.c`: count, first, session, driver, cuda, name,
memory_total, memory_used, memory_reserved, utilization, memory_utilization, temperature,
temperature_limit, power_mw, power_limit_mw, sm_clock, max_sm_clock, memory_clock, throttle, fan,
capability, mig, compute_pid, compute_memory, graphics_pid, graphics_memory, each also as
`NAME.CARD`; `rc.FUNCTION` or `rc.FUNCTION.CARD` for the error code that a function returns; and
`hang.FUNCTION` for the seconds that it takes to return.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

SETTINGS_VARIABLE = "FTUI_NVML_STUB"
_SOURCE = Path(__file__).with_name("stub.c")


def build_stub(dir: Path) -> Path:
    """Compile the library into ``dir`` and return the folder to look for it in."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = dir / "libnvidia-ml.so.1"
    name = f"-Wl,-soname,{library.name}"
    flags = ["-shared", "-fPIC", "-Wall", "-Werror", name]
    subprocess.run([compiler, *flags, "-o", str(library), str(_SOURCE)], check=True)
    return dir


def stub_environment(library_dir: Path, **settings: object) -> dict[str, str]:
    """Return this process's environment with the stub in it, and settings of its own."""
    handle, path = tempfile.mkstemp(prefix="settings.", dir=library_dir)
    os.close(handle)
    environment = {
        name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"
    }
    environment |= {"LD_LIBRARY_PATH": str(library_dir), SETTINGS_VARIABLE: path}
    change_settings(environment, **settings)
    return environment


def change_settings(environment: Mapping[str, str], **settings: object) -> None:
    """Replace all settings, at once for the processes that read them."""
    path = Path(environment[SETTINGS_VARIABLE])
    new = path.with_suffix(".new")
    lines = "".join(f"{key}={value}\n" for key, value in settings.items())
    new.write_bytes(os.fsencode(lines))  # a lone surrogate stands for a byte that is no text
    new.replace(path)
