from __future__ import annotations

from pathlib import Path

import pytest

from tests.advise.given import Arithmetic, situation_of
from tui_ft.advise.tree import advise
from tui_ft.chains.folder import all_chains
from tui_ft.plan.advised_chain import start_chain
from tui_ft.runs.folder import RunError


def test_a_chain_that_cannot_run_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `ftui chain check` finds stands in its way, and no folder is left behind."""
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    said = {"goal": "reasoning", "model": "llama-8b", "data": "math-7k", "gpus": "none"}
    with pytest.raises(RunError) as caught:
        start_chain(advise(situation_of(said), estimator=Arithmetic()))
    for word in ("sft: ", "grpo: ", "/data/math-7k.jsonl"):
        assert word in str(caught.value)
    assert all_chains() == []
