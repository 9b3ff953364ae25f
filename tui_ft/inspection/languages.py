"""Which languages a data set is in: a sample of rows, each told by py3langid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

_SURE: Final = 0.9
_SHORTEST: Final = 24
_LONGEST: Final = 1_000
UNKNOWN: Final = "unknown"


def language_shares(texts: Iterable[str]) -> dict[str, float]:
    """Return language (ISO 639-1) -> share of the texts, commonest first.

    Short texts and those the identifier is not sure of are `unknown`.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    counts: Counter[str] = Counter()
    for text in texts:
        if len(text) < _SHORTEST:
            counts[UNKNOWN] += 1
            continue
        language, probability = identifier.classify(text[:_LONGEST])
        counts[str(language) if probability >= _SURE else UNKNOWN] += 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}
