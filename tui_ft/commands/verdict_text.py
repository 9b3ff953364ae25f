"""A data set's verdict as `ftui inspect` prints it."""

from __future__ import annotations

from typing import Final

from tui_ft import text
from tui_ft.commands.output import say
from tui_ft.survey.verdict import Verdict
from tui_ft.widgets.signs import sign

_PARTS_SHOWN: Final = 5
_NOTABLE: Final = 0.01


def show_verdict(verdict: Verdict) -> None:
    """Print what the rows can teach, how good they are, and the length to take."""
    say("verdict")
    for candidate in verdict.candidates:
        say(f"  {candidate.objective:<14}  {candidate.reason}")
    quality = verdict.quality
    say(f"  {'quality':<14}  {quality.score} of 100")
    for part in quality.parts[:_PARTS_SHOWN]:
        mark, share = sign(part.severity).text(), text.percent(part.share)
        say(f"  {'':<14}  -{part.points:.1f} {mark} {part.name}, {share} of rows")
    more = quality.parts[_PARTS_SHOWN:]
    if more:
        lost = sum(part.points for part in more)
        say(f"  {'':<14}  -{lost:.1f} by {len(more)} more")
    if verdict.length is not None:
        length = verdict.length
        say(f"  {'max_length':<14}  {length.max_length:,}: {length.reason}")
        say(f"  {'packing':<14}  saves {text.percent(length.packing_gain)} of steps at it")
    if verdict.model_generated >= _NOTABLE:
        share = text.percent(verdict.model_generated)
        say(f"  {'written by':<14}  a model, by the look of {share} of rows that say so")
    say(f"  {verdict.sentence}")
