"""Words counted in many texts at once are those that splitting each text gives."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tui_ft.data.items import Document
from tui_ft.data.row_view import view_of
from tui_ft.inspection.glance import JoinedRows

_TEXTS = st.text(st.sampled_from("ab \t\n\x0b\x0c\r\x1c\x1f\x85\u3000é"), max_size=12)


@given(st.lists(_TEXTS, max_size=8))
@example([])
@example(["", " ", "one", " two  words\n", "fünf", "", "\x00 a"])
def test_as_splitting_each(texts: list[str]) -> None:
    rows = JoinedRows([view_of(Document(text)) for text in texts])
    assert rows.words == [len(text.split()) for text in texts]
