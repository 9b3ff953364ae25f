"""What is known of a run's rewards before anything heavy is loaded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.preflight import check
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.spec import RunSpec, build_spec
from tui_ft.spec.online import OnlineFields

ROWS = [{"prompt": f"What is {n} x 7?", "completion": f"#### {n * 7}"} for n in range(40)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _spec(spec: RunSpec, data: Path, *rewards: dict[str, Any], **objective: Any) -> RunSpec:
    return build_spec(
        {
            "model": {"name_or_path": spec.model.name_or_path},
            "data": {"train": str(data)},
            "objective": {"kind": "grpo", "rewards": list(rewards), **objective},
            "training": {"per_device_train_batch_size": 8, "learning_rate": 1e-5},
        }
    )


def _check(spec: RunSpec, data: Path, *rewards: dict[str, Any], **objective: Any) -> list[Finding]:
    """Return what is found, but for the notes on data and on the room for prompts."""
    found = check(_spec(spec, data, *rewards, **objective), data.parent)
    return [one for one in found if not one.text.startswith(("training data", "prompts of more"))]


def test_answers_to_compare_with_and_room_for_prompts(spec: RunSpec, data: Path) -> None:
    found = check(_spec(spec, data, {"kind": "exact_match"}), data.parent)
    assert [one.severity for one in found] == ["note", "note"]
    assert found[0].text.startswith("prompts of more than 512 tokens are left out")
    without = data.with_name("prompts.jsonl")
    without.write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in ROWS))
    (bad,) = _check(spec, without, {"kind": "exact_match"})
    assert bad.severity == "bad"
    assert "compares with the row's own answer, and the rows are prompts without one" in bad.text
    assert _check(spec, without, {"kind": "regex", "pattern": "a"}) == []


def test_a_python_file_is_shown_with_its_path(spec: RunSpec, data: Path) -> None:
    file = data.with_name("rewards.py")
    reward = {"kind": "python", "file": str(file), "allow_code": True}
    (gone,) = _check(spec, data, reward)
    assert (gone.severity, "cannot be read: No such file" in gone.text) == ("bad", True)
    file.write_text("import os\n\ndef reward(**_: x")
    (broken,) = _check(spec, data, reward)
    assert f"{file}, line 3: is not valid Python" in broken.text
    marker = data.with_name("ran")
    file.write_text(f"open({str(marker)!r}, 'w')\nasync def other(**_): return []\n")
    (nameless,) = _check(spec, data, reward)
    assert nameless.text == f"{file} has no function reward"
    (shown,) = _check(spec, data, {**reward, "function": "other"})
    assert shown.severity == "warning"
    assert f"this run executes your code: other in {file}" in shown.text
    assert not marker.exists()


def test_an_endpoint(spec: RunSpec, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_TOKEN", raising=False)
    reward = {"kind": "http", "url": "http://judge.example/score"}
    (note,) = _check(spec, data, reward)
    assert (note.severity, note.text) == ("note", "prompts and answers are sent to judge.example")
    reward["headers_from_env"] = {"Authorization": "JUDGE_TOKEN"}  # type: ignore[assignment]
    unset, unencrypted, _ = _check(spec, data, reward)
    assert unset.severity == "bad"
    assert "JUDGE_TOKEN for judge.example is not set" in unset.text
    assert unencrypted.severity == "warning"
    monkeypatch.setenv("JUDGE_TOKEN", "Bearer secret")
    found = _check(spec, data, {**reward, "url": "https://judge.example/score"})
    assert [one.severity for one in found] == ["note"]
    assert not any("secret" in one.text for one in found)


def test_a_reward_model(spec: RunSpec, data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (bad,) = _check(spec, data, {"kind": "reward_model", "model": str(empty)})
    assert (bad.severity, "holds no model" in bad.text) == ("bad", True)
    (missing,) = _check(spec, data, {"kind": "reward_model", "model": "/no/such/folder"})
    assert missing.severity == "bad"
    assert _check(spec, data, {"kind": "reward_model", "model": spec.model.name_or_path}) == []


@pytest.mark.parametrize("name", ["judge", "run:judge", "run:reward-lora"])
def test_a_reward_models_run_that_is_missing_is_told(spec: RunSpec, data: Path, name: str) -> None:
    (bad,) = _check(spec, data, {"kind": "reward_model", "model": name})
    run = name.removeprefix("run:")
    assert bad.severity == "bad"
    assert f"there is no run {run}" in bad.text
    said = f"{bad.text} {bad.advice}"
    assert "`ftui train reward-lora" in said
    assert (f"--set name={run}" in said) == (run == "judge")


def test_a_schema(spec: RunSpec, data: Path) -> None:
    (bad,) = _check(spec, data, {"kind": "json", "json_schema": "/no/such/schema.json"})
    assert bad.severity == "bad"
    found = _check(spec, data, {"kind": "json", "json_schema": {"type": "object"}})
    installed = importlib.util.find_spec("jsonschema") is not None
    assert [one.severity for one in found] == ([] if installed else ["bad"])
    assert _check(spec, data, {"kind": "json"}) == []


def test_lengths_that_no_answer_can_have(spec: RunSpec, data: Path) -> None:
    reward = {"kind": "length", "least": 100}
    (bad,) = _check(spec, data, reward, max_completion_length=64)
    assert "no answer is as long" in bad.text
    assert _check(spec, data, reward, max_completion_length=100) == []
    assert _check(spec, data, {**reward, "unit": "characters"}, max_completion_length=64) == []


def test_paths_of_rewards_are_frozen_as_absolute_ones(
    spec: RunSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = data.parent
    (here / "judge").mkdir()
    rewards: list[dict[str, Any]] = [
        {"kind": "python", "file": "rewards.py", "allow_code": True},
        {"kind": "json", "json_schema": "schema.json"},
        {"kind": "json", "json_schema": {"type": "object"}},
        {"kind": "reward_model", "model": "judge"},
        {"kind": "reward_model", "model": "org/judge"},
        {"kind": "exact_match"},
    ]
    moved = with_absolute_paths(_spec(spec, data, *rewards), here)
    assert isinstance(moved.objective, OnlineFields)
    said = [one.model_dump() for one in moved.objective.rewards]
    assert said[0]["file"] == str(here / "rewards.py")
    assert said[1]["json_schema"] == str(here / "schema.json")
    assert said[2]["json_schema"] == {"type": "object"}
    assert said[3]["model"] == str(here / "judge")
    assert said[4]["model"] == "org/judge"
    assert build_spec(moved.model_dump(mode="json")) == moved


def test_vllm_that_is_not_here_is_known_before(
    spec: RunSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _spec(spec, data, {"kind": "exact_match"})
    extra = asked.training.model_copy(update={"extra": {"use_vllm": True}})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = check(asked.model_copy(update={"training": extra}), data.parent)
    (bad,) = [one for one in found if one.severity == "bad"]
    assert bad.text == "training.extra.use_vllm: vllm is not installed here"
