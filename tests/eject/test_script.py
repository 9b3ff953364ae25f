"""The script trains to the losses that ftui trains to, and marks the tokens that ftui marks."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoConfig

from tests.data.chats import assistant, chat, system, user
from tests.data.families import FAMILIES
from tests.data.small_tokenizer import write_model_folder
from tests.tiny_model import (
    chat_rows,
    judged_rows,
    labelled_rows,
    pair_rows,
    text_rows,
    write_rows,
)
from tests.train.running import make_spec, run_worker
from tui_ft.data import Completion, Document, LossOn, MaskedRow, mask_row
from tui_ft.data.chat.tokenizer import load_chat_tokenizer
from tui_ft.eject import EjectError, eject, script
from tui_ft.spec import RunSpec

Rows = tuple[Callable[[int], list[dict[str, object]]], int]
LORA = {"kind": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.1}


def run_script(folder: Path, *, alone: bool) -> list[dict[str, Any]]:
    """Run train.py as people do, or quicker in this process; return what its trainer logged."""
    if alone:
        done = subprocess.run(
            [sys.executable, "train.py"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        )
        assert done.returncode == 0, done.stderr[-3000:]
    else:
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            runpy.run_path("train.py", run_name="__main__")
    states = [json.loads(f.read_text()) for f in folder.glob("checkpoints/*/trainer_state.json")]
    last: dict[str, Any] = max(states, key=lambda state: state["global_step"])
    logged: list[dict[str, Any]] = last["log_history"]
    return logged


ANSWERS: Rows = (chat_rows, 200)
PAIRS: Rows = (pair_rows, 100)
RUNS: dict[str, tuple[Rows, dict[str, Any], dict[str, Any]]] = {
    "sft full": (ANSWERS, {"kind": "sft"}, {"kind": "full"}),
    "sft lora": (ANSWERS, {"kind": "sft"}, LORA),
    "sft qlora": (ANSWERS, {"kind": "sft"}, {**LORA, "kind": "qlora"}),
    "sft adalora": (ANSWERS, {"kind": "sft"}, {"kind": "adalora", "init_r": 6, "target_r": 4}),
    "sft prompt": (ANSWERS, {"kind": "sft"}, {"kind": "prompt_tuning", "num_virtual_tokens": 4}),
    "sft loha": (ANSWERS, {"kind": "sft"},
                 {"kind": "peft", "peft_type": "LOHA", "arguments": {"r": 4, "alpha": 8,
                  "target_modules": ["q_proj"]}}),
    "sft freeze": (ANSWERS, {"kind": "sft"}, {"kind": "freeze", "num_trainable_layers": 1}),
    "sft pissa": (ANSWERS, {"kind": "sft"}, {**LORA, "init_lora_weights": "pissa"}),
    "sft loftq": (ANSWERS, {"kind": "sft"},
                  {**LORA, "kind": "qlora", "init_lora_weights": "loftq"}),
    "sft ewc": (ANSWERS, {"kind": "sft"}, {"kind": "full", "ewc": {"ewc_lambda": 500, "rows": 8,
                "train": "old.jsonl"}}),
    "sft bottleneck": (ANSWERS, {"kind": "sft"}, {"kind": "bottleneck", "bottleneck_size": 8}),
    "pretraining": ((text_rows, 40), {"kind": "pretraining"}, {"kind": "full"}),
    "dpo": (PAIRS, {"kind": "dpo"}, {"kind": "full"}),
    "kto": ((judged_rows, 200), {"kind": "kto"}, LORA),
    "orpo": (PAIRS, {"kind": "orpo"}, LORA),
    "cpo": (PAIRS, {"kind": "cpo", "loss_type": "simpo"}, {"kind": "full"}),
    "reward": (PAIRS, {"kind": "reward"}, LORA),
    "classification": ((labelled_rows, 200), {"kind": "classification",
                        "class_weights": {"sweet": 3.0}}, {**LORA, "target_modules": ["query"]}),
}  # fmt: skip


ALONE = ("sft qlora", "sft bottleneck", "dpo")
"""In a process of their own, without anything of ftui: imports take most of the time."""


@pytest.mark.parametrize("name", list(RUNS))
def test_the_script_trains_to_the_same_losses(
    tmp_path: Path, tiny_llama: Path, tiny_bert: Path, name: str
) -> None:
    (made, count), objective, method = RUNS[name]
    write_rows(tmp_path / "rows.jsonl", made(count))
    if "ewc" in method:
        old = write_rows(tmp_path / "old.jsonl", text_rows(8, seed=3))
        method = {**method, "ewc": {**method["ewc"], "train": str(old)}}
    training: dict[str, Any] = {"gradient_accumulation_steps": 2, "learning_rate": 2e-3,
                                "max_steps": 6, "eval_steps": 3, "save_steps": 3}  # fmt: skip
    if name == "classification":
        training["label_smoothing_factor"] = 0.1
    if name in ("sft loha", "orpo"):  # looked at once, at the end
        training |= {"eval_steps": None, "save_steps": 2}
    if name == "sft full":  # rows are longer than that, and nothing of them is cut off
        training |= {"packing": True, "packing_strategy": "bfd_split", "max_length": 20}
    if name == "classification":
        training |= {"metric_for_best_model": "f1", "label_smoothing_factor": 0.1}
    model = tiny_bert if name == "classification" else tiny_llama
    if name in ("dpo", "kto"):  # dropped by no module of its own, and in no pass all the same
        shutil.copytree(model, model := tmp_path / "model")
        AutoConfig.from_pretrained(model, attention_dropout=0.3).save_pretrained(model)
    spec = make_spec(tmp_path, model, objective=objective, method=method, training=training)
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    done = eject(spec, "script", tmp_path / "script")
    assert (done.rows.train, done.rows.eval) == (count * 9 // 10, count // 10)
    logged = run_script(tmp_path / "script", alone=name in ALONE)
    losses = [entry["loss"] for entry in logged if "loss" in entry]
    assert losses == pytest.approx(ran.losses, abs=1e-4)
    figures = ("eval_loss", *(("eval_f1", "eval_recall") if name == "classification" else ()))
    for figure in figures:
        evaluated = [entry[figure] for entry in logged if figure in entry]
        assert len(evaluated) == (1 if training["eval_steps"] is None else 2)
        assert evaluated == pytest.approx(ran.history.evaluations[figure].y, abs=1e-4)
    kind = "model" if method["kind"] in ("full", "freeze") else "adapter"
    (saved,) = (tmp_path / "script" / kind).glob("*.safetensors")
    kept = safetensors.torch.load_file(ran.folder.output_dir() / saved.name)
    for key, tensor in safetensors.torch.load_file(saved).items():
        torch.testing.assert_close(tensor, kept[key], atol=1e-3, rtol=0)


def encoder(spec: RunSpec, folder: Path) -> Any:
    """Return the script's function that makes tokens of a row; no weights are loaded for it."""
    text = script(spec, evaluates=False)
    (folder / "part.py").write_text(text[: text.index("\non_gpu =")])
    return runpy.run_path(str(folder / "part.py"))["encode"]


