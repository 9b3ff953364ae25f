"""An adapter on the Hub is a model: where it is, its base, and what it comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub.conftest import Hub
from tui_ft.hub import locate_model
from tui_ft.hub.continuing import why_not_continued
from tui_ft.hub.local_models import cached_models
from tui_ft.hub.merged import host_memory_refusal
from tui_ft.hub.model_config import model_config
from tui_ft.hub.outputs import adapter_named, bases_of, needs_its_quantised_base
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.runs.checks import preflight
from tui_ft.spec import RunSpec, build_spec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LORA: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/base",
    "revision": None,
    "r": 64,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"],
}
BASE: dict[str, Any] = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}  # fmt: skip


def _sizes(**files: int) -> list[dict[str, Any]]:
    return [{"rfilename": name, "size": size} for name, size in files.items()]


@pytest.fixture
def there(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Return a Hub with `org/my-lora` and its base, which this process asks."""
    files = _sizes(**{"adapter_config.json": 500, "adapter_model.safetensors": 9_000})
    hub.answer("/api/models/org/my-lora", {"sha": COMMIT, "siblings": files})
    hub.answer("/org/my-lora/resolve/main/adapter_config.json", LORA)
    whole = _sizes(**{"config.json": 100, "model.safetensors": 1_000_000})
    hub.answer("/api/models/org/base", {"sha": COMMIT, "siblings": whole})
    hub.answer("/org/base/resolve/main/config.json", BASE)
    for name, value in hub.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return hub


def _spec(tmp_path: Path, *overrides: str, **model: str) -> RunSpec:
    rows = tmp_path / "rows.jsonl"
    messages = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]
    rows.write_text(json.dumps({"messages": messages}) + "\n")
    values = {"model": {"name_or_path": "org/my-lora", **model}, "data": {"train": str(rows)}}
    return build_spec(values, overrides)


def test_it_is_its_base_that_is_asked_about(there: Hub) -> None:
    found = locate_model("org/my-lora")
    assert (found.where, found.weights_bytes) == ("hub", 1_000_000)
    assert found.adapter is not None
    assert (found.adapter.base, found.adapter.name) == ("org/base", "org/my-lora")
    assert (found.adapter.size, found.adapter.is_here) == (9_000, False)
    assert model_config("org/my-lora").values == BASE
    facts = model_facts("org/my-lora")
    assert facts.architecture().layers == 2
    assert "org/my-lora is an adapter (LORA) of org/base" in (facts.note or "")


@pytest.mark.parametrize("adapter", ["merge", "continue"])
def test_the_preflight_says_what_is_fetched(there: Hub, tmp_path: Path, adapter: str) -> None:
    found = preflight.check(_spec(tmp_path, adapter=adapter), tmp_path)
    said = " ".join(one.text for one in found)
    assert not [one for one in found if one.severity == "bad"], found
    assert "the adapter org/my-lora (9.00 kB) is fetched with the model that it belongs on" in said
    done = "merged into org/base first" if adapter == "merge" else "trained further on org/base"
    assert f"the adapter org/my-lora is {done}" in said


def test_a_contradiction_is_told_before_anything_is_fetched(there: Hub, tmp_path: Path) -> None:
    found = preflight.check(
        _spec(tmp_path, "method.kind=lora", "method.r=4", adapter="continue"), tmp_path
    )
    (bad,) = [one for one in found if one.severity == "bad"]
    assert "method.r is 4, and 64 in the adapter org/my-lora" in bad.text
    assert "set it to 64" in (bad.advice or "")


def _cached(tmp_path: Path, name: str, config: str, values: dict[str, Any]) -> Path:
    repository = tmp_path / "hf" / "hub" / f"models--org--{name}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (snapshot / config).write_text(json.dumps(values))
    return snapshot


def test_the_models_in_the_cache_name_it_with_its_base(there: Hub, tmp_path: Path) -> None:
    adapter = _cached(tmp_path, "my-lora", "adapter_config.json", LORA)
    (adapter / "adapter_model.safetensors").write_bytes(b"12345")
    assert cached_models() == ()  # its base is not here
    base = _cached(tmp_path, "base", "config.json", BASE)
    (base / "model.safetensors").write_bytes(b"1234567")
    found = {one.name: one for one in cached_models()}
    assert set(found) == {"org/my-lora", "org/base"}
    one = found["org/my-lora"]
    assert (one.path, one.adapter_of, one.model_type) == (adapter, "org/base", "llama")


