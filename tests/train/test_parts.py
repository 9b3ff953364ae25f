from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny_model import chat_rows, write_rows
from tests.train.running import make_spec, make_trainer
from tui_ft.runs import events as ev
from tui_ft.spec.distributed import DdpStrategy, FsdpStrategy
from tui_ft.train.generation import answer, grade, is_exact_match, is_valid_json
from tui_ft.train.precision import Precision, choose_precision
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.dataset import Question, prepare_data
from tui_ft.train.rows.protocol import IGNORED
from tui_ft.train.several.spread import trainer_arguments
from tui_ft.train.several.together import Ranks


def test_the_batch_that_the_trainer_sees_is_masked_token_by_token(
    tmp_path: Path, tiny_llama: Path
) -> None:
    spec = make_spec(tmp_path, tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    trainer = make_trainer(spec, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] == 8
    for ids, labels, attended in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        learned = tokenizer.decode(ids[labels != IGNORED])
        whole = tokenizer.decode(ids[attended == 1])
        _, _, after = whole.partition("<|im_start|>assistant\n")
        assert learned == after.removesuffix("\n")
        assert learned.endswith("<|im_end|>")
        assert torch.equal(labels[labels != IGNORED], ids[labels != IGNORED])
        assert (labels[attended == 0] == IGNORED).all()


def test_the_split_holds_rows_out_and_asks_only_those(tmp_path: Path, tiny_llama: Path) -> None:
    rows = chat_rows(100)
    for number, row in enumerate(rows):
        messages = row["messages"]
        assert isinstance(messages, list)
        messages[0]["content"] = f"question {number}"
    write_rows(tmp_path / "rows.jsonl", rows)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    spec = make_spec(tmp_path, tiny_llama)
    data = prepare_data(
        spec, TransformersChatTokenizer(tokenizer), tmp_path / "cache", 5, lambda _: None
    )
    assert data.eval is not None
    assert (len(data.train), len(data.eval)) == (90, 10)
    trained = {tokenizer.decode(row["input_ids"]) for row in data.train}
    assert len(data.questions) == 5
    for question in data.questions:
        assert question.prompt.endswith("<|im_start|>assistant\n")
        assert not any(text.startswith(question.prompt) for text in trained)
        assert question.shown_prompt == f"question {question.line - 1}"


def test_of_a_folder_only_the_rows_held_out_are_asked(tmp_path: Path, tiny_llama: Path) -> None:
    rows = chat_rows(100)
    for number, row in enumerate(rows):
        messages = row["messages"]
        assert isinstance(messages, list)
        messages[0]["content"] = f"question {number}"
    folder = tmp_path / "rows"
    folder.mkdir()
    write_rows(folder / "a.jsonl", rows[:50])
    write_rows(folder / "b.jsonl", rows[50:])
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    spec = make_spec(tmp_path, tiny_llama, data={"train": str(folder)})
    data = prepare_data(
        spec, TransformersChatTokenizer(tokenizer), tmp_path / "cache", 10, lambda _: None
    )
    trained = {tokenizer.decode(row["input_ids"]) for row in data.train}
    assert (len(trained), len(data.questions)) == (90, 10)
    for question in data.questions:
        assert not any(text.startswith(question.prompt) for text in trained)


def _learned(count: int) -> PromptTuningConfig:
    return PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=count)


@pytest.mark.parametrize("learned", [0, 6])
def test_answers_do_not_depend_on_the_batch_and_leave_the_model_as_it_was(
    tiny_llama: Path, learned: int
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    if learned:
        torch.manual_seed(0)
        with torch.no_grad():  # so that it tells how far its tokens stand from each other
            for parameter in model.model.layers.parameters():
                parameter.mul_(8)
        model = get_peft_model(model, _learned(learned))
    model.train()
    questions = [Question(1, "short", "", ""), Question(2, "a rather longer prompt", "", "")]
    together = answer(model, tokenizer, questions, max_new_tokens=6, batch_size=2)
    alone = [
        answer(model, tokenizer, [question], max_new_tokens=6, batch_size=1)[0]
        for question in questions
    ]
    assert together == alone
    assert model.training
    assert tokenizer.padding_side == "right"


@pytest.mark.parametrize(
    ("given", "reference", "exact", "valid"),
    [
        ('{"a":1}', '{"a":1}', True, True),
        (' {"a":1}\n', '{"a":1}', True, True),
        ('{"a": 1}', '{"a":1}', False, True),
        ('{"a":1} and more', '{"a":1}', False, False),
        ("", '{"a":1}', False, False),
        ("[" * 100_000, "[]", False, False),
    ],
)
def test_grading(given: str, reference: str, exact: bool, valid: bool) -> None:
    assert is_exact_match(given, reference) is exact
    assert is_valid_json(given) is valid


def test_a_score_is_the_share_of_rows() -> None:
    questions = [Question(n, "", f"q{n}", "yes") for n in range(4)]
    score = grade("after", questions, ["yes", "no", "yes ", "1"], ["exact_match", "valid_json"])
    assert score.values == {"exact_match": 0.5, "valid_json": 0.25}
    assert score.examples[1] == ev.Example("q1", "no", "yes", False)


def test_precision_follows_method_and_wish(tmp_path: Path, tiny_llama: Path) -> None:
    full = make_spec(tmp_path, tiny_llama, training={"precision": "bf16"})
    assert choose_precision(full, on_gpu=False) == Precision("bf16", torch.float32)
    lora = make_spec(tmp_path, tiny_llama, method={"kind": "lora"}, training={"precision": "bf16"})
    assert choose_precision(lora, on_gpu=False) == Precision("bf16", torch.bfloat16)
    chosen = make_spec(
        tmp_path,
        tiny_llama,
        model={"dtype": "bfloat16"},
        training={"precision": "bf16"},
    )
    assert choose_precision(chosen, on_gpu=False).weights is torch.bfloat16


def test_fsdp_shares_gradients_out_after_each_pass_and_each_trainer_is_told_by_itself() -> None:
    """transformers writes into what it is given: two trainers of a process must not share it."""
    told = [trainer_arguments(Ranks(0, 2, FsdpStrategy())) for _ in range(2)]
    for one in told:
        assert one["accelerator_config"]["gradient_accumulation_kwargs"] == {
            "sync_each_batch": True
        }
    told[0]["accelerator_config"]["gradient_accumulation_kwargs"]["num_steps"] = 1
    assert "num_steps" not in told[1]["accelerator_config"]["gradient_accumulation_kwargs"]
    assert "accelerator_config" not in trainer_arguments(Ranks(0, 2, DdpStrategy()))
