"""What a data set is good for, and how good it is: the survey in one record, for the advice.

The quality score starts at 100, and each finding takes a share of what is left:

    score = 100 * product over findings of (1 - weight(severity) * sqrt(share of rows))

The weights are the most that one finding can take (`WEIGHTS`), so that none hides another: whatever
else is wrong, a further fault lowers the score. The root makes the first faulty rows weigh most:
one row in a hundred tells how data were made, and costs a tenth of what all rows would. What is
missing to 100 is shared out among the findings in proportion to the logarithms of their factors,
which does not depend on their order. The weights are ftui's own, not measured on trained models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tui_ft import text
from tui_ft.data.checks.check import Severity
from tui_ft.data.counts import total_of
from tui_ft.survey.objectives import Candidate, candidates_of
from tui_ft.survey.summary import Finding, Summary
from tui_ft.survey.token_findings import token_findings
from tui_ft.survey.tokens import TokenSummary, packed_sequences

WEIGHTS: Final[Mapping[Severity, float]] = {"bad": 0.5, "warning": 0.25, "note": 0.05}
"""The share of the score that a finding takes when every row has it."""

_PERFECT: Final = 100
_ROUNDING: Final = 1e-9  # a product of factors may end just below the number it is
_GENERATED: Final = "ai-boilerplate"
_SOME: Final = 0.02
_UNKNOWN_LANGUAGE: Final = "unknown"


class QualityPart(msgspec.Struct, frozen=True):
    """What one finding takes from the quality score.

    Attributes:
        finding: the check's name.
        name: what is said of a row that has it.
        points: lost by it, of 100.
        share: of all rows.
    """

    finding: str
    name: str
    points: float
    severity: Severity
    share: float
    why: str


class Quality(msgspec.Struct, frozen=True):
    """How good the rows are.

    Attributes:
        score: 0 to 100, rounded down, so that only a data set without findings has 100.
        parts: what was lost, most first; with the score they add up to 100, but for the rounding.
    """

    score: int
    parts: tuple[QualityPart, ...] = ()


class Length(msgspec.Struct, frozen=True):
    """A `max_length`, why it, and what packing does at it.

    Attributes:
        packing_gain: the share of sequences, and so of steps, that packing saves.
    """

    max_length: int
    reason: str
    packing_gain: float


class Verdict(msgspec.Struct, frozen=True):
    """A data set in one record.

    Attributes:
        rows: rows that could be read.
        usable: those that have something to teach.
        tokens: of a model, before anything is cut; None when they were not counted.
        supervised_tokens: those that carry loss.
        format: as in `data.format`; empty when none was found.
        style: the format as its users call it, such as `ShareGPT`.
        candidates: what the rows can teach, the likeliest first.
        quality: the score and what it lost.
        length: the `max_length` to take; None when tokens were not counted.
        near_duplicates: share of rows that nearly say what an earlier one says; None when they were
            not looked for.
        model_generated: share of rows in which a model speaks of itself ("as an AI"): a sign, and
            no measure, of rows that a model wrote.
        languages: language (ISO 639-1) -> share of the rows sampled.
        sentence: all of it, for people.
    """

    rows: int
    usable: int
    tokens: int | None
    supervised_tokens: int | None
    format: str
    style: str
    candidates: tuple[Candidate, ...]
    quality: Quality
    length: Length | None
    near_duplicates: float | None
    model_generated: float
    languages: dict[str, float]
    sentence: str


def verdict_of(summary: Summary, tokens: TokenSummary | None = None) -> Verdict:
    """Return what a survey says of a data set.

    Args:
        summary: of the survey, as far as it is.
        tokens: of the same data set; counts only once it is done.
    """
    counted = tokens if tokens is not None and tokens.stage == "done" and tokens.lengths else None
    length = None if counted is None else _length(counted)
    findings = summary.findings
    if counted is not None and length is not None:
        findings += token_findings(counted, length.max_length)
    layout = summary.layout
    verdict = Verdict(
        rows=summary.rows,
        usable=summary.usable,
        tokens=None if counted is None else counted.tokens,
        supervised_tokens=None if counted is None else total_of(counted.answers),
        format=layout.format if layout else "",
        style=layout.style if layout else "",
        candidates=candidates_of(summary),
        quality=_quality(findings, summary.usable if summary.is_over else summary.rows),
        length=length,
        near_duplicates=_share(findings, "near-duplicate")
        if "near duplicates" in summary.looked_for
        else None,
        model_generated=_share(findings, _GENERATED),
        languages=summary.numbers.languages,
        sentence="",
    )
    return msgspec.structs.replace(verdict, sentence=_sentence(verdict))


def quality_of(findings: Sequence[Finding]) -> Quality:
    """Return the score of a data set with these findings; see the module for the formula."""
    factors = [
        1 - WEIGHTS[it.severity] * math.sqrt(min(1.0, max(0.0, it.share))) for it in findings
    ]
    score = _PERFECT * math.prod(factors)
    logarithms = [-math.log(factor) for factor in factors]
    whole = math.fsum(logarithms)
    parts = [
        QualityPart(
            finding=finding.id,
            name=finding.title,
            points=(_PERFECT - score) * logarithm / whole,
            severity=finding.severity,
            share=finding.share,
            why=finding.why,
        )
        for finding, logarithm in zip(findings, logarithms, strict=True)
        if logarithm
    ]
    parts.sort(key=lambda part: -part.points)
    return Quality(math.floor(score + _ROUNDING), tuple(parts))


def _quality(findings: Sequence[Finding], usable: int) -> Quality:
    """Return the score; 0 where there is nothing to learn from."""
    quality = quality_of(findings)
    return quality if usable else msgspec.structs.replace(quality, score=0)


def _share(findings: Sequence[Finding], name: str) -> float:
    return next((finding.share for finding in findings if finding.id == name), 0.0)


def _length(tokens: TokenSummary) -> Length:
    length = tokens.recommended_max_length()
    cut = tokens.at(length)
    longest = max(tokens.lengths)
    if longest <= length:
        reason = f"the longest row has {longest:,} tokens, and none is cut"
    else:
        reason = (
            f"it cuts {text.percent(cut.rows_share)} of rows and {text.percent(cut.tokens_share)} "
            f"of tokens; the longest row has {longest:,}"
        )
    packed = packed_sequences(tokens.lengths, length)
    return Length(length, reason, 1 - packed / max(1, tokens.rows))


def _sentence(verdict: Verdict) -> str:
    said = [f"{verdict.usable:,} usable rows{_called(verdict)}{_spoken(verdict.languages)}"]
    if verdict.tokens is not None:
        said.append(f"{text.count(verdict.tokens)} tokens")
    quality = verdict.quality
    lost = f", most lost by: {quality.parts[0].name}" if quality.parts else ""
    said.append(f"quality {quality.score} of {_PERFECT}{lost}")
    if verdict.candidates:
        said.append(f"good for {verdict.candidates[0].objective}")
    if verdict.length is not None:
        said.append(
            f"max_length {verdict.length.max_length:,}, where packing saves "
            f"{text.percent(verdict.length.packing_gain)} of steps"
        )
    return "; ".join(said)


def _called(verdict: Verdict) -> str:
    name = verdict.style or verdict.format
    return f" ({name})" if name else ""


def _spoken(languages: Mapping[str, float]) -> str:
    known = [name for name, share in languages.items() if share >= _SOME]
    known = [name for name in known if name != _UNKNOWN_LANGUAGE][:3]
    return f" in {', '.join(known)}" if known else ""
