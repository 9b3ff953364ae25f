"""Rows that mean the same to an encoder that is made on the spot."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_encoder import make_tiny_encoder
from tui_ft.data import DataError
from tui_ft.inspection.embedding import Encoder, close_pairs
from tui_ft.inspection.rows_again import column
from tui_ft.inspection.semantic import join
from tui_ft.survey.asking import Asked
from tui_ft.survey.folder import found_groups, found_positions
from tui_ft.survey.request import Request
from tui_ft.survey.summary import Summary

WORDS = [f"w{n}" for n in range(200)]
TWINS = [f"v{n}" for n in range(200)]  # each means what the word of its number does


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    synonyms = dict(zip(TWINS, WORDS, strict=True))
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"), [*WORDS, *TWINS], synonyms)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def _texts(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(2, 9))) for _ in range(count)]


def _by_hand(encoder: Path, texts: list[str]) -> npt.NDArray[np.float64]:
    """Return the cosines of all pairs: each text alone, no padding, in float64 and by numpy."""
    import torch
    from transformers import AutoTokenizer, BertModel

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), BertModel.from_pretrained(encoder)
    means = []
    for text in texts:
        with torch.no_grad():
            hidden = model.double()(**tokenizer(text, return_tensors="pt")).last_hidden_state
        means.append(hidden[0].numpy().mean(axis=0))
    scaled = [mean / np.sqrt((mean * mean).sum()) for mean in means]
    return np.array([[float(one @ two) for two in scaled] for one in scaled])


def _survey(tmp_path: Path, texts: list[str], **asked: Any) -> tuple[Asked, Summary]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    survey = Asked(Request(str(path), **asked))
    *_, summary = survey.follow()
    return survey, summary


def test_vectors_are_the_means_of_the_tokens_whatever_is_padded(encoder: Path) -> None:
    texts = _texts(30, seed=1)
    vectors = Encoder(encoder).vectors(texts)
    assert np.abs(vectors @ vectors.T - _by_hand(encoder, texts)).max() < 1e-5


def test_a_card_that_is_too_small_takes_fewer_rows_at_once(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    texts, asked = _texts(40, seed=2), Encoder(encoder)
    whole = asked.vectors(texts)
    forward: Callable[[list[list[int]]], Any] = asked._forward

    def small(ids: list[list[int]]) -> Any:
        if len(ids) > 3:
            raise torch.OutOfMemoryError("no room")
        return forward(ids)

    monkeypatch.setattr(asked, "_forward", small)
    assert np.abs(asked.vectors(texts) - whole).max() < 1e-5


def test_paraphrases_are_found_and_others_are_not(encoder: Path, tmp_path: Path) -> None:
    texts = _texts(40, seed=3)
    texts += [texts[7].replace("w", "v"), texts[20].replace("w", "v")]
    cosines = _by_hand(encoder, texts)
    alike = {(a, b) for a, b in combinations(range(len(texts)), 2) if cosines[a, b] > 0.95}
    assert {(7, 40), (20, 41)} <= alike
    assert len(alike) < 30, "the encoder takes nearly everything for the same"
    expected = _components(len(texts), alike)
    survey, summary = _survey(tmp_path, texts, embed=str(encoder))
    assert summary.problem is None
    assert sorted(found_groups(survey.folder, "semantic-duplicate")) == expected
    found = {finding.id: finding for finding in summary.findings}
    later = sorted(row for group in expected for row in group[1:])
    assert list(found_positions(survey.folder, "semantic-duplicate")) == later
    assert "near-duplicate" not in found
    duplicate = found["semantic-duplicate"]
    assert (duplicate.count, duplicate.groups) == (len(later), len(expected))
    assert duplicate.detail.startswith("cosine above 0.95 by ")
    assert summary.looked_for == ("near duplicates", "semantic duplicates")
    assert not (survey.folder / "vectors.f32").exists()
    # A split by group keeps them on one side.
    firsts = column(survey.folder, "group.u64", np.uint64).tolist()
    assert all(firsts[row] == group[0] for group in expected for row in group)


def _components(count: int, pairs: set[tuple[int, int]]) -> list[list[int]]:
    groups = {row: {row} for row in range(count)}
    for one, two in pairs:
        joined = groups[one] | groups[two]
        for row in joined:
            groups[row] = joined
    several = {tuple(sorted(group)) for group in groups.values() if len(group) > 1}
    return sorted([*group] for group in several)


def test_rows_that_are_duplicates_otherwise_are_counted_once(encoder: Path, tmp_path: Path) -> None:
    texts = _texts(20, seed=4)
    texts += [texts[5], texts[5].replace("w", "v")]
    survey, summary = _survey(tmp_path, texts, embed=str(encoder))
    assert list(found_positions(survey.folder, "exact-duplicate")) == [20]
    assert 20 not in found_positions(survey.folder, "semantic-duplicate")
    assert 21 in found_positions(survey.folder, "semantic-duplicate")
    firsts = column(survey.folder, "group.u64", np.uint64).tolist()
    assert firsts[20] == firsts[21] == firsts[5]
    assert summary.stage == "done"


def test_pairs_are_those_whose_cosine_is_above() -> None:
    one = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    two = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=np.float32)
    # Cosines: 1, 0.8, 0 and 0.6, 0.96, 0.8.
    assert close_pairs(one, two, 0.95).T.tolist() == [[0, 0], [1, 1]]
    assert close_pairs(one, two, 0.7).T.tolist() == [[0, 0], [0, 1], [1, 1], [1, 2]]


@given(
    st.integers(1, 25).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
        )
    )
)
def test_joining_block_by_block_gives_the_connected_rows(
    given: tuple[int, list[tuple[int, int]]],
) -> None:
    count, pairs = given
    roots = np.arange(count, dtype=np.int64)
    for at in range(0, len(pairs), 3):
        block = np.array(pairs[at : at + 3], dtype=np.int64)
        join(roots, block[:, 0], block[:, 1])
    expected = _components(count, {(min(p), max(p)) for p in pairs if p[0] != p[1]})
    firsts = {row: group[0] for group in expected for row in group}
    assert roots.tolist() == [firsts.get(row, row) for row in range(count)]


def test_a_model_that_cannot_do_it_is_refused_with_words(
    tmp_path: Path, tiny_llama: Path, encoder: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a b c"}\n')
    with pytest.raises(DataError, match="no model of that name in the Hub's cache"):
        Asked(Request(str(path), embed="org/none"))
    with pytest.raises(DataError, match="is a language model and no encoder"):
        Asked(Request(str(path), embed=str(tiny_llama)))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((encoder / name).read_bytes())
    with pytest.raises(DataError, match=r"has no tokenizer\.json"):
        Asked(Request(str(path), embed=str(bare)))
    (bare / "tokenizer.json").write_text("{}")
    _, summary = _survey(tmp_path, ["a b c", "d e f"], embed=str(bare))
    assert summary.stage == "failed"
    assert "cannot be loaded as an encoder" in (summary.problem or "")


def test_pickled_weights_are_not_loaded(tmp_path: Path, encoder: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for file in encoder.iterdir():
        if file.suffix != ".safetensors":
            (pickled / file.name).write_bytes(file.read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match="no safetensors weights"):
        Asked(Request(str(tmp_path / "rows.jsonl"), embed=str(pickled)))
