"""Models on this machine are found without asking anybody."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tui_ft.hub.local_models import LocalModel, cached_models, model_at, models_in


def _model(folder: Path, config: str = '{"model_type": "llama"}', template: bool = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(b"x" * 10)
    if template:
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "x"}))
    return folder


def test_folders_of_models_are_found_the_newest_first(tmp_path: Path) -> None:
    old, new = _model(tmp_path / "old"), _model(tmp_path / "new", template=True)
    os.utime(old, (1_000, 1_000))
    (tmp_path / "data").mkdir()
    (tmp_path / "notes.txt").write_text("no folder")
    first, second = models_in(tmp_path)
    assert first == LocalModel(str(new), new, "llama", 10, True, new.stat().st_mtime)
    assert (second.name, second.chat_template, second.changed) == (str(old), False, 1_000)
    assert models_in(tmp_path / "nowhere") == ()


def test_what_is_no_model_is_none(tmp_path: Path) -> None:
    assert model_at(tmp_path) is None
    assert model_at(_model(tmp_path / "garbage", config="{")) is None
    assert model_at(_model(tmp_path / "list", config="[1]")) is None
    bare = _model(tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    assert model_at(bare) is None


def test_a_template_of_its_own_counts(tmp_path: Path) -> None:
    folder = _model(tmp_path / "a")
    (folder / "tokenizer_config.json").write_text("{")
    (folder / "chat_template.jinja").write_text("x")
    found = model_at(folder)
    assert found is not None
    assert found.chat_template


def test_types_arrive_harmless(tmp_path: Path) -> None:
    found = model_at(_model(tmp_path / "a", config='{"model_type": "\\u001b[2Jx"}'))
    assert found is not None
    assert found.model_type == "x"


def test_the_cache_holds_models_by_their_ids(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    whole = hub / "models--org--name"
    _model(whole / "snapshots" / "abc")
    (whole / "refs").mkdir()
    (whole / "refs" / "main").write_text("abc")
    torn = hub / "models--org--torn"
    (torn / "refs").mkdir(parents=True)
    (torn / "refs" / "main").write_text("abc")
    (hub / "datasets--org--name").mkdir()
    (found,) = cached_models({"HF_HUB_CACHE": str(hub)})
    assert (found.name, found.size_bytes) == ("org/name", 10)
    assert cached_models({"HF_HUB_CACHE": str(tmp_path / "nowhere")}) == ()
