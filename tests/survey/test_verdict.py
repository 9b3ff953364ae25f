"""The verdict: its score by hand-computed values, and by what no further fault may do."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data.checks import ROW_CHECKS, Severity
from tui_ft.data.format_table import FORMATS, objectives_of
from tui_ft.survey.set_checks import SET_CHECKS
from tui_ft.survey.summary import Finding, Layout, Numbers, Summary
from tui_ft.survey.tokens import NEVER, Refused, TokenSummary
from tui_ft.survey.verdict import WEIGHTS, quality_of, verdict_of

_ROWS = 400
_ABOUT = [*SET_CHECKS.values(), *(check.about for check in ROW_CHECKS)]
_FAULTS = st.dictionaries(st.sampled_from(range(len(_ABOUT))), st.integers(1, _ROWS), max_size=12)


def _finding(name: str, severity: Severity, count: int, rows: int = _ROWS) -> Finding:
    return Finding(name, f"has {name}", severity, "why", "do", count=count, share=count / rows)


def _findings(faults: dict[int, int]) -> tuple[Finding, ...]:
    return tuple(
        _finding(_ABOUT[number].id, _ABOUT[number].severity, count)
        for number, count in faults.items()
    )


def _summary(*findings: Finding, format: str = "alpaca", others: tuple[str, ...] = ()) -> Summary:
    return Summary(
        path="rows.jsonl",
        stage="done",
        rows=_ROWS,
        usable=_ROWS,
        layout=Layout(format, "style", "reason", {}, 1.0, others),
        findings=findings,
        numbers=Numbers(languages={"en": 0.9, "de": 0.08, "unknown": 0.02}),
    )


def _tokens(**changes: object) -> TokenSummary:
    tokens = TokenSummary(
        model="m",
        stage="done",
        rows=_ROWS,
        rows_total=_ROWS,
        lengths={100: 200, 156: 200},
        answers={60: 400},
        first_learned={40: 400},
        first_end={100: 200, 156: 200},
    )
    return msgspec.structs.replace(tokens, **changes)


def test_a_data_set_without_findings_has_a_hundred() -> None:
    verdict = verdict_of(_summary())
    assert (verdict.quality.score, verdict.quality.parts) == (100, ())


@pytest.mark.parametrize(
    ("severity", "count", "score", "points"),
    [("bad", 400, 50, 50.0), ("warning", 100, 87, 12.5), ("note", 4, 99, 0.5), ("bad", 1, 97, 2.5)],
)
def test_one_finding_costs_its_weight_times_the_root_of_its_share(
    severity: Severity, count: int, score: int, points: float
) -> None:
    quality = quality_of([_finding("x", severity, count)])
    assert quality.score == score
    assert quality.parts[0].points == pytest.approx(points)
    assert quality.parts[0].share == count / _ROWS


def test_several_findings_multiply_and_share_what_is_lost() -> None:
    worse, better = _finding("worse", "bad", 400), _finding("better", "warning", 400)
    quality = quality_of([better, worse])
    assert quality.score == math.floor(100 * 0.5 * 0.75)
    assert [part.finding for part in quality.parts] == ["worse", "better"]
    # 62.5 points, as ln 0.5 to ln 0.75.
    assert [part.points for part in quality.parts] == pytest.approx([44.168, 18.332], abs=1e-3)


@given(_FAULTS)
def test_the_parts_are_what_is_missing_to_a_hundred(faults: dict[int, int]) -> None:
    quality = quality_of(_findings(faults))
    lost = sum(part.points for part in quality.parts)
    assert quality.score == math.floor(round(100 - lost, 9))
    assert len(quality.parts) == len(faults)
    assert all(part.points > 0 for part in quality.parts)


@given(_FAULTS, _FAULTS)
def test_more_faults_never_raise_the_score(before: dict[int, int], more: dict[int, int]) -> None:
    after = {**before, **{it: max(count, before.get(it, 0)) for it, count in more.items()}}
    less, worse = (verdict_of(_summary(*_findings(faults))) for faults in (before, after))
    assert worse.quality.score <= less.quality.score


@given(_FAULTS, st.sampled_from(range(len(_ABOUT))))
def test_no_fault_hides_another(faults: dict[int, int], number: int) -> None:
    """Every row having one more fault costs its weight, whatever else is wrong."""
    without = {it: count for it, count in faults.items() if it != number}
    before = 100 - sum(part.points for part in quality_of(_findings(without)).parts)
    parts = quality_of(_findings({**without, number: _ROWS})).parts
    after = 100 - sum(part.points for part in parts)
    assert after == pytest.approx(before * (1 - WEIGHTS[_ABOUT[number].severity]))


def test_nothing_usable_is_worth_nothing() -> None:
    empty = msgspec.structs.replace(_summary(_finding("x", "bad", _ROWS)), usable=0)
    verdict = verdict_of(empty)
    assert (verdict.quality.score, verdict.candidates) == (0, ())


def test_tokens_are_told_once_they_are_counted() -> None:
    verdict = verdict_of(_summary(), _tokens())
    assert (verdict.tokens, verdict.supervised_tokens) == (51_200, 24_000)
    assert verdict.length is not None
    assert verdict.length.max_length == 192
    assert verdict.length.reason == "the longest row has 156 tokens, and none is cut"
    assert verdict.length.packing_gain == 0.0
    for unfinished in (None, _tokens(stage="counting"), _tokens(stage="failed", problem="no")):
        verdict = verdict_of(_summary(), unfinished)
        assert (verdict.tokens, verdict.supervised_tokens, verdict.length) == (None, None, None)


def test_the_length_says_what_it_cuts_and_what_packing_saves() -> None:
    tokens = _tokens(lengths={100: 397, 3_000: 2, 300: 1}, first_end={100: 400})
    length = verdict_of(_summary(), tokens).length
    assert length is not None
    # 1,024 cuts 0.5 % of rows, but 3,952 of 46,000 tokens; so does 2,048 with 1,904.
    assert (length.max_length, length.reason) == (
        3_008,
        "the longest row has 3,000 tokens, and none is cut",
    )
    # The 300 and the hundreds fill 14 sequences beside the two of 3,000 tokens.
    assert length.packing_gain == pytest.approx(1 - 16 / 400)
    few = _tokens(lengths={100: 398, 700: 2}, first_end={100: 398, NEVER: 2})
    cut = verdict_of(_summary(), few).length
    assert cut is not None
    assert (cut.max_length, cut.reason) == (
        512,
        "it cuts 0.5 % of rows and 0.9 % of tokens; the longest row has 700",
    )
    # Five to a sequence: 398 fill 80, and the two long ones one each.
    assert cut.packing_gain == pytest.approx(1 - 82 / 400)


def test_what_is_wrong_with_tokens_counts_too() -> None:
    refused = (Refused("roles must alternate", 100, (0, 1)),)
    quality = verdict_of(_summary(), _tokens(refused=refused)).quality
    assert [(part.finding, part.points) for part in quality.parts] == [("template-refuses", 25.0)]
    assert quality.score == 75


@pytest.mark.parametrize("format", sorted({form.name for form in FORMATS}))
def test_every_format_has_its_objectives_first_each_with_a_reason(format: str) -> None:
    candidates = verdict_of(_summary(format=format)).candidates
    names = [candidate.objective for candidate in candidates]
    made_for = list(objectives_of(format))
    assert names[: len(made_for)] == made_for
    assert len(set(names)) == len(names)
    assert all(candidate.reason for candidate in candidates)


def test_other_formats_that_fit_come_last() -> None:
    candidates = verdict_of(_summary(format="text_label", others=("text",))).candidates
    assert [it.objective for it in candidates] == ["classification", "pretraining", "sft"]
    assert "data.format: text" in candidates[1].reason


def test_duplicates_that_were_not_looked_for_are_not_none() -> None:
    found = _finding("near-duplicate", "warning", 40)
    assert verdict_of(_summary()).near_duplicates is None
    looked = msgspec.structs.replace(_summary(found), looked_for=("near duplicates",))
    assert verdict_of(looked).near_duplicates == 0.1
    clean = msgspec.structs.replace(_summary(), looked_for=("near duplicates",))
    assert verdict_of(clean).near_duplicates == 0.0


def test_the_sentence_sums_it_up() -> None:
    found = _finding("ai-boilerplate", "warning", 100)
    verdict = verdict_of(_summary(found), _tokens())
    assert verdict.model_generated == 0.25
    assert verdict.sentence == (
        "400 usable rows (style) in en, de; 51.2 k tokens; quality 87 of 100, most lost by: has "
        "ai-boilerplate; good for sft; max_length 192, where packing saves 0 % of steps"
    )