def test_in_the_cache_it_is_not_asked_for(there: Hub, tmp_path: Path) -> None:
    snapshot = _cached(tmp_path, "my-lora", "adapter_config.json", LORA)
    assert adapter_named("org/my-lora") is None  # its weights are not there yet
    (snapshot / "adapter_model.safetensors").write_bytes(b"")
    found = locate_model("org/my-lora")
    assert found.adapter is not None and found.adapter.is_here
    assert not [path for path, _ in there.asked if "my-lora" in path]
    assert bases_of("org/my-lora") == [
        {"kind": "model", "name": "org/base"},
        {"kind": "adapter", "name": "org/my-lora"},
    ]
    step = step_of(_spec(tmp_path, "objective.kind=dpo", adapter="continue"), BASE)
    assert step.adapter is not None
    assert (step.adapter["r"], step.adapter["target_modules"]) == (64, ["q_proj", "v_proj"])
    assert step.reference_adapter
    assert not step_of(_spec(tmp_path, "objective.kind=dpo"), BASE).reference_adapter


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"adapter_config.json": 1, "adapter_model.bin": 5}, "loads no pickles"),
        ({"adapter_config.json": 1, "adapter_model.safetensors": 5}, "no adapter_config.json"),
    ],
)
def test_what_cannot_be_used_is_told(there: Hub, files: dict[str, int], said: str) -> None:
    there.answer("/api/models/org/my-lora", {"sha": COMMIT, "siblings": _sizes(**files)})
    there.answers["/org/my-lora/resolve/main/adapter_config.json"] = (404, b"")
    assert said in (locate_model("org/my-lora").reason or "")


def test_what_loftq_left_belongs_on_its_quantised_base(there: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "runs" / "quantised" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    method = {"kind": "qlora", "init_lora_weights": "loftq"}
    (folder.parent / "run.yaml").write_text(json.dumps({"method": method}))

    def refused(kind: str, adapter: str) -> list[str]:
        asked = {"name_or_path": "run:quantised", "adapter": adapter}
        spec = _spec(tmp_path, f"method.kind={kind}", **asked)
        bad = [one for one in preflight.check(spec, tmp_path) if one.severity == "bad"]
        return [one.text for one in bad]

    assert "it would be too much" in refused("qlora", "merge")[0]
    assert "belongs on the base in 4 bits" in refused("lora", "continue")[0]
    assert refused("qlora", "continue") == []


def test_what_loftq_left_belongs_there_also_when_it_was_trained_further(
    there: Hub, tmp_path: Path
) -> None:
    of_runs = {
        "first": {"model": {"name_or_path": "org/base"}, "method": {"init_lora_weights": "loftq"}},
        "second": {
            "model": {"name_or_path": "run:first", "adapter": "continue"},
            "method": {"init_lora_weights": "default"},
        },
        "anew": {
            "model": {"name_or_path": "run:first"},
            "method": {"init_lora_weights": "default"},
        },
    }
    needs = {}
    for name, run in of_runs.items():
        folder = tmp_path / "home" / "runs" / name / "adapter"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps(LORA))
        (folder / "adapter_model.safetensors").write_bytes(b"")
        (folder.parent / "run.yaml").write_text(json.dumps(run))
        adapter = adapter_named(f"run:{name}")
        assert adapter is not None
        needs[name] = needs_its_quantised_base(adapter)
    assert needs == {"first": True, "second": True, "anew": False}


@pytest.mark.parametrize(("objective", "refused"), [("dpo", True), ("sft", False)])
def test_trained_biases_are_no_reference_also_where_only_the_adapter_has_them(
    there: Hub, tmp_path: Path, objective: str, refused: bool
) -> None:
    snapshot = _cached(tmp_path, "my-lora", "adapter_config.json", {**LORA, "bias": "all"})
    (snapshot / "adapter_model.safetensors").write_bytes(b"")
    adapter = adapter_named("org/my-lora")
    assert adapter is not None
    spec = _spec(tmp_path, f"objective.kind={objective}", adapter="continue")
    said = why_not_continued(spec, adapter)
    assert (said is not None) == refused
    assert said is None or ("biases" in said[0] and "merge" in said[1])


def test_a_whole_model_with_an_adapters_file_beside_it_stays_one(there: Hub) -> None:
    files = {"adapter_config.json": 1, "adapter_model.safetensors": 5, "model.safetensors": 70}
    there.answer("/api/models/org/my-lora", {"siblings": _sizes(**files)})
    assert locate_model("org/my-lora").adapter is None


def test_a_run_that_is_meant_is_named(there: Hub, tmp_path: Path) -> None:
    assert "nor is there a run judge" in (locate_model("judge").reason or "")
    run = tmp_path / "home" / "runs" / "judge"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text("")
    assert "the run judge is written run:judge" in (locate_model("judge").reason or "")


def test_merging_takes_the_hosts_memory_and_says_so_before(there: Hub, tmp_path: Path) -> None:
    adapter = locate_model("org/my-lora").adapter
    assert adapter is not None
    assert host_memory_refusal(adapter, 10**9, available=3 * 10**9) is None
    refused = host_memory_refusal(adapter, 140 * 10**9, available=64 * 10**9)
    assert refused is not None
    assert all(size in refused[0] for size in ("152 GB", "140 GB", "64.0 GB"))
    assert "model.adapter to continue" in refused[1]
    whole = _sizes(**{"config.json": 100, "model.safetensors": 10**15})
    there.answer("/api/models/org/base", {"sha": COMMIT, "siblings": whole})
    bad = [one for one in preflight.check(_spec(tmp_path), tmp_path) if one.severity == "bad"]
    assert "of the host's memory" in bad[0].text
    further = preflight.check(_spec(tmp_path, adapter="continue"), tmp_path)
    assert not [one for one in further if "host's memory" in one.text]
