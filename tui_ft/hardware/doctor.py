"""Whether this machine can do the work: what is there, what is missing, and how to get it.

Nothing heavy is imported: versions come from the packages' metadata.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from tui_ft import __version__, paths, text
from tui_ft.hardware.host import nearest_existing
from tui_ft.hardware.nvml import NO_DRIVER, NO_GPUS, Nvml, visible_gpus
from tui_ft.hardware.snapshot import Gpu
from tui_ft.hardware.torch_build import TorchBuild, read_torch_build

Status = Literal["ok", "warn", "bad"]

_OLDEST_PYTHON: Final = (3, 11)
_LIBRARIES: Final = (
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "datasets",
    "accelerate",
    "textual",
)
_BF16_FROM: Final = (8, 0)
_TORCH: Final = "2.13.0"  # what `constraints.txt` pins
_CUDA_13_FROM: Final = (7, 5)
_BLACKWELL: Final = (10, 0)
_CUDA_OF_BLACKWELL: Final = (12, 8)
_DRIVER_SECONDS: Final = 15.0
_NO_DRIVER_ADVICE: Final = (
    "without one, training is on the CPU: for very small models only; otherwise install the "
    "driver, or in a container start it with `--gpus all`"
)
_LITTLE_DISK: Final = 50_000_000_000
_NO_DISK: Final = 5_000_000_000
_OPTIONAL: Final = {
    "flash-attn": "faster attention on long sequences: pip install flash-attn --no-build-isolation",
    "liger-kernel": "fused kernels that save memory: pip install liger-kernel",
    "deepspeed": "ZeRO over several GPUs, which FSDP does without it: pip install deepspeed",
}
_TRUE: Final = frozenset(("1", "on", "yes", "true"))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        status: `bad` means that a run will fail, `warn` that it may or will be slow.
        found: what is there, in words.
        advice: what to do about it, or what there would be to gain.
    """

    name: str
    status: Status
    found: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class _Driver:
    """What the driver answered."""

    gpus: tuple[Gpu, ...] = ()
    status: str | None = None
    version: str | None = None
    cuda: tuple[int, int] | None = None


def diagnose(home: Path, environ: Mapping[str, str] = os.environ) -> tuple[Check, ...]:
    """Return what was found, in the order in which one would ask. Never raises.

    Args:
        home: ftui's own folder, which need not exist yet.
        environ: honours CUDA_VISIBLE_DEVICES, PATH and the Hugging Face libraries' variables.
    """
    driver = _ask_driver()
    build = read_torch_build()
    return (
        _check_python(),
        Check("ftui", "ok", __version__),
        _check_torch(build, driver),
        *(_check_library(name) for name in _LIBRARIES),
        _check_driver(driver),
        *(_check_gpu(gpu, build, driver) for gpu in driver.gpus),
        *_check_visible(driver.gpus, environ),
        *_check_home(home),
        *_check_hub(environ),
        *_check_optional(environ),
    )


def _ask_driver() -> _Driver:
    """Ask in a thread of its own: a driver that hangs must not hang the diagnosis of it."""
    answers: list[_Driver] = []

    def ask() -> None:
        nvml = Nvml()
        gpus, status = nvml.read()
        answers.append(_Driver(gpus, status, nvml.driver_version, nvml.cuda_driver_version))
        nvml.close()

    thread = threading.Thread(target=ask, daemon=True, name="ftui-doctor")
    thread.start()
    thread.join(_DRIVER_SECONDS)
    if answers:
        return answers[0]
    return _Driver(status=f"the NVIDIA driver has not answered for {_DRIVER_SECONDS:.0f} s")


def _check_python() -> Check:
    found = sys.version.split()[0]
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Check("python", "bad", found, "ftui needs Python 3.11 or newer")
    return Check("python", "ok", found)


