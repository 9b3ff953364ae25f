"""All that is known of a data set at one moment, read together so that its parts fit."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

from tui_ft.survey.asking import Asked
from tui_ft.survey.folder import rows_to_look_at
from tui_ft.survey.summary import Finding, Summary
from tui_ft.survey.token_findings import TOKEN_CHECKS, token_findings, token_positions
from tui_ft.survey.tokens import TokenSummary
from tui_ft.survey.verdict import Quality, Verdict, verdict_of


@dataclass(frozen=True, slots=True)
class Known:
    """A data set as far as it has been looked at.

    Attributes:
        tokens: None when none are asked for, or none are counted yet.
        verdict: once the survey has come to its end.
    """

    asked: Asked
    summary: Summary
    tokens: TokenSummary | None = None
    verdict: Verdict | None = None

    @property
    def is_done(self) -> bool:
        """Whether the survey has come to its end, and to a good one; tokens may be counted yet."""
        return self.summary.stage == "done"

    @property
    def is_whole(self) -> bool:
        """Whether nothing more will come."""
        if not self.summary.is_over:
            return False
        is_counted = self.tokens is not None and self.tokens.is_over
        return not self.counts_tokens or is_counted or not self.is_done

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens were asked for."""
        return self.asked.token_folder is not None

    @property
    def token_folder(self) -> Path | None:
        """Where the tokens of each row are, once some are."""
        return self.asked.token_folder if self.tokens is not None else None

    @property
    def quality(self) -> Quality | None:
        """How good the rows are, once that is known."""
        return self.verdict.quality if self.verdict is not None else None

    def max_length(self, chosen: int | None) -> int | None:
        """Return where rows are cut: as chosen, else as recommended; None without tokens."""
        if self.tokens is None:
            return None
        return chosen or self.tokens.recommended_max_length()

    def findings(self, max_length: int) -> tuple[Finding, ...]:
        """Return what was found, first what cutting at ``max_length`` and the template do."""
        found = () if self.tokens is None else token_findings(self.tokens, max_length)
        return (*found, *self.summary.findings)

    def positions_of(self, finding: Finding, max_length: int) -> array[int]:
        """Return the rows that show a finding; none for what concerns the data set as a whole."""
        folder = self.token_folder
        if finding.id in TOKEN_CHECKS and folder is not None and self.tokens is not None:
            return token_positions(folder, self.tokens, finding.id, max_length)
        return rows_to_look_at(self.asked.folder, finding.id)


def look_at(asked: Asked) -> Known | None:
    """Return what is known by now; None while nothing is."""
    summary, tokens = asked.summary(), asked.tokens()
    if summary is None:
        return None
    verdict = verdict_of(summary, tokens) if summary.stage == "done" else None
    return Known(asked, summary, tokens, verdict)
