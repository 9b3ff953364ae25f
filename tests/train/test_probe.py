"""A probe makes real steps with the run's own trainer; on the CPU the profiler measures them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.memory.models import TINY
from tui_ft.dryrun.replay import replay
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import CONTEXT, CONTEXT_LOW, Figure
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.probing import ProbeAnswer, figure_of_probe, probe
from tui_ft.spec import RunSpec, build_spec
from tui_ft.train.precision import Precision
from tui_ft.train.random_model import random_model


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    return build_spec(
        {
            "model": {"name_or_path": str(tmp_path), "attn_implementation": "eager"},
            "data": {"train": "-"},
            "training": {
                "max_length": 256,
                "per_device_train_batch_size": 2,
                "precision": "fp32",
                "gradient_accumulation_steps": 1,
            },
        }
    )


def test_real_steps_take_what_the_dry_run_says(spec: RunSpec) -> None:
    figure = probe(spec, TINY, longest=96, device="cpu")
    assert isinstance(figure, Figure), figure
    said = replay(step_of(spec, TINY, longest=96), device="cpu")
    tensors = next(term.size for term in figure.terms if term.name == "tensors")
    workspace = int(8.125 * 2**20)  # cuBLAS's, which the CPU has not
    assert tensors == pytest.approx(said.requested - workspace, rel=0.005)
    assert figure.source == "probe"
    assert figure.trainable_parameters == said.trainable_parameters
    assert figure.parameters == said.parameters


def test_random_weights_in_4_bits_share_what_the_real_ones_share(tmp_path: Path) -> None:
    asked = {"model": {"name_or_path": str(tmp_path)}, "data": {"train": "-"}}
    tied = {**TINY, "tie_word_embeddings": True}
    for kind in ("qlora", "lora"):
        spec = build_spec({**asked, "method": {"kind": kind}})
        model = random_model(tied, spec, Precision("bf16", torch.bfloat16), "cpu")
        assert model.lm_head.weight is model.model.embed_tokens.weight


def test_without_a_gpu_that_is_said(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    answer = probe(spec, TINY)
    assert isinstance(answer, Unknown)
    assert answer.reason.startswith("there is no GPU here that torch can use")


def test_a_figure_sums_up_to_what_the_process_holds() -> None:
    figure = figure_of_probe(ProbeAnswer(allocated=10_000, reserved=12_000, process=2**30))
    assert figure.expected == 2**30 == sum(term.size for term in figure.terms)
    assert figure.low == 10_000 + CONTEXT_LOW
    assert figure_of_probe(ProbeAnswer(allocated=1, reserved=2)).expected == 2 + CONTEXT


def test_what_torch_asked_for_is_read_from_its_words() -> None:
    from tui_ft.train.probe import _asked_for

    said = "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of …"
    assert _asked_for(said) == 3 * 2**29
    assert _asked_for("something else") == 0
