from __future__ import annotations

from pathlib import Path

import pytest

from tui_ft.spec import RunSpec, SpecError, find_presets, resolve_spec
from tui_ft.spec.presets import PACKAGED

SHIPPED = {
    "classify-encoder",
    "classify-lora",
    "demo",
    "dpo-full",
    "dpo-lora",
    "grpo-lora",
    "kto-lora",
    "orpo-lora",
    "ppo-lora",
    "pretrain-lora",
    "reward-lora",
    "rloo-lora",
    "sft-freeze",
    "sft-full",
    "sft-full-fsdp",
    "sft-lora",
    "sft-pissa",
    "sft-prompt-tuning",
    "sft-qlora",
    "sft-qlora-fsdp",
    "simpo-lora",
}
FILLED = ("model.name_or_path=m", "data.train=d.jsonl")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTUI_CONFIG", str(tmp_path))
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def test_the_packaged_presets_are_these() -> None:
    assert set(find_presets()) == SHIPPED


@pytest.mark.parametrize("path", sorted(PACKAGED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_packaged_preset_is_a_run_once_model_and_data_are_given(path: Path) -> None:
    preset = find_presets()[path.stem]
    assert len(preset.description) > 40
    spec = preset.build(FILLED)
    assert isinstance(spec, RunSpec)
    assert spec.name == path.stem
    with pytest.raises(SpecError) as caught:
        preset.build()
    assert {problem.key for problem in caught.value.problems} <= {"model", "data", "data.train"}


def test_the_users_preset_hides_the_packaged_one_of_its_name(config: Path) -> None:
    (config / "sft-lora.yaml").write_text("description: mine\nmethod: {kind: lora, r: 64}\n")
    assert find_presets()["sft-lora"].description == "mine"
    spec = resolve_spec("sft-lora", FILLED)
    assert spec.method.kind == "lora"
    assert spec.method.r == 64


def test_a_preset_is_found_by_path_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {name_or_path: m}\ndata: {train: d}\n")
    assert resolve_spec(str(path)).model.name_or_path == "m"


def test_a_broken_preset_costs_only_itself(config: Path) -> None:
    (config / "broken.yaml").write_text("[")
    (config / "silent.yaml").write_text("name: silent\n")
    assert "broken" not in find_presets()
    with pytest.raises(SpecError, match="not valid YAML"):
        resolve_spec("broken")
    with pytest.raises(SpecError, match="says when to use it"):
        resolve_spec("silent", FILLED)


def test_an_unknown_name_lists_those_that_are_known() -> None:
    with pytest.raises(SpecError, match="sft-full, sft-full-fsdp, sft-lora, sft-pissa"):
        resolve_spec("sft-lorra")


def test_a_name_cannot_lead_out_of_the_folders(tmp_path: Path, config: Path) -> None:
    (tmp_path / "secret.yaml").write_text("description: x\n")
    with pytest.raises(SpecError, match="no such file"):
        resolve_spec("../secret")


def test_a_user_preset_is_one_more(config: Path) -> None:
    (config / "mine.yaml").write_text("description: mine\ntraining: {seed: 7}\n")
    assert set(find_presets()) == {*SHIPPED, "mine"}
    assert resolve_spec("mine", FILLED).training.seed == 7


def test_a_fault_in_a_preset_is_told_by_its_line(config: Path) -> None:
    (config / "mine.yaml").write_text("description: mine\ntraining:\n  sed: 7\n")
    with pytest.raises(SpecError) as caught:
        resolve_spec("mine", FILLED)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(config / "mine.yaml"), 3)
    assert problem.nearest == "training.seed"


def test_an_override_wins_over_a_preset() -> None:
    assert resolve_spec("sft-lora", (*FILLED, "method.r=3")).model_dump()["method"]["r"] == 3


def test_a_name_too_long_to_be_one() -> None:
    with pytest.raises(SpecError, match="no such file"):
        resolve_spec("a" * 5_000)
