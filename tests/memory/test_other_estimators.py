"""The bench beside other estimators: a tool that fails is an answer, in words, for each case."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.bench_others import cases
from benchmarks.other_estimators import Said

ROOT = Path(__file__).parents[2]


def test_the_others_are_asked_what_ftui_is_asked() -> None:
    small, _, lora, full, qlora = (case.asked for case in cases())
    assert (small.parameters, small.rank, small.targets) == (3_212_749_824, 32, "attention")
    assert not small.checkpointing
    assert (lora.parameters, lora.rank, lora.targets) == (8_030_261_248, 16, "all_linear")
    assert (full.rank, qlora.method, qlora.batch, qlora.length) == (0, "qlora", 4, 2048)
    assert full.checkpointing


@pytest.mark.parametrize(
    ("tool", "why"),
    [("ftuneai", "ModuleNotFoundError"), ("gpu-estimator", "FileNotFoundError")],
)
def test_a_tool_that_is_not_there_is_said_to_fail(tool: str, why: str) -> None:
    asked = [case.asked for case in cases() if case.asked.method == "full"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.other_estimators", tool],
        input=msgspec.json.encode(asked),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    said = msgspec.json.decode(done.stdout, type=list[Said])
    assert [one.case for one in said] == [one.name for one in asked]
    assert all(one.gib is None and one.why.startswith(why) for one in said)
