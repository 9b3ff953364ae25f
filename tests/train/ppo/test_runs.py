"""PPO trains for real: rewards rise, the KL stays near its target, what is saved can be loaded."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny_model import pair_rows, write_rows
from tests.train.ppo.answering import COLOUR, LORA, make_answering_llama, ppo_spec
from tests.train.running import Ran, make_spec, make_trainer, run_worker
from tui_ft.runs import events as ev
from tui_ft.train.errors import RunFailure
from tui_ft.train.ppo.advantages import alone
from tui_ft.train.ppo.rollout import lay_out

PROMPT = "<|im_start|>user\nWhat colour is the fig of bob?<|im_end|>\n<|im_start|>assistant\n"
FULL = {"kind": "full"}


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    return make_answering_llama(tmp_path_factory.mktemp("answering"), tiny_llama)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, answering: Path) -> Ran:
    folder = tmp_path_factory.mktemp("lora")
    spec = ppo_spec(
        folder,
        answering,
        objective={"num_mini_batches": 2, "adap_kl_ctrl": False},
        training={"max_steps": 60, "eval_steps": 30, "save_steps": 30},
        evaluation={"samples": 2},
    )
    return run_worker(spec, folder / "run")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, answering: Path) -> Ran:
    folder = tmp_path_factory.mktemp("full")
    spec = ppo_spec(
        folder,
        answering,
        objective={"num_mini_batches": 2, "target_kl": 2, "horizon": 200, "init_kl_coef": 0.05},
        training={"max_steps": 120},
        method=FULL,
    )
    return run_worker(spec, folder / "run")


def measured(ran: Ran, name: str) -> list[float]:
    """Return a figure at each rollout."""
    series = [event.values.get(name) for event in ran.of(ev.Metrics) if "reward" in event.values]
    return [value for value in series if value is not None]


@pytest.mark.parametrize(("method", "margin"), [("lora", 0.15), ("full", 0.6)])
def test_the_reward_rises(request: pytest.FixtureRequest, method: str, margin: float) -> None:
    ran: Ran = request.getfixturevalue(method)
    assert ran.ended.state == "finished", ran.ended
    rewards = measured(ran, "reward")
    assert statistics.mean(rewards[-6:]) > statistics.mean(rewards[:3]) + margin
    assert measured(ran, "rewards/regex/mean") == rewards


def test_the_kl_is_held_near_its_target(full: Ran) -> None:
    kl = measured(full, "objective/kl")
    assert kl[0] == pytest.approx(0, abs=1e-5)  # nothing is learned yet: policy is reference
    assert 1 < statistics.mean(kl[-10:]) < 3.5
    coefs = measured(full, "kl_coef")
    # By each rollout's own KL, 32 answers at a time.
    for now, then, away in zip(coefs, coefs[1:], kl, strict=False):
        error = max(-0.2, min(0.2, away / 2 - 1))
        assert then == pytest.approx(now * (1 + error * 32 / 200), rel=1e-4)


def test_without_control_the_kl_coefficient_stays(lora: Ran) -> None:
    assert measured(lora, "kl_coef") == pytest.approx([0.02] * 15)


def test_its_figures_are_live(lora: Ran) -> None:
    steps = lora.of(ev.Metrics)
    assert [event.step for event in steps] == list(range(1, 61))
    learned = {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_ratio/region_mean"}
    answered = {"reward", "reward_std", "kl", "objective/kl", "kl_coef", "completions/mean_length"}
    for event in steps:
        assert learned <= set(event.values)
        # Each rollout lasts for two passes of two minibatches.
        assert (answered <= set(event.values)) is (event.step % 4 == 1), event.step
        together = event.values["policy_loss"] + 0.1 * event.values["value_loss"]
        assert event.values["loss"] == pytest.approx(together, abs=1e-5)
    assert statistics.mean(e.values["clip_ratio/region_mean"] for e in steps) > 0
    first = steps[0].values
    # On its own answers, in the first step, the policy is what sampled them.
    assert first["approx_kl"] == pytest.approx(0, abs=1e-9)
    assert first["clip_ratio/region_mean"] == 0
    tokens = [event.values["tokens"] for event in steps]
    assert tokens == sorted(set(tokens))  # all that is learned from, in each step


def test_held_out_prompts_are_answered_and_shown_with_their_rewards(lora: Ran) -> None:
    evaluations = lora.of(ev.Evaluation)
    assert [event.step for event in evaluations] == [30, 60]
    for event in evaluations:
        assert 0 <= event.values["eval_reward"] <= 1
        assert "eval_num_tokens" not in event.values
    samples = lora.of(ev.Sample)
    assert [sample.step for sample in samples] == [30, 30, 60, 60]
    for sample in samples:
        assert sample.prompt.startswith("What colour is")
        assert sample.reward == float("is red" in sample.answer or "is blue" in sample.answer)
    best = max(evaluations, key=lambda event: event.values["eval_reward"])
    assert best.step in (30, 60)
    assert f"checkpoint-{best.step}" in str(lora.trainer.state.best_model_checkpoint) or (
        evaluations[0].values["eval_reward"] == evaluations[1].values["eval_reward"]
    )


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_saved_gives_the_same_logits_without_the_value_head(
    request: pytest.FixtureRequest, answering: Path, method: str
) -> None:
    ran: Ran = request.getfixturevalue(method)
    output = ran.folder.output_dir()
    if method == "full":
        loaded, report = AutoModelForCausalLM.from_pretrained(output, output_loading_info=True)
        assert not report["unexpected_keys"]
        assert not report["missing_keys"]
    else:
        base = AutoModelForCausalLM.from_pretrained(answering)
        loaded = PeftModel.from_pretrained(base, output)
    weights = load_file(next(output.glob("*model.safetensors")))
    assert not [name for name in weights if "value_head" in name]
    tokenizer = AutoTokenizer.from_pretrained(output)
    batch = tokenizer(PROMPT, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        trained, again = (m.eval()(**batch).logits for m in (ran.trainer.model, loaded))
    torch.testing.assert_close(again, trained, atol=1e-5, rtol=0)
    head = load_file(output / "value_head.safetensors")
    assert head["weight"].shape == (1, 64)
    assert head["weight"].abs().max() > 0
    torch.testing.assert_close(head["weight"], ran.trainer.policy.head.weight.detach())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_later_run_takes_the_value_head_up(
    request: pytest.FixtureRequest, tmp_path: Path, method: str
) -> None:
    earlier: Ran = request.getfixturevalue(method)
    # Of an adapter, the base is the merged copy of both.
    later = run_worker(
        ppo_spec(tmp_path, earlier.folder.path, training={"max_steps": 1, "learning_rate": 1e-9}),
        tmp_path / "run",
    )
    assert later.ended.state == "finished", later.ended
    (note,) = [alert.text for alert in later.of(ev.Alert) if "value head" in alert.text]
    assert str(earlier.folder.output_dir()) in note
    left = load_file(earlier.folder.output_dir() / "value_head.safetensors")
    torch.testing.assert_close(later.trainer.policy.head.weight.detach(), left["weight"])


def test_the_score_of_a_reward_model_of_an_earlier_run_rises(
    tmp_path: Path, answering: Path
) -> None:
    liked = [
        {"prompt": row["prompt"], "chosen": [_says("red")], "rejected": [_says(colour)]}
        for row in pair_rows(40)
        for colour in ("green", "black", "yellow")
    ]
    write_rows(tmp_path / "pairs.jsonl", liked)
    judge = make_spec(
        tmp_path,
        answering,
        data={"train": str(tmp_path / "pairs.jsonl")},
        objective={"kind": "reward"},
        method=LORA,
        training={"max_steps": 20, "eval_steps": None, "save_steps": None},
    )
    judged = run_worker(judge, tmp_path / "judge")
    assert judged.ended.state == "finished", judged.ended
    reward = {"kind": "reward_model", "model": str(judged.folder.path)}
    spec = ppo_spec(
        tmp_path,
        answering,
        objective={"rewards": [reward], "num_mini_batches": 2, "missing_eos_penalty": 1.0},
        training={"max_steps": 40, "learning_rate": 1e-3},
        method=FULL,
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    rewards = measured(ran, "rewards/reward_model/mean")
    assert statistics.mean(rewards[-3:]) > statistics.mean(rewards[:3]) + 1


def _says(colour: str) -> dict[str, str]:
    return {"role": "assistant", "content": f"It is {colour}."}


def _stop_at(step: int) -> Callable[[ev.Event, Callable[[str], None]], None]:
    def on_event(event: ev.Event, send: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == step:
            send("stop")

    return on_event


@pytest.mark.parametrize("method", [LORA, FULL], ids=["lora", "full"])
def test_stopped_in_a_rollout_and_resumed_it_follows_the_same_curve(
    tmp_path: Path, answering: Path, method: dict[str, Any]
) -> None:
    # 180 prompts are 11 rollouts of 4 steps: it is stopped in the second epoch.
    spec = ppo_spec(
        tmp_path,
        answering,
        objective={"num_mini_batches": 2, "target_kl": 1, "horizon": 100},
        training={
            "max_steps": 54,
            "per_device_train_batch_size": 8,
            "eval_steps": 20,
            "save_steps": 20,
            "load_best_model_at_end": False,
        },
        method=method,
    )
    whole = run_worker(spec, tmp_path / "whole")
    stopped = run_worker(spec, tmp_path / "halves", on_event=_stop_at(46))
    assert stopped.ended.state == "stopped"
    reached = stopped.folder.checkpoints()[-1][0]
    assert 46 <= reached < 54
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.ended.state == "finished", resumed.ended
    for name in ("loss", "reward", "kl_coef", "value_loss", "objective/kl", "tokens"):
        found, expected = (ran.history.series(name) for ran in (resumed, whole))
        assert found.x == expected.x, name
        assert found.y == pytest.approx(expected.y, abs=1e-5), name
    assert len(resumed.losses) == 54


def test_gradients_added_up_are_those_of_one_batch(tmp_path: Path, answering: Path) -> None:
    losses = []
    for rows, passes in ((16, 1), (4, 4)):
        training = {
            "max_steps": 4,
            "per_device_train_batch_size": rows,
            "gradient_accumulation_steps": passes,
        }
        spec = ppo_spec(tmp_path, answering, training=training)
        losses.append(run_worker(spec, tmp_path / f"run{rows}").losses)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_quantised_base_in_bfloat16_with_checkpointing(tmp_path: Path, answering: Path) -> None:
    spec = ppo_spec(
        tmp_path,
        answering,
        method={**LORA, "kind": "qlora"},
        training={
            "max_steps": 4,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 2,
            "precision": "bf16",
            "gradient_checkpointing": True,
        },
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    norms = [event.values["grad_norm"] for event in ran.of(ev.Metrics)]
    assert all(norm > 0 for norm in norms)
    assert ran.trainer.policy.head.weight.dtype == torch.float32
    assert ran.trainer.policy.head.weight.abs().max() > 0


@pytest.mark.parametrize("kind", ["lora", "prompt_tuning", "prefix_tuning", "full"])
def test_answers_are_judged_as_the_plain_model_finds_them(
    tmp_path: Path, answering: Path, kind: str
) -> None:
    method = LORA if kind == "lora" else {"kind": kind}
    spec = ppo_spec(tmp_path, answering, method=method, objective={"temperature": 0.7})
    trainer = make_trainer(spec, tmp_path)
    for parameter in trainer.model.parameters():
        if parameter.requires_grad and kind == "lora":
            torch.nn.init.normal_(parameter, std=0.1)  # so that it is not its reference
    prompts, answers = [[5, 6, 7, 8, 9], [40]], [[10, 11], [12, 13, 14]]
    rows = lay_out(prompts, answers, pad=1, device=torch.device("cpu"))
    with torch.no_grad():
        judged = trainer.policy.judge(trainer.model.eval(), rows)
        reference = trainer.policy.judge_by_reference(rows)
        base = AutoModelForCausalLM.from_pretrained(answering)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            ids = torch.tensor([[*prompt, *answer]])
            for model, found in ((trainer.model, judged), (base, reference)):
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
                expected = (logits[-len(answer) - 1 : -1] / 0.7).log_softmax(-1)
                chosen = expected[range(len(answer)), answer]
                places = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
                torch.testing.assert_close(found.log_probs[row, places], chosen)
                entropy = -(expected.exp() * expected).sum(-1)
                torch.testing.assert_close(found.entropy[row, places], entropy)


def test_a_row_without_an_opinion_teaches_nothing(tmp_path: Path, answering: Path) -> None:
    spec = ppo_spec(tmp_path, answering)
    trainer = make_trainer(spec, tmp_path)
    rows = [trainer.train_dataset[number] for number in range(4)]
    reward = trainer._scoring._rewards[0]
    reward._score = lambda answers: [None, 1.0, None, 0.0]
    rollout = trainer._roll_out(rows, learning=True)
    assert rollout.rows.answer_mask.any(dim=1).tolist() == [False, True, False, True]
    assert rollout.advantages[[0, 2]].abs().max() == 0
    assert trainer._figures.take(alone)["reward"] == 0.5


def test_fewer_prompts_than_a_rollout_takes_are_refused(tmp_path: Path, answering: Path) -> None:
    spec = ppo_spec(
        tmp_path, answering, training={"gradient_accumulation_steps": 4}, data={"max_rows": 64}
    )
    with pytest.raises(RunFailure, match=r"a rollout takes 64 prompts .* and there are 58"):
        make_trainer(spec, tmp_path)


def test_several_rewards_are_added_up_by_their_weights(tmp_path: Path, answering: Path) -> None:
    rewards = [
        {**COLOUR, "weight": 2.0},
        {"kind": "length", "most": 8, "margin": 8, "weight": -0.5},
    ]
    trainer = make_trainer(ppo_spec(tmp_path, answering, objective={"rewards": rewards}), tmp_path)
    rows = [trainer.train_dataset[0]] * 2
    encode = trainer.processing_class.encode
    scored = trainer._scoring(rows, [encode("It is red"), encode("It is green")])
    assert scored.whole.tolist() == [1.5, -0.5]
    assert {n: v.tolist() for n, v in scored.by_reward.items()} == {
        "regex": [1.0, 0.0],
        "length": [1.0, 1.0],
    }
