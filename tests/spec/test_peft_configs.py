"""A method of peft's that is passed on: what it takes is known, and what it does not is said."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tui_ft.spec import SpecError, build_spec
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.peft_configs import CANNOT, OWN_KIND, PeftTypeName, shipped


def _method(peft_type: str, **arguments: Any) -> Any:
    method = {"kind": "peft", "peft_type": peft_type, "arguments": arguments}
    values = {"model": {"name_or_path": "m"}, "data": {"train": "d"}, "method": method}
    return build_spec(values).method


def test_every_type_has_its_facts_or_its_reason() -> None:
    assert set(get_args(PeftTypeName)) == set(shipped())
    assert not set(shipped()) & (set(CANNOT) | set(OWN_KIND))


def test_arguments_go_to_peft_as_they_are() -> None:
    method = _method("loha", r=4, target_modules=["q_proj"], rank_pattern={"q_proj": 2})
    assert peft_arguments(method) == {
        "peft_type": "LOHA",
        "r": 4,
        "target_modules": ["q_proj"],
        "rank_pattern": {"q_proj": 2},
    }
    assert _method("MISS", init_weights="bat").arguments == {"init_weights": "bat"}
    assert _method("OSF", effective_rank=0.5).arguments == {"effective_rank": 0.5}


@pytest.mark.parametrize(
    ("peft_type", "arguments", "said"),
    [
        ("LOHA", {"alpa": 8}, "LOHA has no argument `alpa`; did you mean `alpha`?"),
        ("LOHA", {"zzz": 8}, "LOHA has no argument `zzz`; it takes alpha, alpha_pattern,"),
        ("LOHA", {"r": "eight"}, "`r` of LOHA is 'eight'; allowed: a whole number"),
        ("LOHA", {"r": True}, "`r` of LOHA is True; allowed: a whole number"),
        ("LOHA", {"r": 2.5}, "`r` of LOHA is 2.5; allowed: a whole number"),
        ("LOHA", {"task_type": "CAUSAL_LM"}, "`task_type` is set by ftui itself: leave it out"),
        ("MISS", {"init_weights": "bad"}, "allowed: bat, mini, true or false"),
        ("TRAINABLE_TOKENS", {}, "TRAINABLE_TOKENS needs `token_indices`: the numbers of the"),
        ("LORA", {}, "LORA is method.kind lora here"),
        ("POLY", {}, "POLY cannot be trained here: it asks for the number of a task"),
        ("XLORA", {}, "XLORA cannot be trained here: it mixes LoRA adapters"),
        ("LOHAA", {}, "allowed: ADAMSS, "),
    ],
)
def test_a_fault_is_said_before_anything_is_loaded(
    peft_type: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        _method(peft_type, **arguments)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert problem.key in ("method.arguments", "method.peft_type")
