from __future__ import annotations

import pytest

from tui_ft.hardware import Gpu, Host, Snapshot
from tui_ft.hardware.nvml import NO_DRIVER
from tui_ft.runs.folder import RunError
from tui_ft.runs.gpu_choice import choose
from tui_ft.spec.run_spec import HardwareSpec

SMALL = Gpu(index=0, uuid="GPU-a", name="H100", memory_free_bytes=1)
LARGE = Gpu(index=1, uuid="GPU-b", name="H100", memory_free_bytes=2)
LOST = Gpu(index=2, uuid="GPU-c", name="H100", error="GPU is lost")


def _snapshot(*gpus: Gpu) -> Snapshot:
    return Snapshot(0.0, Host("gpu01"), gpus, None if gpus else NO_DRIVER)


@pytest.fixture(autouse=True)
def no_restriction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_auto_prefers_the_gpu_with_most_free_memory_and_shuns_lost_ones() -> None:
    choice = choose(HardwareSpec(gpus="auto"), _snapshot(SMALL, LARGE, LOST))
    assert (choice.wanted, choice.usable) == ((), ("GPU-b", "GPU-a"))
    assert choice.needs_gpu


def test_auto_keeps_to_what_the_scheduler_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert choose(HardwareSpec(gpus="auto"), _snapshot(SMALL, LARGE)).usable == ("GPU-a",)


def test_auto_without_gpus_and_none_mean_the_cpu() -> None:
    assert not choose(HardwareSpec(gpus="auto"), _snapshot()).needs_gpu
    assert not choose(HardwareSpec(gpus="none"), _snapshot(LARGE)).needs_gpu


def test_auto_does_not_take_the_cpu_in_silence_when_the_gpus_are_broken() -> None:
    with pytest.raises(RunError, match=r"no GPU can be used: GPU 2: GPU is lost.*gpus: none"):
        choose(HardwareSpec(gpus="auto"), _snapshot(LOST))
    broken = Snapshot(0.0, Host("gpu01"), (), "the driver was updated: reboot")
    with pytest.raises(RunError, match="the driver was updated"):
        choose(HardwareSpec(gpus="auto"), broken)
    assert not choose(HardwareSpec(gpus="none"), broken).needs_gpu


def test_numbers_are_taken_as_they_stand() -> None:
    choice = choose(HardwareSpec(gpus=[1, 0]), _snapshot(SMALL, LARGE))
    assert choice.wanted == ("GPU-b", "GPU-a")
    assert choice.names(choice.wanted) == "GPUs 1, 0"
    assert choice.gpus(["GPU-a"]) == (SMALL,)


def test_a_gpu_that_is_not_there_or_lost_is_refused_with_what_is() -> None:
    with pytest.raises(RunError, match=r"GPU 7 is not in this machine \(there: 0, 1\)"):
        choose(HardwareSpec(gpus=[7]), _snapshot(SMALL, LARGE))
    with pytest.raises(RunError, match="no NVIDIA driver found"):
        choose(HardwareSpec(gpus=[0]), _snapshot())
    with pytest.raises(RunError, match="GPU is lost"):
        choose(HardwareSpec(gpus=[2]), _snapshot(SMALL, LARGE, LOST))


def test_several_of_any_are_those_with_most_free_memory() -> None:
    third = Gpu(index=3, uuid="GPU-d", name="H100", memory_free_bytes=3)
    choice = choose(HardwareSpec(num_gpus=2), _snapshot(SMALL, LARGE, third))
    assert (choice.count, choice.usable) == (2, ("GPU-d", "GPU-b", "GPU-a"))
    assert choice.now == (third, LARGE)


def test_a_run_that_is_spread_takes_all_there_are_when_it_names_no_number() -> None:
    spread = HardwareSpec.model_validate({"distributed": {"kind": "fsdp"}})
    assert choose(spread, _snapshot(SMALL, LARGE, LOST)).count == 2


@pytest.mark.parametrize("gpus", [(), (SMALL,), (SMALL, LOST)])
def test_a_run_on_several_is_not_made_one_on_fewer_in_silence(gpus: tuple[Gpu, ...]) -> None:
    for values in ({"num_gpus": 2}, {"distributed": {"kind": "ddp"}}):
        with pytest.raises(RunError, match="takes 2 GPUs or more") as caught:
            choose(HardwareSpec.model_validate(values), _snapshot(*gpus))
        assert "cpu_processes" in str(caught.value)