def _check_torch(build: TorchBuild | None, driver: _Driver) -> Check:
    """Hold torch against the driver. Within one major version of CUDA, a newer torch runs too.

    (CUDA compatibility guide, "minor version compatibility").
    """
    if build is None:
        return Check("torch", "bad", "not installed", _pip_torch(driver))
    found = f"{build.version}, {build.words}"
    has_driver = driver.version is not None or bool(driver.gpus)
    if build.kind == "cpu" and has_driver:
        return Check("torch", "bad", f"{found}: it cannot use the GPUs", _pip_torch(driver))
    if build.kind == "cuda" and build.cuda and driver.cuda and build.cuda[0] > driver.cuda[0]:
        words = f"{found}; the driver runs CUDA {_dotted(driver.cuda)} at most"
        return Check("torch", "bad", words, _pip_torch(driver))
    if build.kind == "rocm" and has_driver:
        return Check("torch", "bad", f"{found}: it is for AMD GPUs", _pip_torch(driver))
    return Check("torch", "ok", found)


def _pip_torch(driver: _Driver) -> str:
    """Return how to get the torch that runs on this driver and its GPUs.

    There are wheels for CUDA 12.6, which know GPUs up to Hopper, and for 13.0, which know them from
    Turing on (PyTorch, RELEASE.md, "CUDA Support Matrix" of 2.13).
    """
    if driver.cuda is None:
        return f"pip install torch=={_TORCH}"
    capabilities = [gpu.compute_capability for gpu in driver.gpus if gpu.compute_capability]
    has_old = any(capability < _CUDA_13_FROM for capability in capabilities)
    has_new = any(capability >= _BLACKWELL for capability in capabilities)
    major = 12 if has_old or (driver.cuda < (13, 0) and not has_new) else 13
    wheels = "cu126" if major == 12 else "cu130"  # noqa: PLR2004 - CUDA 12
    # The `+` tells pip that the same version for another CUDA, or for none, will not do.
    address = f"https://download.pytorch.org/whl/{wheels}"
    command = f"pip install torch=={_TORCH}+{wheels} --index-url {address}"
    if driver.cuda[0] < major:
        return f"update the driver to one that runs CUDA {major}, then {command}"
    return command


def _check_library(name: str) -> Check:
    version = _version(name)
    if version is None:
        return Check(name, "bad", "not installed", f"pip install {name}")
    return Check(name, "ok", version)


def _check_driver(driver: _Driver) -> Check:
    """Judge the driver: that there is none is how a machine without GPUs looks, and no fault."""
    cuda = f"CUDA {_dotted(driver.cuda)}" if driver.cuda else None
    found = ", ".join(part for part in (driver.version, cuda, driver.status) if part)
    if driver.status is None:
        return Check("driver", "ok", found or "answers, with no version")
    if driver.status in (NO_DRIVER, NO_GPUS):
        return Check("driver", "warn", found, _NO_DRIVER_ADVICE)
    return Check("driver", "bad", found, "until it answers, runs take the CPU: see `nvidia-smi`")


def _check_gpu(gpu: Gpu, build: TorchBuild | None, driver: _Driver) -> Check:
    name = f"GPU {gpu.index}"
    words = text.plain(gpu.name)
    if gpu.error is not None:
        return Check(name, "bad", f"{words}: {gpu.error}", "runs leave this GPU out until then")
    words += f", {text.memory(gpu.memory_total_bytes)}"
    capability = gpu.compute_capability
    if capability is None:
        return Check(name, "warn", f"{words}, compute capability not known")
    precision = "bf16" if capability >= _BF16_FROM else "fp16"
    words += f", compute capability {_dotted(capability)}: {precision}"
    cuda = build.cuda if build else None
    if cuda and cuda >= (13, 0) and capability < _CUDA_13_FROM:
        return Check(name, "bad", f"{words}; CUDA 13 no longer supports it", _pip_torch(driver))
    if cuda and cuda < _CUDA_OF_BLACKWELL and capability >= _BLACKWELL:
        problem = f"the installed torch, for CUDA {_dotted(cuda)}, does not know it yet"
        return Check(name, "bad", f"{words}; {problem}", _pip_torch(driver))
    if gpu.mig_enabled:
        advice = "a run gets one slice at most, with less memory than is shown: `nvidia-smi -L`"
        return Check(name, "warn", f"{words}; divided into slices (MIG)", advice)
    return Check(name, "ok", words)


