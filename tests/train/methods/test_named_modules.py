"""Names of modules that are not there: refused, or told of, where peft would say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.train.running import make_spec, make_trainer, run_worker
from tui_ft.runs import events as ev
from tui_ft.train.errors import RunFailure

LORA = {"kind": "lora", "r": 4, "lora_alpha": 8}


@pytest.mark.parametrize(
    ("named", "advice"),
    [
        ({"modules_to_save": ["lm_heads"]}, "did you mean `lm_head`?"),
        ({"modules_to_save": ["lm_head", "zzz"]}, "it has "),
        ({"kind": "ia3", "extra": {"modules_to_save": ["model.norms"]}}, "did you mean `norm`?"),
    ],
)
def test_what_was_to_be_saved_whole_and_is_not_there_is_refused(
    tmp_path: Path, tiny_llama: Path, named: dict[str, Any], advice: str
) -> None:
    method = named if "kind" in named else {**LORA, **named}
    with pytest.raises(RunFailure, match="LlamaForCausalLM has no module that is called") as caught:
        make_trainer(make_spec(tmp_path, tiny_llama, method=method), tmp_path)
    assert caught.value.advice[0].startswith(advice)


def test_of_several_targets_one_that_is_not_there_is_told_of(
    tmp_path: Path, tiny_llama: Path
) -> None:
    method = {**LORA, "target_modules": ["q_proj", "vproj"], "modules_to_save": ["lm_head"]}
    steps = {"max_steps": 1, "eval_steps": None, "save_steps": None}
    ran = run_worker(make_spec(tmp_path, tiny_llama, method=method, training=steps), tmp_path / "r")
    assert ran.ended.state == "finished", ran.ended
    told = [one.text for one in ran.of(ev.Alert) if "target_modules" in one.text]
    assert told == [
        "method.target_modules: LlamaForCausalLM has no module that is called vproj; the others "
        "are trained"
    ]


def test_what_a_configuration_is_cannot_be_passed_on(tmp_path: Path, tiny_llama: Path) -> None:
    method = {**LORA, "extra": {"inference_mode": True}}
    with pytest.raises(RunFailure, match=r"method\.extra\.inference_mode: ftui sets this itself"):
        make_trainer(make_spec(tmp_path, tiny_llama, method=method), tmp_path)
