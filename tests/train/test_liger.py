"""Liger's layers: which of it is used, and where it is installed that nothing else comes out.

Its kernels run on the CPU through Triton's interpreter, where `liger-kernel` and `triton` are
there: `TRITON_INTERPRET=1 pytest tests/train/test_liger.py`, minutes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_model import chat_rows, judged_rows, labelled_rows, pair_rows, text_rows, write_rows
from tests.train.running import make_spec, make_trainer, run_worker
from tui_ft.spec import RunSpec

ROWS = {
    "sft": chat_rows,
    "pretraining": text_rows,
    "classification": labelled_rows,
    "dpo": pair_rows,
    "kto": judged_rows,
    "reward": pair_rows,
    "orpo": pair_rows,
}


def _spec(folder: Path, model: Path, kind: str, liger: bool, method: str = "lora") -> RunSpec:
    data = write_rows(folder / f"{kind}.jsonl", ROWS[kind](60))
    return make_spec(
        folder,
        model,
        objective={"kind": kind},
        method={"kind": method},
        data={"train": str(data), "eval_fraction": 0.1},
        training={
            **{"max_steps": 2, "eval_steps": None, "save_steps": None, "use_liger_kernel": liger},
            "per_device_train_batch_size": 2,
        },
    )


@pytest.mark.parametrize("kind", ["sft", "dpo", "classification"])
def test_its_layers_are_used_and_not_its_loss(tmp_path: Path, tiny_llama: Path, kind: str) -> None:
    trainer = make_trainer(_spec(tmp_path, tiny_llama, kind, True), tmp_path)
    assert trainer.args.use_liger_kernel
    assert trainer.args.liger_kernel_config == {"fused_linear_cross_entropy": False}


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Triton's interpreter take what it lacks: numbers as arguments, and libdevice."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("TRITON_INTERPRET is not 1")
    pytest.importorskip("triton")
    interpreter: Any = pytest.importorskip("triton.runtime.interpreter")
    language: Any = pytest.importorskip("triton.language")
    norm: Any = pytest.importorskip("liger_kernel.ops.rms_norm")
    llama: Any = pytest.importorskip("transformers.models.llama.modeling_llama")
    real = interpreter._implicit_cvt

    def convert(given: Any) -> Any:
        if type(given) is not float:
            return real(given)
        handle = interpreter.TensorHandle(np.array([given], np.float32), language.float32)
        return language.core.tensor(handle, language.float32)

    def rsqrt(given: Any) -> Any:
        return language.rsqrt(given)  # looked up now: the language is the interpreter's by then

    monkeypatch.setattr(interpreter, "_implicit_cvt", convert)
    monkeypatch.setattr(norm, "rsqrt", rsqrt)
    for name in ("apply_rotary_pos_emb", "LlamaRMSNorm", "LlamaMLP"):  # Liger changes the module
        monkeypatch.setattr(llama, name, getattr(llama, name))
    yield


@pytest.mark.parametrize(("kind", "method"), [("sft", "full"), *((kind, "lora") for kind in ROWS)])
def test_the_curve_is_the_one_without(
    tmp_path: Path, tiny_llama: Path, interpreted: None, kind: str, method: str
) -> None:
    plain = run_worker(_spec(tmp_path, tiny_llama, kind, False, method), tmp_path / "plain")
    fused = run_worker(_spec(tmp_path, tiny_llama, kind, True, method), tmp_path / "fused")
    assert plain.ended.state == fused.ended.state == "finished", fused.ended
    assert any("Liger" in type(one).__name__ or "iger" in str(one.forward.__func__.__module__)
               for one in fused.trainer.model.modules())  # fmt: skip
    assert fused.losses == pytest.approx(plain.losses, abs=1e-4)
