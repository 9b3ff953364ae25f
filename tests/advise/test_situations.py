"""The table of situations, each row by itself, and the table as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.advise.given import Arithmetic, load_table, situation_of
from tui_ft.advise.advice import Advice
from tui_ft.advise.tree import advise

TABLE = load_table()


def _advice(row: dict[str, Any]) -> Advice:
    answers = {name: _as_choice(choice) for name, choice in row["given"].get("answers", {}).items()}
    return advise(situation_of(row["given"]), answers, estimator=Arithmetic())


def _run_values(advice: Advice) -> dict[str, Any]:
    assert advice.run is not None, advice.no_run
    return _flat("", advice.run.model_dump(mode="json"))


def _flat(at: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return every value by its dotted key, groups among them."""
    found = {f"{at}{key}": value for key, value in values.items()}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(f"{at}{key}.", value)
    return found


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["name"])
def test_the_advice_is_the_guides(row: dict[str, Any]) -> None:
    expected, advice = row["expect"], _advice(row)
    for name in ("approach", "objective", "method"):
        if name in expected:
            assert getattr(advice, name) == expected[name], [t.reason for t in advice.path]
    if expected.get("no_run"):
        assert advice.run is None
        assert advice.no_run
    for key, value in expected.get("run", {}).items():
        assert _run_values(advice)[key] == value, key
    for node, choice in expected.get("path", {}).items():
        taken = advice.taken(node)
        assert taken is not None
        assert taken.choice == _as_choice(choice)
    _check_stages(advice, expected)
    for node, how in expected.get("how", {}).items():
        taken = advice.taken(node)
        assert taken is not None
        assert taken.how == how
    said = {caution.id for caution in advice.cautions}
    assert set(expected.get("warnings", [])) <= said
    assert not set(expected.get("silent", [])) & said
    fits = {one.way: one.fit for one in advice.candidates}
    assert {fits[way] for way in expected.get("fits", [])} <= {"fits"}
    assert {fits[way] for way in expected.get("unfit", [])} <= {"no"}
    if "effective_batch" in expected:
        training = _run_values(advice)
        rows = training["training.per_device_train_batch_size"]
        passes = training["training.gradient_accumulation_steps"]
        gpus = training["hardware.num_gpus"] or 1
        assert rows * passes * gpus == expected["effective_batch"]


def _as_choice(said: object) -> str:
    """Return an answer as nodes write it: YAML reads `yes` and `no` as truths."""
    return {True: "yes", False: "no"}[said] if isinstance(said, bool) else str(said)


def _check_stages(advice: Advice, expected: dict[str, Any]) -> None:
    """Compare the stages, what only a person can fill in, and rewards, as far as they are named."""
    runs = {phase.objective: phase.run for phase in advice.phases}
    if "chain" in expected:
        assert list(runs) == expected["chain"]
        assert bool(advice.chain) == (len(runs) > 1)
    if "fill" in expected:
        assert list(advice.fill) == expected["fill"]
    for kind, values in expected.get("stages", {}).items():
        run = runs[kind]
        assert run is not None
        found = _flat("", run.model_dump(mode="json"))
        assert {key: found[key] for key in values} == values
    rewards = dict(expected.get("stage_rewards", {}))
    if "rewards" in expected:
        rewards[advice.phases[-1].objective] = expected["rewards"]
    for kind, wanted in rewards.items():
        run = runs[kind]
        assert run is not None
        given = run.model_dump(mode="json")["objective"]["rewards"]
        for reward, values in zip(given, wanted, strict=True):
            assert {key: reward[key] for key in values} == values


def test_every_situation_names_its_reason_and_source() -> None:
    assert len(TABLE) >= 60
    assert len({row["name"] for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert set(row) == {"name", "given", "expect", "because", "source"}, row["name"]
        assert row["because"].endswith((".", "?", ")"))


def test_the_situations_reach_every_approach_and_objective() -> None:
    found = [_advice(row) for row in TABLE]
    assert {advice.approach for advice in found} == {
        *("prompting", "few_shot", "prompt_optimization", "rag", "sft", "sft_then_rag"),
        *("preference", "rl", "continued_pretraining", "full_training", "gather_data"),
    }
    assert {advice.objective for advice in found} >= {
        *("sft", "sft_then_dpo", "dpo", "kto", "grpo", "pretraining", "classification"),
        *("sft_then_grpo", "rloo", "reward_then_rloo", "sft_then_reward_then_rloo"),
    }
    assert {advice.method for advice in found} >= {
        *("full", "lora", "qlora", "full_ddp", "full_fsdp", "lora_ddp", "lora_fsdp"),
        *("qlora_ddp", "qlora_fsdp", "smaller"),
    }
