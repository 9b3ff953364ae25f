"""The policy that answers is the one whose probabilities are compared, and at first its reference.

Were it not, ratios would differ from 1 before anything is learned, and clipping would decide what
is. Looked at with adapters, a base in 4 bits, all weights, dropout and recomputed activations.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    GenerationMixin,
    GPT2Config,
    GPT2LMHeadModel,
)

from tests.tiny_model import chat_rows, write_rows
from tests.train.ppo.answering import COLOUR, LORA
from tests.train.running import make_spec, make_trainer, run_worker
from tui_ft.runs import events as ev
from tui_ft.spec import RunSpec
from tui_ft.train.ppo.rollout import lay_out
from tui_ft.train.ppo.value_head import bare

GROUPS: Final = {"num_generations": 4, "num_iterations": 2, "beta": 0.05}
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "ppo": {"num_ppo_epochs": 2, "disable_dropout": False},
    "rloo": GROUPS,
    "grpo": GROUPS,
}
METHODS: Final[dict[str, dict[str, Any]]] = {
    "lora": {**LORA, "lora_dropout": 0.3},
    "qlora": {**LORA, "kind": "qlora", "lora_dropout": 0.3},
    "full": {"kind": "full"},
}
LEARNED: Final[dict[str, dict[str, Any]]] = {
    kind: {"kind": kind, "num_virtual_tokens": 6}
    for kind in ("prompt_tuning", "p_tuning", "prefix_tuning")
}


def _spec(folder: Path, model: Path, objective: str, method: str, **training: Any) -> RunSpec:
    write_rows(folder / "rows.jsonl", chat_rows(40))
    return make_spec(
        folder,
        model,
        objective={
            "kind": objective,
            "rewards": [COLOUR],
            "max_completion_length": 8,
            **OBJECTIVES[objective],
        },
        method={**METHODS, **LEARNED}[method],
        training={
            "per_device_train_batch_size": 8,
            "eval_steps": None,
            "save_steps": None,
            **training,
        },
        hardware={"gpus": "none", "cpu_threads": 1},
    )


class _Sampled:
    """What generating found of each token that it sampled."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.log_probs = torch.empty(0)
        self.were_likeliest = torch.empty(0)
        real = GenerationMixin.generate

        def generate(model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            found = real(model, *args, **kwargs, return_dict_in_generate=True, output_logits=True)
            logits = torch.stack(found.logits, dim=1).float().log_softmax(-1)
            tokens = found.sequences[:, -logits.shape[1] :]
            self.log_probs = logits.gather(-1, tokens[..., None])[..., 0]
            self.were_likeliest = tokens == logits.argmax(-1)
            return found.sequences  # type: ignore[no-any-return]

        patch.setattr(GenerationMixin, "generate", generate)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_what_was_sampled_is_as_likely_when_it_is_scored(
    tmp_path: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    method: str,
) -> None:
    """With an adapter that does something already; it has dropout, and so has the attention.

    The model comes with a `generation_config` that would allow the likeliest token alone.
    """
    shutil.copytree(tiny_llama, tmp_path / "model")
    config = AutoConfig.from_pretrained(tiny_llama, attention_dropout=0.3)
    config.save_pretrained(tmp_path / "model")
    GenerationConfig(do_sample=True, min_p=1.0).save_pretrained(tmp_path / "model")
    tiny_llama = tmp_path / "model"
    trainer = make_trainer(_spec(tmp_path, tiny_llama, objective, method), tmp_path)
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    trainer.model.train()
    attention = next(m for m in trainer.model.modules() if type(m).__name__ == "LlamaAttention")
    assert attention.attention_dropout == 0.3
    sampled = _Sampled(monkeypatch)
    rows = [trainer.train_dataset[number // 4] for number in range(8)]
    if objective == "ppo":
        rollout = trainer._roll_out(rows, learning=True)
        for place, mask in enumerate(rollout.rows.answer_mask):
            scored = rollout.log_probs[place][mask]
            torch.testing.assert_close(
                scored, sampled.log_probs[place, : len(scored)], atol=1e-4, rtol=0
            )
    else:
        found = trainer._generate_and_score_completions(rows)
        mask = found["completion_mask"]
        expected = sampled.log_probs[:, : mask.shape[1]] * mask
        if objective == "rloo":
            torch.testing.assert_close(found["old_logps"], expected.sum(1), atol=1e-4, rtol=0)
        else:
            scored = found["old_per_token_logps"] * mask
            torch.testing.assert_close(scored, expected, atol=1e-4, rtol=0)
    assert not sampled.were_likeliest.all()
    assert bare(trainer.model).generation_config.min_p == 1.0  # for who uses the model later
    dropouts = [m for m in trainer.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert any(m.p == 0.3 for m in dropouts)
    assert all(m.training for m in trainer.model.modules())  # it trains with what was asked for


@pytest.mark.parametrize("method", LEARNED)
def test_learned_tokens_stand_as_near_to_a_short_prompt(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    trainer = make_trainer(_spec(tmp_path, tiny_llama, "ppo", method), tmp_path)
    torch.manual_seed(0)
    for parameter in trainer.model.prompt_encoder.parameters():
        torch.nn.init.normal_(parameter)
    for parameter in trainer.model.get_base_model().model.layers.parameters():
        parameter.mul_(4) if not parameter.requires_grad else None  # so that places tell
    sampled = _Sampled(monkeypatch)
    prompts = [[5, 6, 7, 8, 9, 10, 11], [40], [12, 13, 14]]
    answers = [tokens for tokens, _ in trainer._answers(prompts)]
    rows = lay_out(prompts, answers, 1, torch.device("cpu"))
    scored = trainer._judged(rows)[0].log_probs
    for place, mask in enumerate(rows.answer_mask):
        found = scored[place][mask]
        torch.testing.assert_close(found, sampled.log_probs[place, : len(found)], atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """Return a model that learns positions, each of its own."""
    folder, tokenizer = tmp_path_factory.mktemp("gpt2"), AutoTokenizer.from_pretrained(tiny_llama)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=128,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("objective", ["rloo", "grpo"])
@pytest.mark.parametrize("method", ["full", "prefix_tuning", "p_tuning"])
def test_padding_moves_no_token(
    tmp_path: Path,
    tiny_llama: Path,
    tiny_gpt2: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    method: str,
) -> None:
    """What is sampled in a batch is as likely when it is scored there, and when it stands alone."""
    model = tiny_gpt2 if method == "full" else tiny_llama
    trainer = make_trainer(_spec(tmp_path, model, objective, method), tmp_path)
    torch.manual_seed(0)
    if method != "full":
        for parameter in trainer.model.prompt_encoder.parameters():
            torch.nn.init.normal_(parameter)
        for parameter in trainer.model.get_base_model().model.layers.parameters():
            parameter.mul_(4)
    trainer.model.train()
    sampled = _Sampled(monkeypatch)
    long, short = (dict(trainer.train_dataset[number]) for number in (0, 1))
    short["prompt_input_ids"] = short["prompt_input_ids"][-6:]
    found = trainer._generate_and_score_completions([long] * 4 + [short] * 4)
    answers, mask = found["completion_ids"], found["completion_mask"]
    expected = sampled.log_probs[:, : mask.shape[1]] * mask
    trainer.model.eval()  # GPT-2 has dropout
    for row, (prompt, answer) in enumerate(zip([long] * 4 + [short] * 4, answers, strict=True)):
        tokens = answer[mask[row].bool()]
        whole = torch.cat([torch.tensor(prompt["prompt_input_ids"]), tokens])[None]
        with torch.no_grad():
            alone, *_ = trainer._get_per_token_logps_and_entropies(
                trainer.model, whole, torch.ones_like(whole), len(tokens)
            )
        torch.testing.assert_close(alone[0], expected[row, : len(tokens)], atol=1e-4, rtol=0)
    if objective == "rloo":
        torch.testing.assert_close(found["old_logps"], expected.sum(1), atol=1e-4, rtol=0)
    else:
        scored = found["old_per_token_logps"] * mask
        torch.testing.assert_close(scored, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_without_learning_ratios_are_one_and_the_kl_is_zero(
    tmp_path: Path, tiny_llama: Path, objective: str, method: str
) -> None:
    spec = _spec(
        tmp_path,
        tiny_llama,
        objective,
        method,
        learning_rate=1e-30,
        max_steps=2,
        gradient_checkpointing=True,
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    for event in ran.of(ev.Metrics):
        assert event.values["clip_ratio/region_mean"] == 0
        assert event.values.get("kl", 0.0) == pytest.approx(0, abs=1e-6)
        if objective == "ppo":
            assert event.values["approx_kl"] == pytest.approx(0, abs=1e-12)
        else:  # advantages add up to nothing, so that only ratios other than 1 make a loss
            assert event.values["loss"] == pytest.approx(0, abs=1e-5)
