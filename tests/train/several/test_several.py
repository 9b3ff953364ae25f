"""Two processes train what one trains: DDP and FSDP2 over gloo on the CPU."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import safetensors.torch
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.tiny_model import pair_rows, write_rows
from tests.train.ppo.answering import COLOUR, make_answering_llama
from tests.train.running import Ran, make_spec, run_worker
from tests.train.several.two_ranks import Told, TwoRanks, prepare, train
from tui_ft.eject import eject
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.spec import RunSpec, build_spec

FULL: Final = {"kind": "full"}
LORA: Final = {"kind": "lora", "r": 4}
QLORA: Final = {"kind": "qlora", "r": 4}
DROPOUT: Final = {"kind": "lora", "r": 4, "lora_dropout": 0.1}
FSDP: Final = {"kind": "fsdp"}
FSDP_WHOLE: Final = {
    "kind": "fsdp",
    "state_dict_type": "FULL_STATE_DICT",
    "cpu_ram_efficient_loading": False,
    "reshard_after_forward": False,
}
DDP: Final = {"kind": "ddp"}
SAME: Final[dict[str, tuple[dict[str, Any], dict[str, Any], bool]]] = {
    "ddp full": (DDP, FULL, False),
    "ddp lora": (DDP, LORA, False),
    "fsdp full": (FSDP, FULL, False),
    "fsdp lora": (FSDP, LORA, True),
    "fsdp full, written whole": (FSDP_WHOLE, FULL, True),
    "fsdp qlora": (FSDP, QLORA, False),
}
"""Name -> how it is spread, what is trained, and whether activations are recomputed."""
FROM_ADAPTER: Final[dict[str, tuple[dict[str, Any], dict[str, Any], str]]] = {
    "ddp, merged": (DDP, LORA, "merge"),
    "fsdp, trained further": (FSDP, {"kind": "qlora"}, "continue"),
}
"""Name -> how a run of DPO is spread that begins with an adapter, and what is done with that."""
STEPS: Final = 6
ANSWERING: Final[dict[str, dict[str, Any]]] = {
    # Always the likeliest token: then two processes give the answers of one.
    "ppo surely": {"kind": "ppo", "top_k": 1, "target_kl": 0.02, "horizon": 64},
    "ppo": {"kind": "ppo", "num_mini_batches": 2},
    "rloo": {"kind": "rloo", "num_generations": 4, "beta": 0.05},
    "grpo": {"kind": "grpo", "num_generations": 4, "beta": 0.05},
}
AS_SURE: Final = "ppo surely"


def rows_of_many_lengths(count: int) -> list[dict[str, object]]:
    """Return rows of many lengths, so that a mean over ranks is not a mean over tokens."""
    chance = random.Random(7)
    words = ["red", "green", "blue", "apple", "banana", "fig", "of", "the", "is"]
    return [
        {
            "messages": [
                {"role": "user", "content": " ".join(chance.choices(words, k=3))},
                {
                    "role": "assistant",
                    "content": " ".join(chance.choices(words, k=chance.randint(1, 12))),
                },
            ]
        }
        for _ in range(count)
    ]


def spread_spec(
    folder: Path,
    model: Path,
    distributed: Mapping[str, Any] | None,
    method: Mapping[str, Any],
    **training: Any,
) -> RunSpec:
    """Return a run of eight rows a step, in one process or two."""
    hardware: dict[str, Any] = {"gpus": "none", "cpu_threads": 1}
    batch = 8
    if distributed is not None:
        hardware |= {"cpu_processes": 2, "distributed": dict(distributed)}
        batch = 4
    usual = {
        "max_steps": STEPS,
        "eval_steps": 3,
        "save_steps": 3,
        "per_device_train_batch_size": batch,
        "per_device_eval_batch_size": 1,
    }
    return make_spec(folder, model, method=method, hardware=hardware, training=usual | training)


def preference_spec(
    folder: Path, adapter: Path, name: str, distributed: Mapping[str, Any] | None
) -> RunSpec:
    """Return a run of DPO on an adapter, in one process or two."""
    _, method, what = FROM_ADAPTER[name]
    rows = write_rows(folder / "pairs.jsonl", pair_rows(60))
    spec = spread_spec(folder, adapter, distributed, method, max_steps=2, eval_steps=None)
    values = spec.model_dump()
    values["model"]["adapter"] = what
    values["data"]["train"] = str(rows)
    return build_spec({**values, "objective": {"kind": "dpo"}})


def answering_spec(
    folder: Path, model: Path, name: str, distributed: Mapping[str, Any] | None
) -> RunSpec:
    """Return a run of sixteen answers a step, in one process or two."""
    shared = {"rewards": [COLOUR], "max_completion_length": 12}
    if ANSWERING[name]["kind"] == "ppo":
        shared |= {"num_ppo_epochs": 2, "init_kl_coef": 0.05}
    spec = spread_spec(
        folder,
        model,
        distributed,
        LORA,
        per_device_train_batch_size=16 if distributed is None else 8,
        per_device_eval_batch_size=6 if distributed is None else 4,
        learning_rate=2e-3,
    )
    values = spec.model_dump(exclude_unset=True)
    return build_spec(values | {"objective": shared | ANSWERING[name]})


@dataclass(frozen=True, slots=True)
class Spread:
    """What was trained in two processes.

    Attributes:
        said: by name of the run, what each rank said.
        one: the same runs in one process.
    """

    folder: Path
    said: dict[str, tuple[Told, Told]]
    one: dict[str, Ran]

    def output(self, name: str) -> Path:
        return RunFolder(self.folder / name).output_dir()


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Spread:
    folder = tmp_path_factory.mktemp("several")
    write_rows(folder / "rows.jsonl", rows_of_many_lengths(120))
    runs: dict[str, TwoRanks] = {}
    one: dict[str, Ran] = {}
    for name, (distributed, method, recomputes) in SAME.items():
        more = {"gradient_checkpointing": recomputes}
        spec = spread_spec(folder, tiny_llama, distributed, method, **more)
        runs[name] = TwoRanks(prepare(spec, folder / name))
        alone = spread_spec(folder, tiny_llama, None, method, **more)
        one[name] = run_worker(alone, folder / f"one {name}")
    for kind, distributed in (("ddp", DDP), ("fsdp", FSDP)):
        spec = spread_spec(folder, tiny_llama, distributed, DROPOUT, load_best_model_at_end=False)
        runs[f"{kind} whole"] = TwoRanks(prepare(spec, folder / f"{kind} whole"))
        halves = prepare(spec, folder / f"{kind} halves")
        runs[f"{kind} stopped"] = TwoRanks(halves, stop_at=2)
        runs[f"{kind} resumed"] = TwoRanks(halves)
    answers = folder / "answers"
    answers.mkdir()
    answering = make_answering_llama(answers, tiny_llama)
    for name in ANSWERING:
        spec = answering_spec(answers, answering, name, DDP)
        runs[name] = TwoRanks(prepare(spec, folder / name))
    alone = answering_spec(answers, answering, AS_SURE, None)
    one[AS_SURE] = run_worker(alone, answers / "one")
    adapter = one["ddp lora"].folder.output_dir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTUI_HOME", str(folder / "home"))
        for name, (distributed, _, _) in FROM_ADAPTER.items():
            spec = preference_spec(folder, adapter, name, distributed)
            runs[name] = TwoRanks(prepare(spec, folder / name))
        said = train(list(runs.values()))
        for name in FROM_ADAPTER:  # the two ranks come first: they merge
            spec = preference_spec(folder, adapter, name, None)
            one[name] = run_worker(spec, folder / f"one {name}")
    return Spread(folder, dict(zip(runs, said, strict=True)), one)


@pytest.mark.parametrize("name", SAME)
def test_the_losses_are_those_of_one_process(spread: Spread, name: str) -> None:
    first, _ = spread.said[name]
    assert first.ended.state == "finished", first.ended
    assert len(first.losses) == STEPS
    assert first.losses == pytest.approx(spread.one[name].losses, abs=2e-5)
    evaluations = [e.values["eval_loss"] for e in spread.one[name].of(ev.Evaluation)]
    assert first.evaluations == pytest.approx(evaluations, abs=2e-5)
    tokens = [event.values["tokens"] for event in first.of(ev.Metrics)]
    assert tokens == [event.values["tokens"] for event in spread.one[name].of(ev.Metrics)]


@pytest.mark.parametrize("name", FROM_ADAPTER)
def test_an_adapter_is_begun_with_as_by_one_process(spread: Spread, name: str) -> None:
    first, second = spread.said[name]
    assert first.ended.state == "finished", first.ended
    assert first.losses == pytest.approx(spread.one[name].losses, abs=2e-5)
    assert first.losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert not (spread.output(name) / "ref").exists()
    merging = [
        [phase.text for phase in rank.of(ev.Phase) if "merges" in phase.text]
        for rank in (first, second)
    ]
    assert [len(said) for said in merging] == [int(name == "ddp, merged"), 0]


def test_the_script_that_is_handed_over_trains_to_them_too(spread: Spread, tmp_path: Path) -> None:
    done = eject(RunFolder(spread.folder / "ddp lora").spec(), "script", tmp_path / "script")
    command = ["torchrun", "--standalone", "--nproc_per_node", "2", "train.py"]
    assert done.command.split() == command
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *command[1:]],
        cwd=tmp_path / "script",
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": ""},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    state = tmp_path / "script" / "checkpoints" / f"checkpoint-{STEPS}" / "trainer_state.json"
    logged = json.loads(state.read_text())["log_history"]
    first, _ = spread.said["ddp lora"]
    losses = [entry["loss"] for entry in logged if "loss" in entry]
    assert losses == pytest.approx(first.losses, abs=1e-4)
    evaluations = [entry["eval_loss"] for entry in logged if "eval_loss" in entry]
    assert evaluations == pytest.approx(first.evaluations, abs=1e-4)
    # Eight rows a step are two processes with four each: one alone would have seen half as many.
    tokens = [entry["num_tokens"] for entry in logged if "num_tokens" in entry]
    assert tokens == [event.values["tokens"] for event in first.of(ev.Metrics)]


@pytest.mark.parametrize("name", SAME)
def test_what_is_saved_is_whole_and_laid_out_as_by_one_process(spread: Spread, name: str) -> None:
    ours, theirs = spread.output(name), spread.one[name].folder.output_dir()
    assert {p.name for p in ours.iterdir()} == {p.name for p in theirs.iterdir()}
    (file,) = [p.name for p in theirs.glob("*.safetensors")]
    mine, other = (safetensors.torch.load_file(folder / file) for folder in (ours, theirs))
    assert {k: (v.shape, v.dtype) for k, v in mine.items()} == {
        k: (v.shape, v.dtype) for k, v in other.items()
    }


@pytest.mark.parametrize("name", ["fsdp lora", "fsdp full"])
def test_what_is_saved_loads_with_equal_logits(spread: Spread, tiny_llama: Path, name: str) -> None:
    def logits(folder: Path) -> torch.Tensor:
        adapter = (folder / "adapter_config.json").is_file()
        model = AutoModelForCausalLM.from_pretrained(tiny_llama if adapter else folder)
        if adapter:
            model = PeftModel.from_pretrained(model, folder)
        with torch.no_grad():
            result: torch.Tensor = model.eval()(torch.arange(4, 40)[None]).logits
        return result

    ours, theirs = spread.output(name), spread.one[name].folder.output_dir()
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-3)
    untrained = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        before = untrained.eval()(torch.arange(4, 40)[None]).logits
    assert not torch.allclose(logits(ours), before, atol=1e-2)


@pytest.mark.parametrize("name", SAME)
def test_the_plan_says_how_many_train_and_counts_all_their_rows(spread: Spread, name: str) -> None:
    (plan,) = spread.said[name][0].of(ev.Plan)
    (alone,) = spread.one[name].of(ev.Plan)
    assert (plan.processes, alone.processes, alone.strategy) == (2, 1, None)
    assert plan.strategy == ("DDP" if SAME[name][0]["kind"] == "ddp" else "FSDP2")
    assert plan.effective_batch_size == alone.effective_batch_size == 8
    assert plan.num_train_epochs == alone.num_train_epochs
    assert plan.trainable_parameters == alone.trainable_parameters


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_stopped_by_one_rank_and_resumed_they_follow_the_same_curve(
    spread: Spread, kind: str
) -> None:
    whole, stopped, resumed = (
        spread.said[f"{kind} {part}"] for part in ("whole", "stopped", "resumed")
    )
    for rank in stopped:  # the order reached one, and both obeyed at the same step
        assert rank.ended.state == "stopped"
    reached = len(stopped[0].losses)
    assert 2 <= reached < STEPS
    assert resumed[0].ended.state == "finished"
    assert len(resumed[0].losses) == STEPS - reached
    together = [*stopped[0].losses, *resumed[0].losses]
    assert together == pytest.approx(whole[0].losses, abs=1e-6)


def test_sure_answers_of_two_processes_teach_ppo_what_those_of_one_do(spread: Spread) -> None:
    """Also: advantages are whitened, and the KL is looked at, over the answers of both."""
    first, alone = spread.said[AS_SURE][0], spread.one[AS_SURE]
    assert first.ended.state == "finished", first.ended
    assert alone.ended.state == "finished", alone.ended
    assert [event.step for event in first.of(ev.Metrics)] == list(range(1, STEPS + 1))
    learned = ("loss", "value_loss", "policy_loss", "entropy", "explained_variance", "tokens")
    answered = ("reward", "reward_std", "kl", "objective/kl", "kl_coef", "completions/max_length")
    for ours, theirs in zip(first.of(ev.Metrics), alone.of(ev.Metrics), strict=True):
        assert ours.values.keys() == theirs.values.keys()
        for name in {*learned, *answered} & ours.values.keys():
            assert ours.values[name] == pytest.approx(theirs.values[name], abs=2e-5), name
    told = [event.values["eval_reward"] for event in first.of(ev.Evaluation)]
    assert told == pytest.approx([e.values["eval_reward"] for e in alone.of(ev.Evaluation)])
    coefs = [e.values["kl_coef"] for e in first.of(ev.Metrics) if "kl_coef" in e.values]
    assert len(coefs) == STEPS / 2
    # By the sixteen answers of both: a target that the first answers, of no KL, are below.
    assert coefs[1] == pytest.approx(0.05 * (1 - 0.2 * 16 / 64))


@pytest.mark.parametrize("name", ANSWERING)
def test_both_processes_answer_prompts_of_their_own_and_end_with_the_same_weights(
    spread: Spread, name: str
) -> None:
    first, second = spread.said[name]
    assert first.ended.state == "finished", first.ended
    assert first.weights == second.weights
    assert first.answers != second.answers
    assert len(first.losses) == STEPS


def _on_step(step: int, do: Callable[[], None]) -> Callable[..., None]:
    def on_event(event: ev.Event, _: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == step:
            do()

    return on_event


def _ranks() -> list[psutil.Process]:
    """Return the rank processes of this one, in the order of their start."""
    found = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
    return sorted(found, key=lambda p: (p.create_time(), p.pid))  # numbers begin anew


def test_a_rank_that_is_killed_ends_the_run_with_its_number(
    tmp_path: Path, tiny_llama: Path
) -> None:
    """Also: who speaks is the first rank alone, and no process is left behind."""
    spec = spread_spec(
        tmp_path, tiny_llama, DDP, FULL, max_steps=5000, eval_steps=None, save_steps=2
    )
    seen: list[int] = []

    def kill() -> None:
        ranks = _ranks()
        seen.extend(p.pid for p in ranks)
        os.kill(ranks[-1].pid, signal.SIGKILL)

    ran = run_worker(spec, tmp_path / "run", on_event=_on_step(3, kill))
    assert len(seen) == 2
    assert ran.ended.state == "crashed"
    assert "rank 1 of 2 was killed by signal 9" in ran.ended.reason
    assert any("resume from step" in advice for advice in ran.ended.advice)
    steps = [event.step for event in ran.of(ev.Metrics)]
    assert steps == list(range(1, len(steps) + 1))  # each step is told once
    assert len(ran.of(ev.Plan)) == 1
    assert not [pid for pid in seen if psutil.pid_exists(pid)]
    assert not (ran.folder.path / "ranks").exists()
