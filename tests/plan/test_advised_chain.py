from __future__ import annotations

from pathlib import Path

import pytest

from tests.advise.given import Arithmetic, situation_of
from tui_ft.advise.tree import advise
from tui_ft.chains.check import check_chain
from tui_ft.plan.advised_chain import chain_of


def test_a_chain_that_is_advised_is_checked_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths are absolute, and `ftui chain check` finds what stands in its way."""
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    said = {"goal": "reasoning", "model": "llama-8b", "data": "math-7k", "gpus": "none"}
    chain = chain_of(advise(situation_of(said), estimator=Arithmetic()))
    found = check_chain(chain, memory=True)
    assert [(one.stage, one.is_refused) for one in found] == [("sft", True), ("grpo", True)]
    for one in found:
        assert "/data/math-7k.jsonl" in " ".join(finding.text for finding in one.findings)