CONVERSATIONS = {
    "one turn": chat(user("Hi?"), assistant("Hello there.")),
    "three": chat(
        system("Be brief."),
        user("Hi?"),
        assistant("Hello."),
        user("And now?"),
        assistant("Bye.\nX"),
    ),
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_it_learns_the_tokens_that_ftui_learns(tmp_path: Path, family: str) -> None:
    model = write_model_folder(tmp_path / family, FAMILIES[family])
    tokenizer = load_chat_tokenizer(model)
    compared = 0
    loss_on: LossOn
    for loss_on in ("assistant", "last_assistant", "all"):
        spec = make_spec(tmp_path, model, objective={"loss_on": loss_on})
        encode = encoder(spec, tmp_path)
        for item in CONVERSATIONS.values():
            mask = mask_row(item, tokenizer, loss_on=loss_on, max_length=64)
            if not isinstance(mask, MaskedRow):
                continue  # the template refuses a system message
            compared += 1
            encoded = encode({"text": mask.text, "learned": mask.spans})
            assert encoded["input_ids"] == mask.input_ids
            pairs = zip(mask.input_ids, mask.supervised, strict=True)
            assert encoded["labels"] == [token if yes else -100 for token, yes in pairs]
    assert compared >= 3


@pytest.mark.parametrize("row", [
    {"prompt": "2 + 2 =", "completion": " 4"},
    {"text": "Once upon a time."},
], ids=["completion", "text"])  # fmt: skip
def test_plain_rows_are_written_as_they_are_learned(
    tmp_path: Path, tiny_llama: Path, row: dict[str, str]
) -> None:
    data = write_rows(tmp_path / "plain.jsonl", [dict(row) for _ in range(30)])
    spec = make_spec(tmp_path, tiny_llama, data={"train": str(data)})
    done = eject(spec, "script", tmp_path / "out")
    assert done.rows.train + done.rows.eval == 30
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert "".join(row.values()) in first["text"]
    item = Completion(**row) if "prompt" in row else Document(**row)
    mask = mask_row(item, load_chat_tokenizer(tiny_llama), max_length=64)
    assert isinstance(mask, MaskedRow)
    labels = encoder(spec, tmp_path)(first)["labels"]
    pairs = zip(mask.input_ids, mask.supervised, strict=True)
    assert labels == [token if yes else -100 for token, yes in pairs]


def test_an_existing_folder_is_left_alone(tmp_path: Path, tiny_llama: Path) -> None:
    spec = make_spec(tmp_path, tiny_llama)
    with pytest.raises(EjectError, match="not empty"):
        eject(spec, "script", tmp_path)
    write_rows(tmp_path / "none.jsonl", chat_rows(0))
    spec = make_spec(tmp_path, tiny_llama, data={"train": str(tmp_path / "none.jsonl")})
    with pytest.raises(EjectError):
        eject(spec, "script", tmp_path / "new")
