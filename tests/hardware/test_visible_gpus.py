from __future__ import annotations

import pytest

from tui_ft.hardware import Gpu, visible_gpus

GPUS = tuple(
    Gpu(index, uuid, "H100") for index, uuid in enumerate(("GPU-aa10", "GPU-aa20", "GPU-bb30"))
)


def test_a_card_that_is_gone_does_not_hide_the_one_that_has_its_number() -> None:
    gone = Gpu(0, "GPU-aa10", "H100", error="not listed any more")
    there = Gpu(0, "GPU-aa20", "H100")
    assert visible_gpus((gone, there), {"CUDA_VISIBLE_DEVICES": "0"}) == (there,)
    assert visible_gpus((gone,), {"CUDA_VISIBLE_DEVICES": "0"}) == (gone,)


def test_without_the_variable_all_are_visible() -> None:
    assert visible_gpus(GPUS, {}) == GPUS


@pytest.mark.parametrize(
    ("setting", "indices"),
    [
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("+1", [1]),
        ("1x,2y", [1, 2]),
        ("GPU-bb", [2]),
        ("GPU-bb30,GPU-aa1", [2, 0]),
        # ambiguous, unknown, or no GPU: the list ends there
        ("GPU-aa", []),
        ("GPU-bb,GPU-cc,GPU-aa1", [2]),
        ("0,7,1", [0]),
        ("1,-1,2", [1]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("MIG-aa10", []),
        # twice the same: none at all
        ("0,1,0", []),
        ("GPU-bb,GPU-bb30", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(setting: str, indices: list[int]) -> None:
    visible = visible_gpus(GPUS, {"CUDA_VISIBLE_DEVICES": setting})
    assert [gpu.index for gpu in visible] == indices
