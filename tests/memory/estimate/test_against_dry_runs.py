"""The closed form beside answers of dry runs: stored ones, and some that are made now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.memory.models import LORA, TINY
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.moments import moments_of
from tui_ft.memory.estimate.reserving import replayed_short
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step
from tui_ft.spec.norm_places import NORMS

_STORED = msgspec.json.decode(
    Path(__file__).with_name("replayed.json").read_bytes(), type=list[dict[str, Any]]
)


def _allocated(step: Step) -> int:
    return max(moment.total for moment in moments_of(model_of(step)))


@pytest.mark.parametrize("row", _STORED, ids=[row["name"] for row in _STORED])
def test_as_a_dry_run_said(row: dict[str, Any]) -> None:
    """Allocated within 5 %, reserved within 10 %; `make bench-memory` has the whole grid."""
    step = msgspec.convert(row["step"], Step)
    allocated = _allocated(step)
    assert allocated == pytest.approx(row["allocated"], rel=0.05)
    reserved, short = replayed_short(model_of(step))
    assert allocated + reserved - short == pytest.approx(row["reserved"], rel=0.10)


def test_as_dry_runs_say_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    wide = {**TINY, "hidden_size": 512, "intermediate_size": 1376}
    base: dict[str, Any] = {"config": wide, "batch": 2, "length": 512}
    steps = [
        Step(**base, weights="float32", arithmetic="bfloat16", optim="adamw_torch_fused"),
        Step(**base, adapter=LORA, arithmetic="bfloat16", checkpointing=True, padded=True),
        Step(**base, adapter={**LORA, "lora_dropout": 0.1}, objective="causal_lm"),
        # An adapter that is trained further, and is there a second time as the reference.
        Step(**base, adapter={**LORA, "r": 256}, objective="dpo", reference_adapter=True),
        # Copies of the base's modules, held in float32 beside a base in 16 bits.
        Step(**base, arithmetic="bfloat16", adapter={**LORA, "modules_to_save": ["lm_head"]}),
        Step(
            **{**base, "config": {**wide, "model_type": "qwen3", "head_dim": 64}},
            arithmetic="bfloat16",
            adapter={"peft_type": "LN_TUNING", "target_modules": NORMS},
        ),
    ]
    answers = dry_runs([Question(step=step) for step in steps])
    for step, answer in zip(steps, answers, strict=True):
        assert answer.replayed is not None, answer.error
        assert _allocated(step) == pytest.approx(answer.replayed.allocated, rel=0.05)
        moments = moments_of(model_of(step))
        for stage in ("forward", "backward", "optimizer"):
            most = max(moment.total for moment in moments if moment.stage == stage)
            assert most == pytest.approx(answer.replayed.stage_peaks[stage], rel=0.05), stage
