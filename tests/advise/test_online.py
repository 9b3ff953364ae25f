"""Runs that learn from rewards of their own answers: groups, parts, time, chains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.advise.given import CONFIGS, Arithmetic, situation_of
from tui_ft.advise.advice import Advice
from tui_ft.advise.decoding import decoding
from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.facts import asked_gpus
from tui_ft.advise.online import signal_share
from tui_ft.advise.timing import seconds_of
from tui_ft.advise.tree import advise
from tui_ft.advise.writing.explained_yaml import explained_yaml
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.step import Step
from tui_ft.models import architecture_of
from tui_ft.spec import RunSpec, build_spec
from tui_ft.spec.chain import load_chain
from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.online import GrpoObjective
from tui_ft.spec.problems import SpecError
from tui_ft.spec.trainer_arguments import plan_schedule

SUMS = {"goal": "reasoning", "model": "llama-8b-chat", "gpus": 24, "data": "math-7k"}


def _advise(answers: dict[str, str] | None = None, **given: object) -> Advice:
    return advise(situation_of({**SUMS, **given}), answers, estimator=Arithmetic())


def _run(advice: Advice) -> RunSpec:
    assert advice.run is not None, advice.no_run
    return advice.run


def test_prompts_teach_where_their_answers_differ() -> None:
    assert signal_share(0.5, 2) == pytest.approx(0.5)
    assert signal_share(0.05, 8) == pytest.approx(1 - 0.95**8 - 0.05**8)
    assert signal_share(0.0, 8) == signal_share(1.0, 8) == 0.0


@pytest.mark.parametrize("gpus", ["1x24", "2x24", "3x24", "5x24", "8x24"])
@pytest.mark.parametrize("group", ["2", "3", "8", "24"])
def test_the_answers_to_a_prompt_stay_together(gpus: str, group: str) -> None:
    run = _run(_advise({"group": group}, gpus=gpus, model="qwen-1.5b-chat"))
    assert impossible(run) == ()
    asked, training = run.objective, run.training
    assert isinstance(asked, GrpoObjective)
    processes = run.hardware.processes or 1
    batches = asked.steps_per_generation or training.gradient_accumulation_steps
    assert training.per_device_train_batch_size * batches * processes % int(group) == 0


def test_answers_come_in_parts_where_their_cache_does_not_fit() -> None:
    """15 GiB of weights and 8 GiB of keys and values do not go into 23.5 GiB with the rest."""
    small, large = _advise(), _advise(gpus=80)
    for advice, parts in ((small, 2), (large, 1)):
        run = _run(advice)
        assert isinstance(run.objective, GrpoObjective)
        batches = run.training.gradient_accumulation_steps
        assert batches / (run.objective.steps_per_generation or batches) == parts
        chosen = advice.candidate
        assert chosen is not None
        assert (chosen.way, chosen.fit) == ("lora", "fits")


def test_a_batch_that_a_person_sets_keeps_groups_whole() -> None:
    run = _run(_advise({"batch": "6"}))
    assert impossible(run) == ()
    assert run.training.per_device_train_batch_size == 6


def test_an_epoch_of_thousands_of_prompts_is_cut_to_some_hundred_steps() -> None:
    assert _run(_advise()).training.num_train_epochs == 0.57  # 500 steps of 8 prompts of 7,000
    assert _run(_advise(data="math-1k")).training.num_train_epochs == 1.0


def test_what_is_answered_for_all_stages_and_what_for_the_first() -> None:
    advice = _advise({"rank": "64", "batch": "2", "learning_rate": "3e-05"}, model="llama-8b")
    sft, grpo = (phase.run for phase in advice.phases)
    assert sft is not None
    assert grpo is not None
    assert sft.method.model_dump()["r"] == grpo.method.model_dump()["r"] == 64
    assert (sft.training.learning_rate, grpo.training.learning_rate) == (3e-5, 1e-5)
    assert sft.training.per_device_train_batch_size == 2
    assert grpo.training.per_device_train_batch_size > 2


def test_a_stage_that_fits_nothing_is_said() -> None:
    """In 4 bits 70B can be trained on 80 GB; with a reward model beside it, it cannot."""
    said = {"goal": "preference", "model": "llama-70b-chat", "data": "pairs-20k", "gpus": 80}
    advice = _advise({"on_policy": "yes"}, **said)
    assert advice.run is None
    assert advice.no_run == "the stage rloo fits no GPU here: take a smaller model"
    assert [phase.method for phase in advice.phases] == ["qlora", "smaller"]


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        ({"model": "llama-8b"}, {}),
        ({"goal": "preference", "model": "llama-8b", "data": "pairs-20k"}, {"on_policy": "yes"}),
        ({"goal": "preference", "model": "llama-8b", "data": "judged-5k"}, {}),
        ({"data": "pairs-5k", "goal": "preference"}, {"objective": "sft_then_reward_then_ppo"}),
    ],
)
def test_the_chain_is_read_back_as_it_was_advised(
    tmp_path: Path, given: dict[str, Any], answers: dict[str, str]
) -> None:
    advice = _advise(answers, **{"gpus": 80, **given})
    assert advice.chain
    file = tmp_path / "chain.yaml"
    file.write_text(explained_yaml(advice))
    assert [(one.name, one.run) for one in load_chain(file).stages] == [
        (phase.objective, phase.run) for phase in advice.phases
    ]
    said = file.read_text()
    assert max(map(len, said.splitlines())) <= 100
    assert "# Stage 2: " in said
    assert " GiB expected (" in said


def test_what_a_person_has_to_fill_in_is_refused_until_then(tmp_path: Path) -> None:
    advice = _advise(data="tests-3k", model="llama-8b-chat", gpus=80)
    assert advice.fill == ("objective.rewards",)
    said = explained_yaml(advice)
    assert "# FILL IN: one of these" in said
    from tui_ft.spec import load_spec

    file = tmp_path / "run.yaml"
    file.write_text(said)
    with pytest.raises(SpecError, match=r"objective\.rewards"):
        load_spec(file)


def _step(**changes: object) -> Step:
    values = {
        "model": {"name_or_path": "m"},
        "data": {"train": "d"},
        "objective": {"kind": "grpo", "rewards": [{"kind": "exact_match"}]},
        "training": {"per_device_train_batch_size": 8, "max_length": 1024},
    }
    return msgspec.structs.replace(step_of(build_spec(values), CONFIGS["llama-8b"]), **changes)


def test_a_token_waits_for_kernels_or_for_the_memory() -> None:
    model = architecture_of(CONFIGS["llama-8b"])
    fast = decoding(_step(), model, "NVIDIA H100 80GB HBM3")
    slow = decoding(_step(), model, "Tesla T4")
    assert fast is not None
    assert slow is not None
    assert fast.expected == pytest.approx(32 * 1.5e-3)  # of each layer
    cache = 8 * 131_072 * 768  # 8 answers, half way; 128 KiB a token
    assert slow.expected == pytest.approx((2 * 8.03e9 + cache) / 320e9 / 0.6, rel=0.01)
    assert slow.low < slow.expected < slow.high
    assert decoding(_step(), model, "some card") is None


def test_time_is_that_of_the_answers_and_of_learning_from_them() -> None:
    """80 answers, 8 at once: ten times 512 tokens, each 48 ms."""
    model = architecture_of(CONFIGS["llama-8b"])
    (gpu,) = asked_gpus("80")
    work = Work(step=_step(), passes=10, mean_length=1024, gpu=gpu, answers=80)
    found = seconds_of(work, model, trained=0)
    assert isinstance(found, Seconds)
    answering = 10 * 512 * 32 * 1.5e-3
    learning = 10 * 8 * 1024 * 6 * 7.64e9 / (0.3 * 989e12)  # forward, again, backward
    assert found.expected == pytest.approx(answering + learning, rel=0.01)
    held = msgspec.structs.replace(work, step=_step(beta=0.04))
    longer = seconds_of(held, model, trained=0)
    assert isinstance(longer, Seconds)
    assert longer.expected > found.expected  # the reference looks at every answer too


def test_the_name_of_a_chain_ends_with_a_whole_word() -> None:
    situation = situation_of({"goal": "preference", "model": "llama-8b-chat", "gpus": 80,
                              "data": "pairs-5k"})  # fmt: skip
    assert situation.model is not None
    assert situation.data is not None
    situation = msgspec.structs.replace(
        situation,
        model=msgspec.structs.replace(situation.model, name="x/Llama-3.1-8B-Instruct"),
        data=msgspec.structs.replace(situation.data, path="/data/dpo_zh_demo.json"),
    )
    advice = advise(situation, {"on_policy": "yes"}, estimator=Arithmetic())
    assert advice.chain == "Llama-3.1-8B-Instruct-dpo_zh"


def test_few_prompts_are_watched_by_their_reward() -> None:
    few = {one.id: one.text for one in _advise(data="math-500").cautions}["few-rows"]
    assert "held-out reward" in few


@pytest.mark.parametrize("answers", [{}, {"objective": "ppo"}, {"objective": "rloo"}])
def test_no_field_of_the_run_does_nothing(answers: dict[str, str]) -> None:
    notes: list[str] = []
    plan_schedule(_run(_advise(answers)).training, True, notes.append)
    assert notes == []


def test_the_rate_of_ppo_names_its_own_source() -> None:
    said = {"goal": "preference", "data": "prompts-5k", "reward": "r", "gpus": 80}
    advice = _advise({"objective": "ppo", "method": "full"}, model="qwen-1.5b-chat", **said)
    rate = advice.taken("learning_rate")
    assert rate is not None
    assert "2403.17031" in rate.source
    assert "GRPO" not in rate.source


def test_the_size_of_a_step_says_what_it_follows_from() -> None:
    one, eight = (_advise(gpus=gpus).taken("effective_batch") for gpus in ("80", "8x80"))
    assert one is not None
    assert eight is not None
    assert "8 prompts of 8 answers, 64 a GPU" in one.reason
    assert "64 prompts of 8 answers over 8 GPUs" in eight.reason
