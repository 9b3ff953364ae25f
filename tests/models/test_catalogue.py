"""Each well-known model is counted as transformers counts it, and as its makers publish it."""

from __future__ import annotations

import json

import pytest

from tests.models.counting import counted, on_meta, told
from tui_ft.models import architecture_of
from tui_ft.models.catalogue import CatalogueEntry, catalogue, catalogue_entry
from tui_ft.models.families.table import FAMILIES

ENTRIES = {json.dumps(entry.config, sort_keys=True): entry for entry in catalogue().values()}
"""One entry for each configuration."""
_NAMED_BY_THE_ISSUE = (
    *("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2"),
    *("gemma3", "gemma3_text", "phi", "phi3", "smollm3", "falcon", "gpt2", "gpt_neox", "opt"),
    *("bloom", "deepseek_v2", "deepseek_v3", "olmo", "olmo2", "granite"),
    *("bert", "roberta", "distilbert"),
)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.id)
def test_an_entry_is_counted_as_transformers_makes_it(entry: CatalogueEntry) -> None:
    found = architecture_of(entry.config)
    assert told(found) == counted(on_meta(entry.config))
    assert not found.guessed


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.id)
def test_an_entry_has_as_many_parameters_as_published(entry: CatalogueEntry) -> None:
    if entry.parameters is not None:
        assert architecture_of(entry.config).parameters == entry.parameters


def test_most_published_counts_are_known() -> None:
    known = [entry for entry in ENTRIES.values() if entry.parameters is not None]
    assert len(known) >= 100
    assert len(ENTRIES) >= 105


def test_every_well_known_family_has_an_entry() -> None:
    present = {entry.config["model_type"] for entry in catalogue().values()}
    assert set(_NAMED_BY_THE_ISSUE) <= present <= set(FAMILIES)


def test_ids_are_found_in_any_case() -> None:
    found = catalogue_entry("qwen/qwen2.5-7b-instruct")
    assert found is not None
    assert (found.id, found.chat, found.licence) == ("Qwen/Qwen2.5-7B-Instruct", True, "apache-2.0")
    assert catalogue_entry("Qwen/Nothing") is None


@pytest.mark.parametrize(
    ("name", "active"),
    [
        # As their makers say: 12.9 of 46.7 G, 3.3 of 30.5 G, 37 of 671 G, 3.6 of 20.9 G.
        ("mistralai/Mixtral-8x7B-v0.1", 12.9e9),
        ("Qwen/Qwen3-30B-A3B", 3.3e9),
        ("deepseek-ai/DeepSeek-V3", 37e9),
        ("openai/gpt-oss-20b", 3.6e9),
    ],
)
def test_active_parameters_are_those_that_makers_publish(name: str, active: float) -> None:
    entry = catalogue_entry(name)
    assert entry is not None
    found = architecture_of(entry.config)
    # gpt-oss's makers leave the token embedding out.
    passed = found.active_parameters
    if found.model_type == "gpt_oss":
        passed -= found.by_part["embedding"]
    assert passed == pytest.approx(active, rel=0.02)
