"""Libraries that a run needs are looked for before it starts, and kernels only where they help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tui_ft.hardware import Gpu
from tui_ft.memory.from_spec import not_modelled
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.preflight import check
from tui_ft.spec import RunSpec, kernels
from tui_ft.spec.kernels import HUB, LIGER, uses
from tui_ft.spec.ladder import with_changes

GPU = Gpu(0, "GPU-0", "NVIDIA H100")
SOME = "training.use_liger_kernel"


def _said(spec: RunSpec, folder: Path, gpus: tuple[Gpu, ...], **changes: Any) -> list[Finding]:
    changed = with_changes(spec, {key.replace("__", "."): v for key, v in changes.items()})
    return [
        finding
        for finding in check(changed, folder, gpus)
        if finding.text.startswith(("training.", "model.", "not used", "packing"))
    ]


def test_an_optimizer_whose_library_is_missing_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    (bad,) = _said(spec, tmp_path, (), training__optim="schedule_free_adamw")
    assert (bad.severity, bad.advice) == ("bad", "`pip install schedulefree`")
    assert "schedule_free_adamw needs schedulefree" in bad.text
    assert _said(spec, tmp_path, (), training__optim="adamw_8bit") == []


@pytest.mark.parametrize("key", [LIGER, HUB])
def test_kernels_are_used_where_they_can_be_and_else_it_is_said(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    asked = with_changes(spec, {key: True})
    auto = with_changes(spec, {key: "auto"})
    monkeypatch.setattr(kernels, "is_installed", lambda _: False)
    monkeypatch.setattr(kernels.why_not, "__kwdefaults__", {"installed": lambda _: False})
    (bad,) = _said(asked, tmp_path, (GPU,))
    assert bad.severity == "bad"
    assert "is not installed" in bad.text
    (note,) = _said(auto, tmp_path, (GPU,))
    assert (note.severity, note.text[:9]) == ("note", "not used:")
    assert not uses(auto, key, on_gpu=True)
    monkeypatch.setattr(kernels.why_not, "__kwdefaults__", {"installed": lambda _: True})
    assert _said(asked, tmp_path, (GPU,)) == []
    assert uses(auto, key, on_gpu=True)
    assert not uses(auto, key, on_gpu=False)
    (bad,) = _said(asked, tmp_path, ())
    assert "run on GPUs alone" in bad.text


def test_liger_is_left_alone_where_nobody_tried_it(spec: RunSpec) -> None:
    grpo = {"kind": "grpo", "rewards": [{"kind": "length", "most": 8}]}
    online = with_changes(spec, {LIGER: "auto", "objective": grpo})
    why = kernels.why_not(online, LIGER, on_gpu=True, installed=lambda _: True)
    assert why is not None
    assert "grpo" in why[0]


def test_packed_rows_of_a_pass_are_one_sequence_and_that_is_said(
    spec: RunSpec, tmp_path: Path
) -> None:
    packed = {"training__packing": True, "training__per_device_train_batch_size": 8}
    (note,) = _said(spec, tmp_path, (), **packed)
    assert note.text.startswith("packing: the 8 rows of a pass are one sequence")
    assert _said(spec, tmp_path, (), **packed, training__packing_strategy="wrapped") == []
    flash = _said(spec, tmp_path, (GPU,), **packed, model__attn_implementation="flash_attention_2")
    assert not any("packing" in one.text for one in flash)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.label_smoothing_factor", 0.1, "label smoothing"),
        ("training.neftune_noise_alpha", 5.0, "NEFTune"),
        ("training.torch_compile", True, "torch.compile"),
        ("training.use_liger_kernel", "auto", "Liger"),
        ("model.use_kernels", True, "kernels of the Hub"),
        ("training.torch_empty_cache_steps", 5, "giving memory back"),
        ("training.padding_free", True, "padding"),
        ("training.optim", "grokadamw", "the band is wider"),
    ],
)
def test_what_no_figure_of_memory_knows_is_said(
    spec: RunSpec, key: str, value: Any, said: str
) -> None:
    assert not_modelled(spec) == ()
    (sentence,) = not_modelled(with_changes(spec, {key: value}))
    assert said in sentence
    assert "not modelled" in sentence
