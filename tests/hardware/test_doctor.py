from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from tests.hardware.distributions import install_torch
from tests.hardware.probe import diagnosis
from tests.nvml_stub import change_settings
from tui_ft import __version__, text
from tui_ft.hardware import doctor
from tui_ft.hardware.doctor import Check, diagnose
from tui_ft.hardware.nvml import Nvml

Environment = dict[str, str]
Usage = namedtuple("Usage", "total used free")
CPU_TORCH = ("2.9.0+cpu", "cuda: Optional[str] = None\n")
CUDA_12_TORCH = ("2.9.0", "cuda: Optional[str] = '12.8'\n")
CUDA_13_TORCH = ("2.9.0", "cuda: Optional[str] = '13.0'\n")
ROCM_TORCH = ("2.9.0+rocm6.4", "cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def bare(tmp_path: Path) -> Environment:
    """Variables of a user with nothing set up."""
    return {"HF_HOME": str(tmp_path / "hf"), "PATH": str(tmp_path)}


def _with_torch(environment: Environment, site: Path, torch: tuple[str, str]) -> Environment:
    site.mkdir()
    install_torch(site, *torch)
    return environment | {"PYTHONPATH": str(site)}


def _checks(home: Path, environ: Environment) -> dict[str, Check]:
    return {check.name: check for check in diagnose(home, environ)}


def test_libraries_have_their_versions(home: Path, bare: Environment) -> None:
    checks = _checks(home, bare)
    assert checks["ftui"] == Check("ftui", "ok", __version__)
    assert checks["python"].status == "ok"
    for name in ("transformers", "trl", "peft", "bitsandbytes", "accelerate", "textual"):
        assert checks[name] == Check(name, "ok", metadata.version(name))


def test_a_missing_library_comes_with_its_command(
    home: Path, bare: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    checks = _checks(home, bare)
    assert checks["peft"] == Check("peft", "bad", "not installed", "pip install peft")
    assert checks["torch"].status == "bad"
    assert (checks["torch"].advice or "").startswith("pip install")
    assert checks["flash-attn"].status == "ok"
    assert "pip install flash-attn" in (checks["flash-attn"].advice or "")


def test_driver_and_gpus_with_the_precision_that_suits(
    environment: Environment, home: Path
) -> None:
    change_settings(
        environment,
        **{"name.0": "NVIDIA A100", "name.1": "Tesla T4", "capability.0": 80, "capability.1": 75},
    )
    checks = diagnosis(environment, home)
    assert checks["driver"] == Check("driver", "ok", "580.65.06, CUDA 13.0")
    a100, t4 = checks["GPU 0"], checks["GPU 1"]
    assert a100.found == "NVIDIA A100, 74.5 GiB, compute capability 8.0: bf16"
    assert t4.found == "Tesla T4, 74.5 GiB, compute capability 7.5: fp16"
    assert (a100.status, t4.status) == ("ok", "ok")


@pytest.mark.parametrize(
    ("cuda", "capability", "wheels"),
    [
        (13000, 90, "cu130"),
        (12040, 90, "cu126"),
        (13000, 75, "cu130"),
        (13000, 70, "cu126"),  # Volta: CUDA 13 dropped it
        (13000, 120, "cu130"),
    ],
)
def test_a_cpu_torch_beside_a_driver_is_bad(
    environment: Environment, home: Path, tmp_path: Path, cuda: int, capability: int, wheels: str
) -> None:
    change_settings(environment, cuda=cuda, capability=capability)
    torch = diagnosis(_with_torch(environment, tmp_path / "site", CPU_TORCH), home)["torch"]
    assert torch.status == "bad"
    assert torch.found == "2.9.0+cpu, CPU build: it cannot use the GPUs"
    address = f"https://download.pytorch.org/whl/{wheels}"
    assert torch.advice == f"pip install torch==2.13.0+{wheels} --index-url {address}"


@pytest.mark.parametrize(
    ("cuda", "capability", "needed", "wheels"),
    [(11080, 90, "CUDA 12", "cu126"), (12080, 100, "CUDA 13", "cu130")],
)
def test_a_driver_too_old_for_any_torch_comes_first(
    environment: Environment,
    home: Path,
    tmp_path: Path,
    cuda: int,
    capability: int,
    needed: str,
    wheels: str,
) -> None:
    change_settings(environment, cuda=cuda, capability=capability)
    torch = diagnosis(_with_torch(environment, tmp_path / "site", CPU_TORCH), home)["torch"]
    advice = torch.advice or ""
    assert advice.startswith(f"update the driver to one that runs {needed}, then pip install ")
    assert advice.endswith(f"/{wheels}")


def test_the_torch_that_is_advised_is_the_one_that_was_tested(
    home: Path, bare: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    constraints = Path(__file__).parents[2] / "constraints.txt"
    (pinned,) = [line for line in constraints.read_text().split() if line.startswith("torch==")]
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert _checks(home, bare)["torch"].advice == f"pip install {pinned}"


def test_a_cpu_torch_without_a_driver_is_as_it_should_be(
    environment: Environment, home: Path, tmp_path: Path
) -> None:
    change_settings(environment, **{"rc.nvmlInitWithFlags": 12})
    checks = diagnosis(_with_torch(environment, tmp_path / "site", CPU_TORCH), home)
    assert checks["torch"] == Check("torch", "ok", "2.9.0+cpu, CPU build")
    assert checks["driver"].status == "warn"
    assert "no NVIDIA driver found" in checks["driver"].found
    assert checks["driver"].advice is not None


@pytest.mark.parametrize(
    ("torch", "cuda", "status"),
    [
        (CUDA_12_TORCH, 13000, "ok"),
        (CUDA_12_TORCH, 12020, "ok"),
        (CUDA_13_TORCH, 12080, "bad"),
        (CUDA_12_TORCH, 11080, "bad"),
        (ROCM_TORCH, 13000, "bad"),
    ],
)
def test_torch_is_held_against_the_driver(
    environment: Environment,
    home: Path,
    tmp_path: Path,
    torch: tuple[str, str],
    cuda: int,
    status: str,
) -> None:
    change_settings(environment, cuda=cuda)
    checks = diagnosis(_with_torch(environment, tmp_path / "site", torch), home)
    assert checks["torch"].status == status
    assert (checks["torch"].advice is None) == (status == "ok")


def test_a_card_that_cuda_13_dropped(environment: Environment, home: Path, tmp_path: Path) -> None:
    change_settings(environment, **{"capability.0": 70, "capability.1": 75})
    checks = diagnosis(_with_torch(environment, tmp_path / "site", CUDA_13_TORCH), home)
    assert checks["GPU 0"].status == "bad"
    assert "cu126" in (checks["GPU 0"].advice or "")
    assert checks["GPU 1"].status == "ok"


def test_a_card_newer_than_torch(environment: Environment, home: Path, tmp_path: Path) -> None:
    change_settings(environment, **{"capability.0": 100})
    torch = ("2.9.0+cu126", "cuda: Optional[str] = '12.6'\n")
    checks = diagnosis(_with_torch(environment, tmp_path / "site", torch), home)
    assert checks["GPU 0"].status == "bad"
    assert "cu130" in (checks["GPU 0"].advice or "")
    assert checks["GPU 1"].status == "ok"
    torch_128 = _with_torch(environment, tmp_path / "site128", CUDA_12_TORCH)
    assert diagnosis(torch_128, home)["GPU 0"].status == "ok"


def test_a_card_in_slices_is_a_warning(environment: Environment, home: Path) -> None:
    change_settings(environment, **{"mig.1": 1})
    checks = diagnosis(environment, home)
    assert (checks["GPU 0"].status, checks["GPU 1"].status) == ("ok", "warn")
    assert "slices (MIG)" in checks["GPU 1"].found
    hidden = diagnosis(environment | {"CUDA_VISIBLE_DEVICES": "MIG-1"}, home)
    assert "whole GPU" in (hidden["CUDA_VISIBLE_DEVICES"].advice or "")


def test_a_lost_gpu_and_a_broken_driver_are_bad(environment: Environment, home: Path) -> None:
    change_settings(environment, **{"rc.nvmlDeviceGetHandleByIndex_v2.1": 15})
    lost = diagnosis(environment, home)["GPU 1"]
    assert lost.status == "bad"
    assert "GPU is lost" in lost.found
    change_settings(environment, **{"rc.nvmlInitWithFlags": 18})
    driver = diagnosis(environment, home)["driver"]
    assert driver.status == "bad"
    assert "reboot" in driver.found


def test_a_driver_that_hangs_does_not_hang_the_doctor(
    home: Path, bare: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(_: Nvml) -> tuple[tuple[()], None]:
        released.wait(30)
        return (), None

    monkeypatch.setattr(Nvml, "read", hang)
    monkeypatch.setattr(doctor, "_DRIVER_SECONDS", 0.05)
    driver = _checks(home, bare)["driver"]
    released.set()
    assert driver.status == "bad"
    assert "has not answered" in driver.found


@pytest.mark.parametrize(
    ("setting", "status", "found"),
    [
        ("1", "ok", "1: leaves GPU 1 of 2"),
        ("", "warn", "empty: leaves no GPU"),
        ("-1", "warn", "-1: leaves no GPU"),
    ],
)
def test_hidden_gpus_are_told(
    environment: Environment, home: Path, setting: str, status: str, found: str
) -> None:
    checks = diagnosis(environment | {"CUDA_VISIBLE_DEVICES": setting}, home)
    hidden = checks["CUDA_VISIBLE_DEVICES"]
    assert (hidden.status, hidden.found) == (status, found)
    change_settings(environment, count=0)
    without_gpus = diagnosis(environment | {"CUDA_VISIBLE_DEVICES": setting}, home)
    assert "CUDA_VISIBLE_DEVICES" not in without_gpus


def test_home_is_private_and_can_be_written(home: Path, bare: Environment) -> None:
    assert _checks(home, bare)["home"] == Check("home", "ok", f"{home}, private")
    home.chmod(0o750)
    is_open = _checks(home, bare)["home"]
    assert (is_open.status, is_open.advice) == ("warn", f"chmod 700 {home}")
    assert "0750" in is_open.found
    assert _checks(home / "new", bare)["home"].status == "ok"
    (home / "file").touch()
    assert _checks(home / "file" / "ftui", bare)["home"].status == "bad"
    assert list(home.iterdir()) == [home / "file"]


@pytest.mark.parametrize(
    ("free", "status"), [(60_000_000_000, "ok"), (49_000_000_000, "warn"), (4_000_000_000, "bad")]
)
def test_disk_space(
    home: Path, bare: Environment, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))
    checks = _checks(home, bare)
    for name, variable in (("home disk", "FTUI_HOME"), ("model cache disk", "HF_HOME")):
        assert checks[name].status == status
        assert checks[name].found.startswith(f"{text.size(free)} free at ")
        assert (variable in (checks[name].advice or "")) == (status != "ok")


def test_a_token_is_found_and_never_shown(home: Path, bare: Environment) -> None:
    assert _checks(home, bare)["Hugging Face token"].found == "none"
    by_variable = diagnose(home, bare | {"HF_TOKEN": "hf_secret"})
    token_file = Path(bare["HF_HOME"], "token")
    token_file.parent.mkdir()
    token_file.write_text("hf_secret")
    by_file = diagnose(home, bare)
    for checks, place in ((by_variable, "the environment"), (by_file, str(token_file))):
        found = {check.name: check.found for check in checks}
        assert found["Hugging Face token"] == f"present, in {place}"
        assert "hf_secret" not in repr(checks)


def test_endpoint_and_offline_mode_are_told_without_passwords(
    home: Path, bare: Environment
) -> None:
    assert not {"offline mode", "Hugging Face endpoint"} & set(_checks(home, bare))
    mirror = "https://me:hf_secret@mirror.example:8443/hub?key=hf_secret"
    checks = _checks(home, bare | {"HF_ENDPOINT": mirror, "HF_HUB_OFFLINE": "1"})
    assert checks["Hugging Face endpoint"].found == "https://mirror.example:8443/hub"
    assert checks["offline mode"].status == "warn"
    assert "HF_HUB_OFFLINE" in checks["offline mode"].found
    assert "hf_secret" not in repr(checks)
    assert "offline mode" not in _checks(home, bare | {"HF_HUB_OFFLINE": "0"})


@pytest.mark.parametrize("address", ["me:hf_secret@mirror.example", "https://[me:hf_secret"])
def test_an_endpoint_that_is_no_address_is_not_shown(
    home: Path, bare: Environment, address: str
) -> None:
    checks = _checks(home, bare | {"HF_ENDPOINT": address})
    assert checks["Hugging Face endpoint"].found == "set, but not an address"
    assert "hf_secret" not in repr(checks)


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "HF_TOKEN_PATH", "XDG_CACHE_HOME"])
def test_a_folder_of_a_user_that_is_not_there_is_survived(
    home: Path, bare: Environment, variable: str
) -> None:
    del bare["HF_HOME"]
    checks = _checks(home, bare | {variable: "~nobody-of-this-name/hf"})
    assert checks["model cache disk"].found
    assert checks["Hugging Face token"].found


def test_what_a_run_can_do_without_is_no_fault(
    home: Path, bare: Environment, tmp_path: Path
) -> None:
    for name in ("tmux", "llama-quantize"):
        missing = _checks(home, bare)[name]
        assert (missing.status, missing.found) == ("ok", "not installed")
        assert missing.advice is not None
        program = tmp_path / name
        program.touch(mode=0o755)
        assert _checks(home, bare)[name] == Check(name, "ok", str(program))
