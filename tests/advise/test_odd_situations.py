"""Situations that are no recipe's: what somebody who does this for a living would say of them."""

from __future__ import annotations

import msgspec
import pytest

from tests.advise.given import Arithmetic, situation_of
from tui_ft.advise.advice import Advice
from tui_ft.advise.facts import asked_gpus
from tui_ft.advise.situation import Known, Situation
from tui_ft.advise.tree import advise
from tui_ft.memory.allocator import GIB
from tui_ft.memory.asked_cards import GpuError


def _advise(situation: Situation, **answers: str) -> Advice:
    return advise(situation, answers, estimator=Arithmetic())


def _with_rows(given: dict[str, object], rows: int, tokens: int | None = None) -> Situation:
    situation = situation_of(given)
    assert situation.data is not None
    data = msgspec.structs.replace(
        situation.data,
        rows=Known(rows, "measured"),
        tokens=situation.data.tokens if tokens is None else Known(rows * tokens, "measured"),
    )
    return msgspec.structs.replace(situation, data=data)


def _choice(advice: Advice, node: str) -> str:
    taken = advice.taken(node)
    assert taken is not None
    return taken.choice


def test_three_gpus_share_a_step_without_one_row_at_a_time() -> None:
    given = {"goal": "instruction", "model": "llama-8b", "gpus": "3x24", "data": "answers-5k"}
    run = _advise(situation_of(given)).run
    assert run is not None
    training = run.training
    each = training.per_device_train_batch_size * training.gradient_accumulation_steps
    assert each == 6  # 18 rows a step; 16 would leave five, which only one and five divide


def test_a_few_long_documents_are_no_examples_for_a_prompt() -> None:
    given: dict[str, object] = {"goal": "domain", "facts": "none", "model": "llama-8b"}
    given |= {"gpus": 80, "data": "answers-5k", "prompt": "fails"}
    short, long = (_with_rows(given, 200, tokens) for tokens in (300, 30_000))
    assert _choice(_advise(short), "approach") == "few_shot"
    assert _choice(_advise(long), "approach") == "sft"


def test_few_pairs_are_seen_often_enough_to_change_something() -> None:
    given: dict[str, object] = {"goal": "preference", "model": "llama-8b-chat"}
    given |= {"gpus": 24, "data": "pairs-5k"}
    few, many = (_advise(_with_rows(given, rows)) for rows in (300, 5_000))
    assert [_choice(one, "epochs") for one in (few, many)] == ["3", "1"]
    assert [_choice(one, "effective_batch") for one in (few, many)] == ["8", "16"]


def test_fifty_classes_of_twenty_rows_take_more_than_a_recipes_epochs() -> None:
    given: dict[str, object] = {"goal": "classification", "model": "bert"}
    given |= {"gpus": 16, "data": "labels-5k"}
    few, many = (_advise(_with_rows(given, rows)) for rows in (1_000, 5_000))
    assert [_choice(one, "epochs") for one in (few, many)] == ["10", "3"]


@pytest.mark.parametrize(
    ("said", "gib", "capability", "name"),
    [
        ("T4", 14.6, (7, 5), "T4"),
        ("2xT4", 14.6, (7, 5), "T4"),
        ("a100-40", 39.4, (8, 0), "A100"),
        ("A100", 79.1, (8, 0), "A100"),
        ("8xH100", 79.1, (9, 0), "H100"),
        ("2xA100-80GB", 79.1, (8, 0), "A100 80"),
        ("4 x NVIDIA A100 40GB", 39.4, (8, 0), "A100 40"),
        ("RTX 4090", 23.5, (8, 9), "RTX 4090"),
        ("v100", 31.7, (7, 0), "V100"),
    ],
)
def test_cards_can_be_named(said: str, gib: float, capability: tuple[int, int], name: str) -> None:
    gpus = asked_gpus(said)
    assert len(gpus) == (int(said[0]) if said[0].isdigit() else 1)
    for gpu in gpus:
        assert (gpu.free, gpu.capability) == (int(gib * GIB), capability)
        assert name in gpu.name
    with pytest.raises(GpuError, match="or its name, such as T4"):
        asked_gpus("X9000")
    with pytest.raises(GpuError, match="A100 has 80 or 40 GB"):
        asked_gpus("A100-50")


def test_a_card_without_bfloat16_gets_float16() -> None:
    given = {"goal": "style", "model": "llama-1b", "data": "answers-1k", "prompt": "fails"}
    situation = situation_of({**given, "gpus": 16})
    cards = Known(asked_gpus("T4"), "asked")
    advice = _advise(msgspec.structs.replace(situation, gpus=cards))
    assert advice.run is not None
    assert advice.run.training.precision == "fp16"
    assert "full_bf16" not in {one.way for one in advice.candidates}
