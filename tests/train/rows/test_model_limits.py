"""Tokens that a model has no embedding for are told in words before anything is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.train.running import make_spec, run_worker
from tui_ft.runs import events as ev

ONE_STEP = {"max_steps": 1, "eval_steps": None, "save_steps": None}


@pytest.fixture
def llama(tmp_path: Path, tiny_llama: Path) -> Path:
    """A copy of the tiny model, for other tokens."""
    return shutil.copytree(tiny_llama, tmp_path / "model")


def test_a_padding_token_that_the_model_lacks_is_set_to_the_end_of_text(
    tmp_path: Path, llama: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(llama)
    ran = run_worker(make_spec(tmp_path, llama, training=ONE_STEP), tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert any("'<|im_end|>' pads" in alert.text for alert in ran.of(ev.Alert))
    saved = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert saved.pad_token == "<|im_end|>"


def test_a_token_that_the_model_lacks_is_named(tmp_path: Path, llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_tokens(["banana"])
    tokenizer.save_pretrained(llama)
    ran = run_worker(make_spec(tmp_path, llama, training=ONE_STEP), tmp_path / "run")
    assert ran.ended.state == "failed"
    assert "the token 'banana'" in ran.ended.reason
    assert "resize_token_embeddings" in ran.ended.advice[1]
