"""Each objective's fields: what may be left out, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tui_ft.runs.checks.learning_rates import dear_divergence, far_learning_rate
from tui_ft.spec import RunSpec, SpecError, build_spec, find_presets
from tui_ft.spec.objectives import DpoObjective, SftObjective

LEAST: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}


def _run(objective: dict[str, Any], **groups: Any) -> RunSpec:
    return build_spec({**LEAST, "objective": objective, **groups})


@pytest.mark.parametrize(
    "values", [{}, {"objective": {}}, {"objective": {"loss_on": "all"}}], ids=str
)
def test_a_file_from_before_there_were_others_means_sft(values: dict[str, Any]) -> None:
    objective = build_spec({**LEAST, **values}).objective
    expected = values.get("objective", {}).get("loss_on", "assistant")
    assert objective == SftObjective(loss_on=expected)


def test_an_override_of_one_field_keeps_the_kind_that_is_there() -> None:
    spec = build_spec({**LEAST, "objective": {"kind": "dpo"}}, ["objective.beta=0.3"])
    assert spec.objective == DpoObjective(beta=0.3)
    assert build_spec(LEAST, ["objective.loss_on=all"]).objective == SftObjective(loss_on="all")


@pytest.mark.parametrize(
    ("objective", "groups", "said"),
    [
        ({"kind": "dpp"}, {}, "unknown kind `dpp`"),
        ({"kind": "sft", "beta": 1}, {}, "objective.beta: is no key of the kind `sft`"),
        ({"kind": "dpo", "loss_type": "sigmoyd"}, {}, "objective.loss_type: is 'sigmoyd'"),
        ({"kind": "dpo", "beta": 0}, {}, "objective.beta"),
        (
            {"kind": "dpo", "loss_type": ["sigmoid", "sft"], "loss_weights": [1]},
            {},
            "1 weights for 2 losses",
        ),
        (
            {"kind": "dpo", "loss_type": ["sigmoid", "sft"], "loss_weights": [0, 0]},
            {},
            "all are 0",
        ),
        ({"kind": "dpo", "loss_type": "exo_pair"}, {}, "label_smoothing above 0"),
        ({"kind": "dpo", "loss_type": "aot", "use_weighting": True}, {}, "does not go with aot"),
        (
            {"kind": "dpo", "reference_free": True, "f_divergence_type": "forward_kl"},
            {},
            "nothing for f_divergence_type",
        ),
        (
            {"kind": "dpo", "reference_free": True, "precompute_ref_log_probs": True},
            {},
            "nothing for precompute_ref_log_probs",
        ),
        (
            {"kind": "ppo", "rewards": [{"kind": "length", "most": 8}], "init_kl_coef": 0},
            {},
            "init_kl_coef 0 cannot adapt",
        ),
        ({"kind": "ppo"}, {}, "objective.rewards"),
        (
            {"kind": "ppo", "rewards": [{"kind": "length", "most": 8}], "gamma": 1.1},
            {},
            "objective.gamma",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(
    objective: dict[str, Any], groups: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        _run(objective, **groups)
    assert said in str(caught.value)


def test_the_default_rate_is_said_to_be_far_where_the_objective_wants_less() -> None:
    assert far_learning_rate(build_spec(LEAST)) is None
    for kind in ("dpo", "kto", "orpo", "cpo"):
        said, advice = far_learning_rate(_run({"kind": kind})) or ("", "")
        assert "0.0002 (the default, as the run names none)" in said
        assert advice == "set training.learning_rate to 5e-05 or less"
    named = _run({"kind": "dpo"}, training={"learning_rate": 2e-4})
    assert "the default" not in (far_learning_rate(named) or ("",))[0]


@pytest.mark.parametrize(
    ("kind", "method", "rate", "far"),
    [
        ("dpo", "lora", 5e-5, False),
        ("dpo", "full", 1e-6, False),
        ("dpo", "full", 5e-5, True),
        ("dpo", "lora", 1e-8, True),
        ("reward", "full", 1e-5, False),
        ("ppo", "lora", 1.41e-5, False),
        ("ppo", "full", 1e-4, True),
        ("sft", "full", 2e-4, True),
        ("sft", "qlora", 1e-3, False),
    ],
)
def test_which_rates_are_far(kind: str, method: str, rate: float, far: bool) -> None:
    groups = {"method": {"kind": method}, "training": {"learning_rate": rate}}
    objective: dict[str, Any] = {"kind": kind}
    if kind == "ppo":
        objective["rewards"] = [{"kind": "length", "most": 8}]
    assert (far_learning_rate(_run(objective, **groups)) is not None) is far


@pytest.mark.parametrize(
    ("objective", "method", "said"),
    [
        ({"kind": "ppo"}, "prompt_tuning", "objective.init_kl_coef 0.2 is dear"),
        ({"kind": "rloo"}, "prefix_tuning", "objective.beta 0.05 is dear"),
        ({"kind": "grpo"}, "p_tuning", ""),  # which asks for none
        ({"kind": "ppo", "init_kl_coef": 0.002}, "p_tuning", ""),
        ({"kind": "ppo"}, "lora", ""),
        ({"kind": "dpo"}, "prompt_tuning", ""),
    ],
)
def test_a_price_of_kl_that_learned_tokens_cannot_pay_is_told(
    objective: dict[str, Any], method: str, said: str
) -> None:
    if objective["kind"] != "dpo":
        objective = {**objective, "rewards": [{"kind": "length", "most": 8}]}
    found, _ = dear_divergence(_run(objective, method={"kind": method})) or ("", "")
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_no_packaged_preset_has_a_rate_that_is_far() -> None:
    for preset in find_presets().values():
        spec = preset.build(["model.name_or_path=m", f"data.train={Path('d.jsonl')}"])
        assert far_learning_rate(spec) is None, preset.name
