"""What a run asks of libraries and of its card is looked at before anything is loaded."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import pytest

from tui_ft.hardware import Gpu
from tui_ft.runs.checks import libraries as libraries_check
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.libraries import check_libraries
from tui_ft.spec import build_spec, kernels
from tui_ft.spec.versions import unmet

AMPERE = Gpu(1, "GPU-1", "NVIDIA A100", compute_capability=(8, 0))
TURING = Gpu(0, "GPU-0", "Tesla T4", compute_capability=(7, 5))
BLACKWELL = replace(AMPERE, name="NVIDIA B200", compute_capability=(10, 0))


def _found(gpus: tuple[Gpu, ...], **groups: Any) -> list[Finding]:
    values = {"name_or_path": "m", **groups.pop("model", {})}
    spec = build_spec({"model": values, "data": {"train": "d"}, **groups})
    return check_libraries(spec, gpus)


def _install(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    monkeypatch.setattr(libraries_check, "is_installed", lambda module: module in modules)


@pytest.mark.parametrize(
    ("version", "gpus", "installed", "said"),
    [
        (2, (AMPERE,), ("flash_attn",), []),
        (2, (TURING, AMPERE), ("flash_attn",), ["takes compute capability 8.x and 9.x and"]),
        (2, (), ("flash_attn",), ["runs on NVIDIA GPUs, and the run has none"]),
        (2, (AMPERE,), ("kernels",), ["the Hub's kernels-community/flash-attn2 is fetched"]),
        (2, (AMPERE,), (), ["needs flash-attn --no-build-isolation"]),
        (3, (AMPERE,), ("flash_attn_interface",), []),
        (3, (BLACKWELL,), ("flash_attn_interface",), ["GPU 1 (NVIDIA B200) has 10.0"]),
        (3, (AMPERE,), ("flash_attn",), ["needs flash-attn-3"]),
    ],
)
def test_flash_attention_is_refused_where_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    gpus: tuple[Gpu, ...],
    installed: tuple[str, ...],
    said: list[str],
) -> None:
    _install(monkeypatch, *installed)
    found = _found(gpus, model={"attn_implementation": f"flash_attention_{version}"})
    assert [words in one.text for one, words in zip(found, said, strict=True)] == [True] * len(said)
    assert {one.severity for one in found} <= {"note" if "kernels" in installed else "bad"}


@pytest.mark.parametrize(
    ("optim", "said"),
    [
        ("schedule_free_adamw", ["averages weights in place of a falling rate, and cosine"]),
        ("lomo", ["training.max_grad_norm does nothing"]),
        ("grokadamw", ["a run that is resumed begins its states anew"]),
        ("apollo_adamw_layerwise", ["begins its states, and its schedule, anew", "max_grad_norm"]),
        ("adalomo", ["begins its states anew", "training.max_grad_norm does nothing"]),
        ("galore_adamw", []),
    ],
)
def test_what_an_optimizer_cannot_is_said(
    monkeypatch: pytest.MonkeyPatch, optim: str, said: list[str]
) -> None:
    monkeypatch.setattr(libraries_check, "is_installed", lambda _: True)
    found = _found((AMPERE,), training={"optim": optim}, method={"kind": "full"})
    assert [words in one.text for one, words in zip(found, said, strict=True)] == [True] * len(said)
    assert {one.severity for one in found} <= {"warning"}


def test_what_needs_cuda_is_refused_where_a_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries_check, "is_installed", lambda _: True)
    bad = [f for f in _found((), training={"optim": "adalomo"}) if f.severity == "bad"]
    assert [one.text for one in bad] == [
        "training.optim: adalomo keeps its states on an NVIDIA GPU, and the run has none"
    ]


def test_unsloth_beside_newer_libraries_than_it_asks_for_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As Unsloth 2026.10.9 says of itself.
    asks = ["transformers!=5.1.0,<=5.17.0,>=4.52.4", "trl<=1.15.0,>=0.18.2", "numpy", "torch>=2.4"]
    versions = {"transformers": "5.23.0", "trl": "1.14.2", "torch": "2.13.0+cpu", "numpy": "2.4.6"}
    monkeypatch.setattr(libraries_check, "is_installed", lambda _: True)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asks)
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    (warned,) = _found((AMPERE,), model={"backend": "unsloth"})
    assert warned.severity == "warning"
    assert "asks for transformers!=5.1.0,<=5.17.0,>=4.52.4, and transformers 5.23.0" in warned.text
    assert unmet("unsloth", ("numpy", "torch")) == []


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.17.2", "transformers takes kernels<0.19,>=0.18.2, and kernels 0.17.2 is installed"),
        ("0.18.3", "model.use_kernels: used"),
    ],
)
def test_kernels_that_transformers_does_not_take_are_not_there(
    monkeypatch: pytest.MonkeyPatch, version: str, said: str
) -> None:
    asks = ['kernels<0.19,>=0.18.2; extra == "kernels"']  # as transformers 5.23 says of itself
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asks)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    monkeypatch.setattr(kernels.why_not, "__kwdefaults__", {"installed": lambda _: True})
    (note,) = _found((AMPERE,), model={"use_kernels": "auto"})
    assert said in note.text


def test_of_what_is_not_installed_nothing_is_asked() -> None:
    assert unmet("no-such-package-at-all", ("torch",)) == []
