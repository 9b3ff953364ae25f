"""Whatever a run may ask for has a form in a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import chat_rows, write_rows
from tests.train.running import make_spec
from tui_ft.eject import eject
from tui_ft.eject.forms import FORMS
from tui_ft.eject.reward_lines import WRITERS
from tui_ft.spec.objectives import Objective
from tui_ft.spec.rewards import Reward


def kinds_of(union: Any) -> set[str]:
    return {member.model_fields["kind"].default for member in union.__origin__.__args__}


def test_every_objective_and_every_reward_has_one() -> None:
    assert set(FORMS) == kinds_of(Objective)
    assert set(WRITERS) == kinds_of(Reward)


@pytest.mark.parametrize(
    ("kind", "method"),
    [("ppo", {"kind": "full"}), ("ppo", {"kind": "lora"}), ("sft", {"kind": "bottleneck"})],
)
def test_what_lies_beside_a_script_needs_nothing_of_ftui(
    tmp_path: Path, tiny_llama: Path, kind: str, method: dict[str, Any]
) -> None:
    write_rows(tmp_path / "rows.jsonl", chat_rows(20))
    objective: dict[str, Any] = {"kind": kind}
    if kind == "ppo":
        objective |= {"rewards": [{"kind": "regex", "pattern": "a"}], "max_completion_length": 16}
    spec = make_spec(tmp_path, tiny_llama, objective=objective, method=method)
    eject(spec, "script", tmp_path / "out")
    files = sorted((tmp_path / "out").rglob("*.py"))
    assert len(files) > 1
    for file in files:
        text = file.read_text()
        compile(text, str(file), "exec")
        assert "tui_ft" not in text
        assert file.stat().st_mode & 0o777 == 0o600