def _check_visible(gpus: tuple[Gpu, ...], environ: Mapping[str, str]) -> Iterator[Check]:
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None or not gpus:
        return
    left = visible_gpus(gpus, environ)
    found = f"{text.one_line(setting, 60) or 'empty'}: "
    if not left:
        advice = "unset it, or name GPUs that are there; as it is, runs take the CPU"
        if "MIG-" in setting:
            advice = "name a whole GPU: ftui cannot use slices (MIG); as it is, runs take the CPU"
        yield Check("CUDA_VISIBLE_DEVICES", "warn", f"{found}leaves no GPU", advice)
        return
    numbers = ", ".join(str(gpu.index) for gpu in left)
    yield Check("CUDA_VISIBLE_DEVICES", "ok", f"{found}leaves GPU {numbers} of {len(gpus)}")


def _check_home(home: Path) -> Iterator[Check]:
    existing = nearest_existing(home)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        advice = "set FTUI_HOME to a folder of yours on a large disk"
        yield Check("home", "bad", f"{existing} is no folder that can be written", advice)
    elif existing != home:
        yield Check("home", "ok", f"{home} will be made when it is first needed")
    elif home.stat().st_mode & 0o077:
        mode = f"{home.stat().st_mode & 0o777:04o}"
        yield Check("home", "warn", f"{home} is open to others ({mode})", f"chmod 700 {home}")
    else:
        yield Check("home", "ok", f"{home}, private")
    yield _check_disk("home disk", existing, "FTUI_HOME")


def _check_hub(environ: Mapping[str, str]) -> Iterator[Check]:
    hf_home = paths.expand(
        environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    )
    cache = paths.expand(environ.get("HF_HUB_CACHE") or hf_home / "hub")
    yield _check_disk("model cache disk", cache, "HF_HOME")
    token_file = paths.expand(environ.get("HF_TOKEN_PATH") or hf_home / "token")
    if environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN"):
        yield Check("Hugging Face token", "ok", "present, in the environment")
    elif _is_filled(token_file):
        yield Check("Hugging Face token", "ok", f"present, in {token_file}")
    else:
        advice = "gated models (Llama, Gemma) need one: hf auth login"
        yield Check("Hugging Face token", "ok", "none", advice)
    if endpoint := environ.get("HF_ENDPOINT"):
        yield Check("Hugging Face endpoint", "ok", _without_credentials(endpoint))
    switches = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    offline = [name for name in switches if environ.get(name, "").lower() in _TRUE]
    if offline:
        found = f"on ({', '.join(offline)}): only models on this machine"
        yield Check("offline mode", "warn", found, f"unset {' '.join(offline)} to fetch models")


def _check_optional(environ: Mapping[str, str]) -> Iterator[Check]:
    """Look for what a run can do without: what is missing is no fault."""
    search = environ.get("PATH")
    tmux = shutil.which("tmux", path=search)
    advice = "keeps the screen over a lost connection; runs go on without it: apt install tmux"
    yield Check("tmux", "ok", tmux or "not installed", None if tmux else advice)
    for name, gain in _OPTIONAL.items():
        version = _version(name)
        yield Check(name, "ok", version or "not installed", None if version else gain)
    quantize = shutil.which("llama-quantize", path=search)
    advice = "needed for 4-bit and 5-bit GGUF files: it comes with llama.cpp"
    yield Check("llama-quantize", "ok", quantize or "not installed", None if quantize else advice)


def _check_disk(name: str, path: Path, variable: str) -> Check:
    existing = nearest_existing(path)
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check(name, "bad", f"{existing} cannot be read: {error.strerror}")
    status: Status = "bad" if free < _NO_DISK else "warn" if free < _LITTLE_DISK else "ok"
    advice = f"free some, or set {variable} to a larger disk; a 7B model alone takes 15 GB"
    found = f"{text.size(free)} free at {existing}"
    return Check(name, status, found, None if status == "ok" else advice)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_filled(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _without_credentials(address: str) -> str:
    """Return scheme and host of an address; a password in it, or in its query, is not shown."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = None
    if parts is None or not parts.netloc:  # without `//` a password is not told from a host
        return "set, but not an address"
    host = parts.netloc.rpartition("@")[2]
    return text.one_line(f"{parts.scheme}://{host}{parts.path}", 100)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
