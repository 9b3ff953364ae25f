"""What is known of a data set at one moment."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tui_ft.survey.asking import Asked
from tui_ft.survey.known import Known, look_at
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.tokens import TokenSummary


@pytest.fixture
def known(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Known:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    rows = [
        {"instruction": f"What is {n}?", "output": " ".join(f"word{n}x{m}" for m in range(n))}
        for n in range(1, 31)
    ]
    rows.append(rows[7])
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = Asked(Request(str(path), tokens=TokenRequest(str(tiny_llama))))
    for _ in asked.follow():
        pass
    found = look_at(asked)
    assert found is not None
    return found


def test_findings_and_their_rows_follow_the_max_length(known: Known) -> None:
    assert known.is_whole
    assert known.tokens is not None
    assert known.max_length(None) == known.tokens.recommended_max_length()
    assert known.max_length(64) == 64
    (cut,) = [finding for finding in known.findings(64) if finding.id == "cut-by-max-length"]
    assert len(known.positions_of(cut, 64)) == cut.count > 0
    assert "cut-by-max-length" not in [finding.id for finding in known.findings(100_000)]
    (twice,) = [finding for finding in known.findings(64) if finding.id == "exact-duplicate"]
    assert list(known.positions_of(twice, 64)) == [7, 30]
    assert known.verdict is not None
    assert known.quality == known.verdict.quality


def test_it_is_whole_once_tokens_are_counted_or_the_survey_has_failed(known: Known) -> None:
    counting = TokenSummary("m", "counting")
    summary = known.summary
    assert not Known(known.asked, summary).is_whole
    assert not Known(known.asked, summary, counting).is_whole
    failed = msgspec.structs.replace(summary, stage="failed")
    assert Known(known.asked, failed).is_whole
    assert not Known(known.asked, failed).is_done
    reading = msgspec.structs.replace(summary, stage="reading")
    assert not Known(known.asked, reading, known.tokens).is_whole
