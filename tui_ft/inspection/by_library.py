"""What optional libraries find in rows: personal data (presidio), offensive language.

Each library is loaded in the processes that look at rows, and nowhere else. Both work without a
network and without fetched weights; presidio finds names of people too if spaCy has a model.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from tui_ft.inspection.pool import in_order, processes
from tui_ft.inspection.rows_again import RowsAgain
from tui_ft.survey.helpers import Extra
from tui_ft.survey.summary import Stage

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine
    from spacy.language import Language
    from spacy.tokens import Doc

STAGES: Final[dict[Extra, Stage]] = {"pii": "personal data", "toxicity": "toxicity"}

_ROWS_AT_ONCE: Final = 500
_FEW_ROWS: Final = 1_000
_LONGEST: Final = 50_000
"""Characters of a row that are looked at: spaCy's tokenizer slows with the length."""

# What ftui's own row checks find (mail, phones, cards, IBANs), and what is no secret of anybody.
_NOT_ASKED: Final = frozenset(
    (
        *("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "URL", "DATE_TIME"),
        *("LOCATION", "NRP", "ORGANIZATION"),
    )
)
_NAME: Final = "PERSON"
_SURE: Final = 0.6
"""presidio's score: a pattern alone has 0.05 to 0.5, one with its check digit right or the words
around it 0.65 to 1, a name by spaCy 0.85."""

_SPACY_MODELS: Final = ("en_core_web_trf", "en_core_web_lg", "en_core_web_md", "en_core_web_sm")

_OFFENSIVE: Final = 0.95
_PIECE: Final = re.compile(r"[^\n.!?]+")
_LONGEST_PIECE: Final = 300
_SHORTEST_PIECE: Final = 3


class Kinds(Protocol):
    """Looks at texts; returns for each the kinds of things it found in it."""

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Return one tuple for each text."""


class Found:
    """The rows of each finding, and how often each kind of thing was found.

    Attributes:
        rows: finding -> positions of the rows that have it.
        kinds: finding -> kind -> rows.
    """

    def __init__(self) -> None:
        self.rows: dict[str, array[int]] = {}
        self.kinds: dict[str, Counter[str]] = {}

    def add(self, position: int, kinds: Sequence[str]) -> None:
        """Take in what was found in one row."""
        for finding in {_finding_of(kind) for kind in kinds}:
            self.rows.setdefault(finding, array("Q")).append(position)
        for kind in kinds:
            self.kinds.setdefault(_finding_of(kind), Counter())[kind] += 1

    def detail(self, finding: str) -> str:
        """Return how often each kind was found, in words; empty where there is but one."""
        if finding != "personal-data":
            return ""
        kinds = sorted(self.kinds[finding].items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{kind.lower().replace('_', ' ')} {rows:,}" for kind, rows in kinds)


def look(extra: Extra, rows: RowsAgain, tell: Callable[[Stage, float], None]) -> Found:
    """Return what a library finds in all usable rows.

    Args:
        extra: which library.
        rows: those looked at.
        tell: called with the stage and how much of it is done.
    """
    found, count = Found(), len(rows)
    spans = ((at, min(count, at + _ROWS_AT_ONCE)) for at in range(0, count, _ROWS_AT_ONCE))
    with processes(count < _FEW_ROWS, _prepare, rows, extra) as pool:
        for span, kinds in in_order(pool, _look_at, spans):
            for position, of_row in enumerate(kinds, span[0]):
                found.add(position, of_row)
            tell(STAGES[extra], span[1] / count)
    return found


def personal_data() -> Kinds:
    """Return what finds personal data by presidio's patterns, and names by spaCy's model if any."""
    engine = _presidio()
    asked = sorted(set(engine.get_supported_entities("en")) - _NOT_ASKED)

    def kinds(texts: Sequence[str]) -> list[tuple[str, ...]]:
        return [
            tuple(
                sorted(
                    {
                        it.entity_type
                        for it in engine.analyze(
                            text[:_LONGEST], "en", entities=asked, score_threshold=_SURE
                        )
                    }
                )
            )
            for text in texts
        ]

    return kinds


def offensive() -> Kinds:
    """Return what finds offensive language: a linear classifier over single words, for English.

    It was trained on comments, so texts are looked at sentence by sentence.
    """
    from profanity_check import predict_prob

    def kinds(texts: Sequence[str]) -> list[tuple[str, ...]]:
        owners: list[int] = []
        pieces: list[str] = []
        for number, text in enumerate(texts):
            mine = [it[:_LONGEST_PIECE] for it in _PIECE.findall(text[:_LONGEST])]
            mine = [it for it in mine if len(it.strip()) >= _SHORTEST_PIECE]
            pieces += mine
            owners += [number] * len(mine)
        scores = predict_prob(pieces) if pieces else []
        bad = {owner for owner, score in zip(owners, scores, strict=True) if score > _OFFENSIVE}
        return [("OFFENSIVE",) if number in bad else () for number in range(len(texts))]

    return kinds


_LOOKERS: Final[dict[Extra, Callable[[], Kinds]]] = {"pii": personal_data, "toxicity": offensive}


def _finding_of(kind: str) -> str:
    return {_NAME: "names-of-people", "OFFENSIVE": "toxic-text"}.get(kind, "personal-data")


def _presidio() -> AnalyzerEngine:
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    name = next((it for it in _SPACY_MODELS if spacy.util.is_package(it)), None)
    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": name or "blank"}])
    # Loaded here: presidio would fetch a model that is not there.
    engine.nlp = {"en": spacy.load(name) if name else _words_alone()}
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def _words_alone() -> Language:
    """Return a pipeline without a model: presidio weighs numbers by the words around them."""
    import spacy
    from spacy.language import Language

    def lower_case(doc: Doc) -> Doc:
        for token in doc:
            token.lemma_ = token.lower_
        return doc

    Language.component("ftui_lower_case", func=lower_case)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("ftui_lower_case")
    return pipeline


class _Work:
    """What the tasks of a process look at, and with."""

    rows: RowsAgain
    kinds: Kinds


def _prepare(rows: RowsAgain, extra: Extra) -> None:
    _Work.rows, _Work.kinds = rows, _LOOKERS[extra]()


def _look_at(span: tuple[int, int]) -> list[tuple[str, ...]]:
    views = [view.whole if view else "" for view in _Work.rows.views(range(*span))]
    return _Work.kinds(views)
