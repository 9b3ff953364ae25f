"""What is passed on to a library is known before that is loaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.spec.test_combinations import LEAST
from tui_ft.spec import build_spec
from tui_ft.spec.installed import arguments_of
from tui_ft.spec.passed_on import passed_on_faults


@pytest.mark.parametrize(
    ("groups", "reason", "advice"),
    [
        (
            {"training": {"extra": {"foo": 1}}},
            "training.extra.foo: SFTConfig has no such argument",
            None,
        ),
        (
            {"training": {"extra": {"dataloader_prefetch_facto": 2}}},
            "training.extra.dataloader_prefetch_facto: SFTConfig has no such argument",
            "did you mean `dataloader_prefetch_factor`?",
        ),
        (
            {"training": {"extra": {"learning_rat": 1}}},
            "training.extra.learning_rat: SFTConfig has no such argument",
            "did you mean `training.learning_rate`?",
        ),
        (
            {"training": {"extra": {"output_dir": "/elsewhere"}}},
            "training.extra.output_dir: ftui sets this itself",
            "write training.output_dir if there is such a field, else leave it out",
        ),
        (
            {"objective": {"kind": "classification"}, "training": {"extra": {"eos_token": "x"}}},
            "training.extra.eos_token: TrainingArguments has no such argument",
            None,
        ),
        (
            {"method": {"kind": "lora", "extra": {"layers_to_transfrm": [1]}}},
            "method.extra.layers_to_transfrm: LoraConfig has no such argument",
            "did you mean `layers_to_transform`?",
        ),
        (
            {"hardware": {"num_gpus": 2, "distributed": {"kind": "ddp", "extra": {"statik": 1}}}},
            "hardware.distributed.extra.statik: DistributedDataParallelKwargs has no such argument",
            None,
        ),
    ],
)
def test_what_a_library_does_not_take_is_told(
    groups: dict[str, Any], reason: str, advice: str | None
) -> None:
    (fault,) = passed_on_faults(build_spec({**LEAST, **groups}))
    assert fault.reason == reason
    assert fault.advice == advice or advice is None


def test_what_it_takes_is_passed_on() -> None:
    extra = {"dataloader_prefetch_factor": 2, "eos_token": "x", "average_tokens_across_devices": 1}
    method = {"kind": "lora", "extra": {"layers_to_transform": [1]}}
    assert not passed_on_faults(build_spec({**LEAST, "training": {"extra": extra}}))
    assert not passed_on_faults(build_spec({**LEAST, "method": method}))


def test_of_a_library_that_is_not_here_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of one that is written otherwise than it was."""
    package = tmp_path / "odd_library"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from .a import Made, Kept\nfrom .gone import Lost\n"
        "from dataclasses import dataclass\nimport other\n"
        "@dataclass\nclass Odd(other.Base):\n    x: int = 1\n"
    )
    (package / "a.py").write_text(
        "from dataclasses import dataclass, field\nfrom typing import ClassVar\n"
        "class Made:\n    def __init__(self, a, *, b): ...\n"
        "@dataclass\nclass Base:\n    x: int = 1\n    y: int = field(init=False)\n"
        "@dataclass(frozen=True)\nclass Kept(Base):\n    z: int = 1\n    c: ClassVar[int] = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert arguments_of("odd_library", "Made") == frozenset("ab")
    assert arguments_of("odd_library", "Kept") == frozenset("xz")
    for name in ("Odd", "Lost", "Nothing"):
        assert arguments_of("odd_library", name) is None
    assert arguments_of("no_such_library", "Odd") is None
    assert "odd_library" not in sys.modules
