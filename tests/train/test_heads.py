"""LoRA on all linear layers of encoders that score: trained, saved, and loaded by plain peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

from tests.tiny_model import labelled_rows, write_rows
from tests.train.running import make_spec, run_worker
from tui_ft.spec.heads import heads_of, outside

SMALL: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48,
                         "num_attention_heads": 2, "max_position_embeddings": 130}  # fmt: skip
DISTIL: dict[str, Any] = {"n_layers": 1, "dim": 32, "hidden_dim": 48, "n_heads": 2}
RELATIVE: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
MODERN: dict[str, Any] = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2,
                          "eos_token_id": 3}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "roberta": ("roberta", SMALL, None),
    "roberta with another head": ("roberta", SMALL, 2),
    "distilbert": ("distilbert", DISTIL, None),
    "distilbert with a head": ("distilbert", DISTIL, 3),
    "electra": ("electra", {**SMALL, "embedding_size": 32}, None),
    "deberta": ("deberta-v2", {**SMALL, **RELATIVE}, None),
    "modernbert": ("modernbert", {**SMALL, **MODERN}, None),
}
"""Name -> model type, what makes it small, and the outputs of the head that it has already."""


def _model(folder: Path, name: str, bert: Path) -> Path:
    """Make an encoder with the vocabulary of the tiny one; return its folder."""
    model_type, small, outputs = CASES[name]
    known = AutoConfig.from_pretrained(bert)
    vocabulary = {"vocab_size": known.vocab_size, "pad_token_id": 0}
    config = AutoConfig.for_model(model_type, **{**vocabulary, **small})
    torch.manual_seed(0)
    if outputs is None:
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    else:
        config.num_labels = outputs
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    for file in bert.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("name", list(CASES))
def test_plain_peft_loads_what_was_trained(tmp_path: Path, tiny_bert: Path, name: str) -> None:
    model = _model(tmp_path / "model", name, tiny_bert)
    rows = write_rows(tmp_path / "labelled.jsonl", labelled_rows(60))
    spec = make_spec(
        tmp_path,
        model,
        data={"train": str(rows)},
        objective={"kind": "classification"},
        method={"kind": "lora", "r": 4, "target_modules": "all-linear"},
        training={"max_steps": 2, "eval_steps": None, "save_steps": None, "learning_rate": 1e-2},
    )
    run = run_worker(spec, tmp_path / "run")
    assert run.ended.state == "finished", run.ended
    trained = run.trainer.model.eval()
    base = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=3, ignore_mismatched_sizes=True
    )
    loaded = PeftModel.from_pretrained(base, str(run.folder.path / "adapter")).eval()
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert torch.allclose(trained(input_ids=ids).logits, loaded(input_ids=ids).logits)
    # A head is trained whole, and has no adapter.
    parts = [name for name, _ in trained.named_parameters() if "classifier" in name]
    assert parts and not any("lora_" in part for part in parts)


def test_what_is_new_in_a_head_is_not_taken_twice() -> None:
    heads = heads_of(("bert.pooler", "pre_classifier", "classifier", "classifier.dense"))
    assert heads == ("classifier", "pre_classifier")
    new = ("bert.pooler.dense", "classifier", "classifier.out_proj", "pre_classifier")
    assert outside(new, heads) == ["bert.pooler.dense"]
    assert outside(("lm_head",), ()) == ["lm_head"]
