"""What the worker would refuse a model for is said before it is loaded, and on handing over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tui_ft.eject import EjectError, eject
from tui_ft.runs.checks import preflight
from tui_ft.spec import RunSpec, build_spec

_MODEL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
PACKS = {"training": {"packing": True}}
LAST = {"method": {"kind": "freeze", "num_trainable_layers": 1}}
NORMS = {"method": {"kind": "ln_tuning"}}
PLACES = {"method": {"kind": "bottleneck"}}
SCORES = {"objective": {"kind": "classification"}}


@pytest.mark.parametrize(
    ("kind", "asked", "said"),
    [
        ("mpt", PACKS, "mpt does not keep them apart"),
        ("opt", PACKS, "opt does not keep them apart"),
        (
            "mamba",
            {
                "training": {"padding_free": True},
                "model": {"attn_implementation": "flash_attention_2"},
            },
            "mamba does not keep them apart",
        ),
        ("t5", LAST | SCORES, "the model has an encoder and a decoder"),
        ("albert", LAST | SCORES, "trains the last of a list of layers, and this model has none"),
        ("canine", LAST | SCORES, "this one has no table of them"),
        ("llama", {"method": {"kind": "freeze", "num_trainable_layers": 3}}, "has 2 layers"),
        ("mixtral", PLACES, "the model is a mixture of experts"),
        ("llama", PLACES, None),
        ("olmo", NORMS, "the norms of this model have no weights"),
        ("llama", PACKS | NORMS, None),
        ("llama", PACKS | LAST, None),
        ("bart", LAST, None),
        ("opt", {"training": {"packing": True, "packing_strategy": "wrapped"}}, None),
        (
            "falcon",
            {
                "training": {"packing": True},
                "model": {"attn_implementation": "flash_attention_2"},
            },
            None,
        ),
    ],
)
def test_what_would_be_refused_later_is_said(
    tmp_path: Path, kind: str, asked: dict[str, Any], said: str | None
) -> None:
    spec = _spec(tmp_path, kind, asked)
    bad = [one.text for one in preflight.check(spec, tmp_path) if one.severity == "bad"]
    about = [one for one in bad if "flash" not in one.lower()]  # it is not installed here
    assert len([one for one in about if said is not None and said in one]) == (said is not None)
    if said is None:
        assert not about
        return
    with pytest.raises(EjectError, match=said):
        eject(spec, "script", tmp_path / "script")


def _spec(folder: Path, kind: str, asked: dict[str, Any]) -> RunSpec:
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": kind, **_MODEL}))
    (model / "model.safetensors").write_bytes(b"\0" * 100)
    is_text = "objective" in asked
    rows = [
        {"text": f"say {n}", "label": "ab"[n % 2]}
        if is_text
        else {"prompt": f"say {n}", "completion": str(n)}
        for n in range(30)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {**asked, "data": {"train": str(folder / "rows.jsonl")}}
    values["model"] = {"name_or_path": str(model), **asked.get("model", {})}
    return build_spec(values)
