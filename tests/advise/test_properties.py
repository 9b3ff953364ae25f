"""What holds of advice in any situation: tried on situations made at random."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.advise.given import Arithmetic, load_table, situation_of
from tui_ft.advise.advice import Advice, Caution, Taken
from tui_ft.advise.approaches import APPROACHES
from tui_ft.advise.node import END
from tui_ft.advise.situation import GpuFacts, Situation
from tui_ft.advise.tree import FIRST, NODES, advise
from tui_ft.advise.ways import ADAPTER_FIRST, WAYS, WEIGHTS_FIRST
from tui_ft.advise.writing.explained_yaml import explained_yaml
from tui_ft.memory.allocator import GIB
from tui_ft.spec import load_spec
from tui_ft.spec.distributed import sharding_kind

_GOALS = (
    *("knowledge", "style", "instruction", "domain", "reasoning", "language", "classification"),
    "preference",
)
_KINDS = (
    *("answers", "chats", "short", "long", "dirty", "generated", "pairs", "judged", "prompts"),
    *("labels", "text", "math", "bare", "json", "truths", "tests"),
)
_MODELS = (
    *("llama-1b", "llama-8b", "llama-8b-chat", "llama-70b-chat", "smollm-135m", "bert"),
    "unknown-chat",
)


def _maybe(*values: object) -> st.SearchStrategy[Any]:
    return st.sampled_from((None, *values))


givens = st.fixed_dictionaries(
    {},
    optional={
        "goal": _maybe(*_GOALS),
        "prompt": _maybe("solves", "partly", "fails"),
        "budget": _maybe("low", "medium", "high"),
        "facts": _maybe("none", "rarely", "often"),
        "model": st.sampled_from(_MODELS),
        "data": st.builds(
            "{}-{}".format,
            st.sampled_from(_KINDS),
            st.sampled_from(("20", "500", "1k", "5k", "20k", "200k")),
        ),
        "gpus": st.sampled_from(("none", 8, 12, 24, 80, "2x24", "8x80", "t4")),
        "flash": st.booleans(),
        "reward": _maybe("judge.py", "http://judge:1/score", "my-reward-run"),
    },
)
trainable = st.fixed_dictionaries(
    {
        "goal": st.sampled_from(("style", "instruction", "domain", "language")),
        "facts": st.just("none"),
        "model": st.sampled_from(_MODELS[:5]),
        "data": st.builds(
            "{}-{}".format,
            st.sampled_from(("answers", "chats", "short", "long", "text")),
            st.sampled_from(("1k", "5k", "20k", "200k")),
        ),
        "flash": st.booleans(),
    }
)


def _advise(situation: Situation, answers: dict[str, str] | None = None) -> Advice:
    return advise(situation, answers, estimator=Arithmetic())


def _with_memory(situation: Situation, *free: int) -> Situation:
    from tui_ft.advise.situation import Known

    gpus = tuple(
        GpuFacts(index=at, name="card", total=one, free=one, capability=(8, 0))
        for at, one in enumerate(free)
    )
    return msgspec.structs.replace(situation, gpus=Known(gpus, "measured"))


def _worth(advice: Advice) -> tuple[int, int, int, int]:
    """Return how good advice is: larger is better.

    A way that surely fits before one that does with luck before none; then the way, in the order in
    which it would be wished for; then no checkpointing; then the rows at once.
    """
    chosen = advice.candidate
    if chosen is None or chosen.way == "smaller":
        return (0, 0, 0, 0)
    capacity = advice.taken("capacity")
    assert capacity is not None
    order = WEIGHTS_FIRST if capacity.choice == "all" else ADAPTER_FIRST
    ready = [way for way in order if WAYS[way].startable]
    ranking = [*ready, *(way for way in order if way not in ready)]
    surely = {"fits": 2, "tight": 1}.get(chosen.fit, 0)
    return (surely, -ranking.index(chosen.way), int(not chosen.checkpointing), chosen.batch)


@given(givens)
@settings(max_examples=60)
def test_every_path_ends_in_advice(given: dict[str, Any]) -> None:
    advice = _advise(situation_of(given))
    assert advice.approach in APPROACHES
    assert advice.path[0].node == FIRST
    assert (advice.run is None) == bool(advice.no_run)
    assert all(taken.reason for taken in advice.path)
    assert len({taken.node for taken in advice.path}) == len(advice.path)


@given(trainable, st.integers(2, 120), st.integers(0, 120))
@settings(max_examples=60)
def test_more_memory_never_makes_the_advice_worse(
    given: dict[str, Any], gib: int, more: int
) -> None:
    situation = situation_of(given)
    little = _advise(_with_memory(situation, gib * GIB))
    much = _advise(_with_memory(situation, (gib + more) * GIB))
    assert _worth(much) >= _worth(little)


@given(trainable, st.integers(4, 90))
@settings(max_examples=40)
def test_another_gpu_never_makes_the_advice_worse(given: dict[str, Any], gib: int) -> None:
    situation = situation_of(given)
    one = _advise(_with_memory(situation, gib * GIB))
    two = _advise(_with_memory(situation, gib * GIB, gib * GIB))
    assert _worth(two) >= _worth(one)


@given(trainable, st.lists(st.integers(2, 90), min_size=2, max_size=8))
@settings(max_examples=60)
def test_on_several_gpus_it_fits_each_and_the_run_says_how_it_is_spread(
    given: dict[str, Any], gib: list[int]
) -> None:
    advice = _advise(_with_memory(situation_of(given), *(each * GIB for each in gib)))
    chosen, run = advice.candidate, advice.run
    if chosen is None or run is None:
        return
    hardware = run.hardware
    taken = hardware.gpus if isinstance(hardware.gpus, list) else range(len(gib))
    if chosen.gpus == 1:
        assert hardware.distributed is None
        assert hardware.processes == 1
        return
    assert hardware.processes == len(taken) == chosen.gpus
    assert hardware.distributed is not None
    sharding = WAYS[chosen.way].sharding
    assert sharding_kind(hardware.distributed) == sharding
    assert chosen.free == min(gib[number] for number in taken) * GIB
    if chosen.fit == "fits":
        assert chosen.high is not None
        assert all(chosen.high <= gib[number] * GIB for number in taken)
    training = run.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    wished = advice.taken("effective_batch")
    assert wished is not None
    if not training.packing:  # a step is of as many rows, as far as they can be shared out evenly
        assert rows == math.ceil(int(wished.choice) / chosen.gpus)


@given(givens)
@settings(max_examples=60)
def test_what_is_recommended_fits_where_anything_does(given: dict[str, Any]) -> None:
    advice = _advise(situation_of(given))
    fitting = [one for one in advice.candidates if one.fit == "fits" and one.startable]
    chosen = advice.candidate
    if chosen is None or not fitting:
        return
    assert chosen.high is not None
    assert chosen.free is not None
    if {one.way for one in fitting} & set(ADAPTER_FIRST):
        assert chosen.high <= chosen.free
    if advice.run is not None:
        training = advice.run.training
        assert training.per_device_train_batch_size == chosen.batch
        assert training.gradient_accumulation_steps == chosen.accumulation
        assert training.gradient_checkpointing == chosen.checkpointing
        assert training.max_length == chosen.max_length
        grouped = training.train_sampling_strategy == "group_by_length"
        assert not (training.packing and grouped)


def _unmarked(taken: Taken) -> Taken:
    """Return a node on the path without how it is known: an answer makes what was assumed asked."""
    return msgspec.structs.replace(taken, how="asked")


def _untried(advice: Advice) -> Caution | None:
    return next((one for one in advice.cautions if one.id == "prompt-untried"), None)


@given(givens, st.data())
@settings(max_examples=60)
def test_a_node_answered_with_its_own_answer_changes_nothing(
    given: dict[str, Any], data: st.DataObject
) -> None:
    situation = situation_of(given)
    plain = _advise(situation)
    taken = data.draw(st.sampled_from(plain.path))
    told = _advise(situation, {taken.node: taken.choice})
    assert [_unmarked(one) for one in told.path] == [_unmarked(one) for one in plain.path]
    assert told.run == plain.run
    assert [(one.way, one.fit, one.high, one.batch) for one in told.candidates] == [
        (one.way, one.fit, one.high, one.batch) for one in plain.candidates
    ]
    # Who says that a prompt fails has tried it: that nobody did is then no longer said.
    assert [one for one in plain.cautions if one not in told.cautions] in ([], [_untried(plain)])
    changed = told.taken(taken.node)
    assert changed is not None
    assert changed.how == ("asked" if taken.how == "assumed" else taken.how)
    assert changed.own == ""


@given(givens, st.data())
@settings(max_examples=80)
def test_any_other_answer_is_followed_and_still_ends_in_advice(
    given: dict[str, Any], data: st.DataObject
) -> None:
    situation = situation_of(given)
    taken = data.draw(st.sampled_from([one for one in _advise(situation).path if one.others]))
    other = data.draw(st.sampled_from(taken.others))
    told = _advise(situation, {taken.node: other.choice})
    changed = told.taken(taken.node)
    assert changed is not None
    assert (changed.choice, changed.how, changed.own) == (other.choice, "asked", taken.choice)
    assert (told.run is None) == bool(told.no_run)


@given(given=trainable, gpus=st.sampled_from(("none", 24, 80, "8x80")))
@settings(max_examples=40)
def test_the_yaml_is_read_back_as_the_run(
    tmp_path_factory: Any, given: dict[str, Any], gpus: object
) -> None:
    advice = _advise(situation_of({**given, "gpus": gpus}))
    if advice.run is None:
        return
    file: Path = tmp_path_factory.mktemp("yaml") / "run.yaml"
    file.write_text(explained_yaml(advice))
    assert load_spec(file) == advice.run


def test_branches_lead_to_nodes_and_never_back() -> None:
    order = list(NODES)
    for node in NODES.values():
        for branch in node.branches:
            assert branch.leads_to == END or branch.leads_to in NODES
            if branch.leads_to:
                assert order.index(branch.leads_to) > order.index(node.id), node.id
    reached = {branch.leads_to for node in NODES.values() for branch in node.branches}
    assert set(NODES) - reached == {FIRST}


def test_every_node_of_the_tree_is_passed_by_some_situation() -> None:
    passed = {
        taken.node for row in load_table() for taken in _advise(situation_of(row["given"])).path
    }
    assert passed == set(NODES)
