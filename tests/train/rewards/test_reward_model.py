"""A reward model of an earlier run scores as it did in its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny_model import pair_rows, write_rows
from tests.train.rewards.asking import make_reward
from tests.train.running import Ran, make_spec, run_worker
from tui_ft import paths
from tui_ft.data import Conversation, mask_row
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards import RewardFunction
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer

METHODS: dict[str, tuple[dict[str, Any], float]] = {
    "lora": ({"kind": "lora", "r": 8, "lora_alpha": 16}, 1e-2),
    "full": ({"kind": "full"}, 1e-3),
    "qlora": ({"kind": "qlora", "r": 8, "lora_alpha": 16}, 1e-2),
}
Dialogue = list[dict[str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Any:
    """Return a function that trains a reward model by a method, once."""
    done: dict[str, Ran] = {}

    def train(name: str) -> Ran:
        if name not in done:
            folder = tmp_path_factory.mktemp("reward")
            write_rows(folder / "rows.jsonl", pair_rows(100))
            method, rate = METHODS[name]
            spec = make_spec(
                folder,
                tiny_llama,
                method=method,
                objective={"kind": "reward"},
                training={"learning_rate": rate, "max_steps": 12, "eval_steps": 12},
                hardware={"gpus": "none", "cpu_threads": 1},
            )
            done[name] = run_worker(spec, folder / "run")
            assert done[name].ended.state == "finished", done[name].ended
        return done[name]

    return train


def _pairs(count: int) -> tuple[list[Dialogue], list[Dialogue]]:
    """Return as many prompts with a good answer, and then with a bad one, of various lengths."""
    rows = pair_rows(count, seed=7)
    prompts: list[Any] = [row["prompt"] for row in rows] * 2
    answers: list[Any] = [row["chosen"] for row in rows] + [row["rejected"] for row in rows]
    return prompts, answers


def _asked(reward: RewardFunction, prompts: list[Dialogue], answers: list[Dialogue]) -> list[float]:
    given = reward(prompts, answers)
    assert None not in given
    return [float(one or 0.0) for one in given]


def _in_training(ran: Ran, prompts: list[Dialogue], answers: list[Dialogue]) -> list[float]:
    """Return the scores of the model that was trained, one by one, on the tokens of its rows."""
    tokenizer = TransformersChatTokenizer(
        AutoTokenizer.from_pretrained(ran.folder.spec().model.name_or_path)
    )
    ran.trainer.model.eval()
    scores = []
    for prompt, answer in zip(prompts, answers, strict=True):
        row = mask_row(Conversation((*prompt, *answer)), tokenizer)
        assert not isinstance(row, str)
        with torch.inference_mode():
            ids = torch.tensor([row.input_ids])
            scores.append(float(ran.trainer.model(input_ids=ids).logits[0, 0]))
    return scores


@pytest.mark.parametrize("name", METHODS)
def test_it_scores_as_the_model_that_was_trained(trained: Any, name: str) -> None:
    ran = trained(name)
    prompts, answers = _pairs(8)
    reward = make_reward({"kind": "reward_model", "model": str(ran.folder.path), "batch_size": 5})
    scores = _asked(reward, prompts, answers)
    # Two loads of one 4-bit model differ by so much on the CPU; see test_methods.
    tolerance = 5e-2 if name == "qlora" else 1e-5
    assert scores == pytest.approx(_in_training(ran, prompts, answers), abs=tolerance)
    assert min(scores[:8]) > max(scores[8:]) + 0.1


def test_a_run_may_be_named_and_its_output_too(
    trained: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prompts, answers = _pairs(2)
    ran = trained("lora")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "judge").symlink_to(ran.folder.path)
    monkeypatch.setattr(paths, "runs_dir", lambda: tmp_path / "runs")
    by_name = make_reward({"kind": "reward_model", "model": "judge"})
    by_folder = make_reward({"kind": "reward_model", "model": str(ran.folder.path / "adapter")})
    expected = _in_training(ran, prompts, answers)
    assert _asked(by_name, prompts, answers) == pytest.approx(expected, abs=1e-5)
    assert _asked(by_folder, prompts, answers) == pytest.approx(expected, abs=1e-5)


def test_what_scores_nothing_is_refused(trained: Any, tmp_path: Path, tiny_llama: Path) -> None:
    def make(model: object) -> RewardFunction:
        return make_reward({"kind": "reward_model", "model": str(model)})

    with pytest.raises(RunFailure, match="no scoring head of its own"):
        make(tiny_llama)
    headless = tmp_path / "headless"
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model.config.num_labels = 1
    model.save_pretrained(headless)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(headless)
    with pytest.raises(RunFailure, match="no scoring head of its own"):
        make(headless)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFailure, match="holds no model"):
        make(tmp_path / "empty")
    other = tmp_path / "other"
    other.mkdir()
    text = trained("lora").folder.spec_file.read_text()
    (other / "run.yaml").write_text(text)
    with pytest.raises(RunFailure, match="other has left no adapter"):
        make(other)
    sft = "objective:\n  kind: sft\n"
    begin, end = text.index("objective:"), text.index("method:")
    (other / "run.yaml").write_text(text[:begin] + sft + text[end:])
    with pytest.raises(RunFailure, match="other trained sft, and no reward model"):
        make(other)


def test_the_whole_model_keeps_one_output_in_its_configuration(trained: Any) -> None:
    config = json.loads((trained("full").folder.path / "model/config.json").read_text())
    assert config["id2label"] == {"0": "reward"}
