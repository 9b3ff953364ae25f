from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from tests.hardware.probe import looks
from tui_ft.hardware.nvml import throttle_words

Environment = dict[str, str]
LOST, UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 15, 1, 3, 4, 13
FIRST = "GPU-000000a0-1111-2222-3333-444444444444"
SECOND = "GPU-000000a1-1111-2222-3333-444444444444"


def test_every_reading_has_its_unit(environment: Environment) -> None:
    (look,) = looks(environment, {"power_mw.1": 71_000, "throttle": 0x44, "cuda": 12080})
    assert (look.status, look.driver, look.cuda) == (None, "580.65.06", (12, 8))
    gpu = look.gpus[0]
    assert (gpu.index, gpu.uuid, gpu.name) == (0, FIRST, "NVIDIA H100 80GB HBM3")
    assert gpu.memory_total_bytes == 80_000_000_000
    assert gpu.memory_used_bytes == 20_000_000_000
    assert gpu.memory_free_bytes == 59_500_000_000
    assert (gpu.utilization, gpu.memory_utilization, gpu.fan) == (0.98, 0.41, 0.3)
    assert (gpu.power_w, gpu.power_limit_w) == (412.3, 700.0)
    assert (gpu.temperature_c, gpu.temperature_limit_c) == (64.0, 87.0)
    assert (gpu.sm_clock_mhz, gpu.max_sm_clock_mhz, gpu.memory_clock_mhz) == (1755, 1980, 2619)
    assert gpu.throttle_reasons == ("power limit", "hardware thermal limit")
    assert gpu.compute_capability == (9, 0)
    assert (gpu.processes, gpu.error) == ((), None)
    assert (look.gpus[1].uuid, look.gpus[1].power_w) == (SECOND, 71.0)


def test_zero_is_a_reading_and_what_a_card_does_not_have_is_none(environment: Environment) -> None:
    zeros = {"utilization": 0, "power_mw": 0, "fan": 0, "temperature": 0, "memory_used": 0}
    functions = (
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetFanSpeed",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetTemperatureThreshold",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetMigMode",
    )
    lacking = {f"rc.{name}": NOT_SUPPORTED for name in functions}
    zero, none = (look.gpus[0] for look in looks(environment, {**zeros}, {**lacking}))
    assert (zero.utilization, zero.power_w, zero.fan, zero.temperature_c) == (0, 0, 0, 0)
    assert (zero.memory_used_bytes, zero.throttle_reasons) == (0, ())
    assert (none.utilization, none.memory_utilization) == (None, None)
    assert (none.power_w, none.fan, none.temperature_c) == (None, None, None)
    assert (none.memory_total_bytes, none.memory_used_bytes) == (None, None)
    assert (none.throttle_reasons, none.temperature_limit_c) == (None, None)
    assert (zero.mig_enabled, none.mig_enabled) == (False, None)
    assert none.power_limit_w == 700.0
    assert none.error is None


def test_what_may_not_be_read_leaves_the_rest(environment: Environment) -> None:
    (look,) = looks(
        environment,
        {
            "rc.nvmlDeviceGetMemoryInfo_v2": NO_PERMISSION,
            "rc.nvmlDeviceGetMemoryInfo": NO_PERMISSION,
            "rc.nvmlDeviceGetComputeRunningProcesses_v3": NO_PERMISSION,
        },
    )
    gpu = look.gpus[0]
    assert (gpu.memory_used_bytes, gpu.processes) == (None, ())
    assert (gpu.utilization, gpu.error) == (0.98, None)


def test_an_older_driver_is_asked_the_older_way(environment: Environment) -> None:
    missing = (
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetComputeRunningProcesses_v3",
    )
    older: dict[str, object] = {f"rc.{name}": NOT_FOUND for name in missing}
    (look,) = looks(environment, {**older, "old_throttle": 0x4, "compute_pid": os.getpid()})
    gpu = look.gpus[0]
    assert gpu.memory_used_bytes == 20_500_000_000
    assert gpu.memory_free_bytes == 59_500_000_000
    assert gpu.temperature_c == 63.0
    assert gpu.throttle_reasons == ("power limit",)
    assert [process.pid for process in gpu.processes] == [os.getpid()]


def test_a_card_in_slices_is_known(environment: Environment) -> None:
    (look,) = looks(environment, {"mig.1": 1})
    assert [gpu.mig_enabled for gpu in look.gpus] == [False, True]


@pytest.mark.parametrize(
    "function",
    [
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetName",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
    ],
)
def test_a_lost_gpu_keeps_its_name_until_it_returns(
    environment: Environment, function: str
) -> None:
    before, lost, after = looks(environment, {}, {f"rc.{function}.1": LOST}, {})
    assert [gpu.error for gpu in before.gpus] == [None, None]
    assert lost.status is None
    assert lost.gpus[0].error is None
    gone = lost.gpus[1]
    assert (gone.index, gone.uuid, gone.name) == (1, SECOND, "NVIDIA H100 80GB HBM3")
    assert gone.error is not None
    assert gone.error.startswith("GPU is lost")
    assert (gone.memory_total_bytes, gone.utilization) == (None, None)
    assert after.gpus == before.gpus


def test_a_gpu_lost_from_the_start_is_listed_as_unknown(environment: Environment) -> None:
    (look,) = looks(environment, {"rc.nvmlDeviceGetHandleByIndex_v2.0": LOST})
    assert (look.gpus[0].uuid, look.gpus[0].name) == ("unknown-0", "GPU")
    assert look.gpus[0].error is not None
    assert look.gpus[1].error is None


