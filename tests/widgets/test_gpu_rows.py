from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_ft.widgets.gpu_rows import (
    GpuRow,
    HostRow,
    compact_lines,
    detail_lines,
    host_line,
    short_name,
)

BUSY = GpuRow(
    index=0,
    name="NVIDIA H100 80GB HBM3",
    used=61.2e9,
    total=79.6e9,
    predicted=70e9,
    busy=0.98,
    power=412,
    power_limit=700,
    temperature=64,
    clock=1980,
    throttling=(),
    label="support-qlora",
)
LOST = GpuRow(index=1, name="NVIDIA H100 80GB HBM3", error="GPU is lost: see dmesg")
UNKNOWN = GpuRow(index=2, name="Tesla T4")


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
        "0", "H100", "██████████░░", "61.2/79.6", "GB", "98", "%", "412", "W", "64", "°C",
        "support-qlora",
    ]  # fmt: skip


def test_a_line_of_38_cells_keeps_memory_and_busy() -> None:
    (line,) = compact_lines([BUSY], 38, ascii=False)
    assert line.plain.split() == ["0", "██████████░░", "61.2/79.6", "GB", "98", "%"]


def test_numbers_stand_under_each_other() -> None:
    idle = GpuRow(1, "NVIDIA H100 80GB HBM3", 4e8, 79.6e9, None, 0.0, 71, 700, 34, 210, (), "free")
    for width in (38, 50, 60, 80, 120, 200):
        first, second, third = (
            line.plain for line in compact_lines([BUSY, idle, UNKNOWN], width, ascii=False)
        )
        for unit in ("GB", "%"):
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
    assert shown[0].endswith("61.2/79.6 GB")
    assert "░" in shown[0]
    assert shown[1].strip() == "predicted peak 70.0 GB"
    assert shown[3].endswith("412/700 W")
    assert shown[4] == "64 °C   1,980 MHz   no throttling"
    hot = GpuRow(0, "T4", temperature=91, clock=300, throttling=("heat", "power cap"))
    narrow = [line.plain.rstrip() for line in detail_lines(hot, 38, ascii=False)]
    assert narrow[-1] == "▲ slowed by heat, power cap"
    assert narrow[-2] == "91 °C   300 MHz"


def test_the_host_line_drops_the_least_important() -> None:
    host = HostRow(0.12, 41e9, 128e9, 1.2e12)
    assert host_line(host, 80).plain.split("   ")[:3] == [
        " host cpu  12 %",
        "memory 41.0/128.0 GB",
        "disk 1.20 TB free",
    ]
    assert "disk" not in host_line(host, 38).plain
    assert "memory" in host_line(host, 38).plain
    assert "n/a" in host_line(HostRow(), 80).plain
    assert host_line(HostRow(error="psutil failed"), 40, ascii=False).plain.startswith("✖ host: ")


def test_foreign_text_in_names_and_labels_is_harmless() -> None:
    evil = GpuRow(0, "\x1b[2JT4", 1e9, 2e9, label="[red]run\x1b[31m")
    (line,) = compact_lines([evil], 100)
    assert "\x1b" not in line.plain
    assert "[red]run" in line.plain


number = st.one_of(st.none(), st.floats(0, 1e13))


@settings(max_examples=60)
@given(
    row=st.builds(
        GpuRow,
        index=st.integers(0, 15),
        name=st.text(max_size=40),
        used=number,
        total=number,
        predicted=number,
        busy=st.one_of(st.none(), st.floats(0, 1)),
        power=st.one_of(st.none(), st.floats(0, 1500)),
        power_limit=st.one_of(st.none(), st.floats(0, 1500)),
        temperature=st.one_of(st.none(), st.floats(0, 120)),
        clock=st.one_of(st.none(), st.floats(0, 4000)),
        throttling=st.one_of(st.none(), st.just(()), st.just(("heat", "power cap"))),
        label=st.text(max_size=60),
        error=st.one_of(st.none(), st.text(min_size=1, max_size=80)),
    ),
    width=st.integers(38, 200),
    ascii=st.booleans(),
)
def test_lines_are_always_as_wide_as_the_panel(row: GpuRow, width: int, ascii: bool) -> None:
    for line in compact_lines([row], width, ascii=ascii) + detail_lines(row, width, ascii=ascii):
        assert line.cell_length == width
    assert (
        host_line(HostRow(row.busy, row.used, row.total, row.predicted), width).cell_length == width
    )
