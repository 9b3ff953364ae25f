from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_ft.hardware.snapshot import Gpu, GpuProcess, Host
from tui_ft.widgets.gpu_rows import (
    GpuRow,
    compact_lines,
    detail_lines,
    host_line,
    short_name,
    usage,
)

H100 = "NVIDIA H100 80GB HBM3"
GB = 1_000_000_000
GIB = 1 << 30
BUSY = GpuRow(
    Gpu(
        0,
        "GPU-0",
        H100,
        memory_total_bytes=int(79.6 * GIB),
        memory_used_bytes=int(61.2 * GIB),
        utilization=0.98,
        power_w=412.3,
        power_limit_w=700.0,
        temperature_c=64.0,
        sm_clock_mhz=1980,
        throttle_reasons=(),
    ),
    label="support-qlora",
    predicted_bytes=70.0 * GIB,
)
IDLE = GpuRow(
    Gpu(
        1,
        "GPU-1",
        H100,
        memory_total_bytes=int(79.6 * GIB),
        memory_used_bytes=int(0.4 * GIB),
        utilization=0.0,
        power_w=71.0,
        temperature_c=34.0,
    )
)
LOST = GpuRow(Gpu(1, "GPU-1", H100, error="GPU is lost: see dmesg"))
UNKNOWN = GpuRow(Gpu(2, "GPU-2", "Tesla T4"))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 NVL", "H100"),
        ("GPU", "GPU"),
    ],
)
def test_a_short_name_keeps_what_tells_gpus_apart(name: str, short: str) -> None:
    assert short_name(name) == short


def test_a_line_of_80_cells_says_everything() -> None:
    (line,) = compact_lines([BUSY], 80, ascii=False)
    assert line.plain.split() == [
        "0", "H100", "█████████▎░", "61.2/79.6", "GiB", "98", "%", "412", "W", "64", "°C",
        "support-qlora",
    ]  # fmt: skip


def test_a_line_of_38_cells_keeps_memory_and_busy() -> None:
    (line,) = compact_lines([BUSY], 38, ascii=False)
    assert line.plain.split() == ["0", "████████▌░", "61.2/79.6", "GiB", "98", "%"]


def test_numbers_stand_under_each_other() -> None:
    for width in (38, 50, 60, 80, 120, 200):
        first, second, third = (
            line.plain for line in compact_lines([BUSY, IDLE, UNKNOWN], width, ascii=False)
        )
        for unit in ("GiB", "%"):
            assert first.index(unit) == second.index(unit)
        assert third.index("n/a") == first.index("█")


def test_what_is_not_available_is_not_zero() -> None:
    for line in compact_lines([UNKNOWN], 80) + detail_lines(UNKNOWN, 60):
        assert "n/a" in line.plain
        assert "0 " not in line.plain


def test_an_error_stands_in_the_place_of_the_figures() -> None:
    lines = compact_lines([BUSY, LOST], 80, ascii=False)
    assert lines[1].plain.startswith(" 1 H100      ✖ GPU is lost: see dmesg")
    assert detail_lines(LOST, 60, ascii=True)[0].plain.startswith("x GPU is lost")


def test_details_show_prediction_limits_and_throttling() -> None:
    shown = [line.plain.rstrip() for line in detail_lines(BUSY, 50, ascii=False)]
    assert shown[0].endswith("61.2/79.6 GiB")
    assert "░" in shown[0]
    assert shown[1].strip() == "predicted peak 70.0 GiB"
    assert shown[3].endswith("412/700 W")
    assert shown[4] == "64 °C   1,980 MHz   no throttling"
    gpu = Gpu(0, "GPU-0", "T4", temperature_c=91.0, sm_clock_mhz=300)
    hot = GpuRow(replace(gpu, throttle_reasons=("heat", "power cap")))
    narrow = [line.plain.rstrip() for line in detail_lines(hot, 38, ascii=False)]
    assert narrow[-1] == "▲ slowed by heat, power cap"
    assert narrow[-2] == "91 °C   300 MHz"


def test_the_host_line_drops_the_least_important() -> None:
    host = Host(
        "gpu01",
        cpu_utilization=0.12,
        memory_total_bytes=128 * GIB,
        memory_used_bytes=41 * GIB,
        disk_free_bytes=1200 * GB,
    )
    assert host_line(host, 80).plain.rstrip().split("   ") == [
        " host cpu  12 %",
        "memory 41.0/128.0 GiB",
        "disk 1.20 TB free",
    ]
    assert "disk" not in host_line(host, 38).plain
    assert "memory" in host_line(host, 38).plain
    assert host_line(Host("gpu01"), 80).plain.split()[:5] == ["host", "cpu", "n/a", "memory", "n/a"]


def test_who_uses_a_gpu_is_told_from_its_processes() -> None:
    assert usage(IDLE.gpu) == "free"
    assert usage(UNKNOWN.gpu) == ""
    shared = (GpuProcess(1, "bob", GIB, "python"), GpuProcess(2, "anna", GIB, "python"))
    assert usage(replace(BUSY.gpu, processes=shared)) == "anna, bob python"
    assert usage(replace(IDLE.gpu, processes=(GpuProcess(3),))) == "someone"
    assert compact_lines([IDLE], 80)[0].plain.rstrip().endswith("free")


def test_foreign_text_in_names_and_labels_is_harmless() -> None:
    evil = GpuRow(Gpu(0, "GPU-0", "\x1b[2JT4"), label="[red]run\x1b[31m")
    (line,) = compact_lines([evil], 100)
    assert "\x1b" not in line.plain
    assert "[red]run" in line.plain


amount = st.one_of(st.none(), st.integers(0, 10**13))
reading = st.one_of(st.none(), st.floats(0, 1500))


@settings(max_examples=60)
@given(
    gpu=st.builds(
        Gpu,
        index=st.integers(0, 15),
        uuid=st.just("GPU-0"),
        name=st.text(max_size=40),
        memory_total_bytes=amount,
        memory_used_bytes=amount,
        utilization=st.one_of(st.none(), st.floats(0, 1)),
        power_w=reading,
        power_limit_w=reading,
        temperature_c=reading,
        sm_clock_mhz=st.one_of(st.none(), st.integers(0, 4000)),
        throttle_reasons=st.one_of(st.none(), st.just(()), st.just(("heat", "power cap"))),
        error=st.one_of(st.none(), st.text(min_size=1, max_size=80)),
    ),
    label=st.text(max_size=60),
    predicted=amount,
    width=st.integers(38, 200),
    ascii=st.booleans(),
)
def test_lines_are_always_as_wide_as_the_panel(
    gpu: Gpu, label: str, predicted: int | None, width: int, ascii: bool
) -> None:
    row = GpuRow(gpu, label, predicted)
    for line in compact_lines([row], width, ascii=ascii) + detail_lines(row, width, ascii=ascii):
        assert line.cell_length == width
    host = Host("gpu01", None, gpu.utilization, memory_used_bytes=predicted)
    assert host_line(host, width).cell_length == width