def test_a_gpu_that_gives_no_reading_at_all_is_in_error(environment: Environment) -> None:
    names = (
        *("MemoryInfo_v2", "MemoryInfo", "UtilizationRates", "TemperatureV", "Temperature"),
        *("PowerUsage", "EnforcedPowerLimit", "ClockInfo", "MaxClockInfo", "FanSpeed"),
        *("CurrentClocksEventReasons", "CurrentClocksThrottleReasons", "CudaComputeCapability"),
        *("TemperatureThreshold", "MigMode"),
    )
    (look,) = looks(environment, {f"rc.nvmlDeviceGet{name}.1": 999 for name in names})
    assert look.gpus[0].error is None
    assert "no reading" in (look.gpus[1].error or "")


def test_a_card_that_is_listed_no_more_is_told_even_when_numbers_move(
    environment: Environment,
) -> None:
    _, look = looks(environment, {}, {"count": 1, "first": 1})
    assert [(gpu.index, gpu.uuid, gpu.error is None) for gpu in look.gpus] == [
        (0, FIRST, False),
        (0, SECOND, True),
    ]


def test_a_failing_driver_is_told_and_asked_again(environment: Environment) -> None:
    failed, recovered, lost, again = looks(
        environment,
        {"rc.nvmlInitWithFlags": 18},
        {},
        {"rc.nvmlDeviceGetCount_v2": UNINITIALIZED},
        {},
    )
    assert failed.gpus == ()
    assert failed.status is not None
    assert "updated under the running kernel module" in failed.status
    assert (recovered.status, len(recovered.gpus)) == (None, 2)
    assert lost.status == "NVML: Uninitialized"
    assert [(gpu.uuid, gpu.error) for gpu in lost.gpus] == [
        (FIRST, lost.status),
        (SECOND, lost.status),
    ]
    assert again.gpus == recovered.gpus


def test_a_session_lost_in_the_middle_is_opened_anew(environment: Environment) -> None:
    lost, again = looks(environment, {"rc.nvmlDeviceGetFanSpeed.1": UNINITIALIZED}, {})
    assert lost.status == "NVML: Uninitialized"
    assert (again.status, [gpu.error for gpu in again.gpus]) == (None, [None, None])


def test_a_restarted_driver_is_opened_anew(environment: Environment) -> None:
    before, lost, again = looks(environment, {}, {"session": 2}, {"session": 2})
    assert lost.status == "NVML: Uninitialized"
    assert again == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"count": 0}, "no NVIDIA GPU in this machine"),
        ({"rc.nvmlInitWithFlags": 12}, "no NVIDIA driver found"),
        ({"rc.nvmlInitWithFlags": 9}, "the NVIDIA driver is not loaded"),
        ({"rc.nvmlInitWithFlags": 4}, "no permission"),
        ({"rc.nvmlInitWithFlags": 28}, "NVML: words of the driver"),
    ],
)
def test_why_there_are_no_gpus(
    environment: Environment, settings: dict[str, object], words: str
) -> None:
    (look,) = looks(environment, settings)
    assert look.gpus == ()
    assert look.status is not None
    assert look.status.startswith(words)


def test_a_process_is_listed_once_with_its_user_and_most_memory(environment: Environment) -> None:
    both: dict[str, object] = {"compute_pid.0": os.getpid(), "graphics_pid.0": os.getpid()}
    (look,) = looks(environment, {**both, "graphics_memory.0": 1_000})
    me = psutil.Process()
    (process,) = look.gpus[0].processes
    assert (process.pid, process.memory_bytes) == (os.getpid(), 18_000_000_000)
    assert (process.user, process.command) == (me.username(), me.name())
    assert look.gpus[1].processes == ()


def test_the_memory_of_a_process_may_be_unknown(environment: Environment) -> None:
    unknown = {"compute_pid": os.getpid(), "compute_memory": 0xFFFF_FFFF_FFFF_FFFF}
    (look,) = looks(environment, {**unknown})
    assert look.gpus[0].processes[0].memory_bytes is None


def test_a_hidden_user_leaves_the_process_and_its_command(environment: Environment) -> None:
    (look,) = looks(environment, {"compute_pid": os.getpid()}, denied=("username",))
    (process,) = look.gpus[0].processes
    assert (process.pid, process.user, process.memory_bytes) == (os.getpid(), None, 18_000_000_000)
    assert process.command == psutil.Process().name()


def test_a_process_that_is_not_ours_to_see_is_listed(environment: Environment) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (look,) = looks(environment, {"compute_pid": ended.pid})
    (process,) = look.gpus[0].processes
    assert (process.pid, process.user, process.command) == (ended.pid, None, None)
    assert process.memory_bytes == 18_000_000_000


def test_a_torn_name_is_an_error_of_that_gpu_alone(environment: Environment) -> None:
    _, torn = looks(environment, {}, {"name.0": "H100\udcff"})
    assert torn.gpus[0].uuid == FIRST
    assert torn.gpus[0].name == "NVIDIA H100 80GB HBM3"
    assert torn.gpus[0].error is not None
    assert torn.gpus[1].error is None


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0, ()),
        (0x1, ()),
        (0x21, ("software thermal limit",)),
        (0x8A, ("application clocks", "hardware slowdown", "power brake")),
        (0x110, ("sync boost", "display clocks")),
    ],
)
def test_throttle_reasons_in_words(bits: int, words: tuple[str, ...]) -> None:
    assert throttle_words(bits) == words
