"""The script begins with the adapter that the run begins with: merged, or trained further."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.eject.test_script import run_script
from tests.tiny_model import pair_rows, write_rows
from tests.train.running import make_spec, run_worker
from tui_ft import paths
from tui_ft.eject import EjectError, eject
from tui_ft.spec import RunSpec

LORA = {"kind": "lora", "r": 8, "lora_alpha": 16}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[Path]:
    """Return a home with runs of SFT that left an adapter: `sft` and `bottleneck`."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTUI_HOME", str(folder))
        paths.make_private_dir(folder / "runs")
        training = {"max_steps": 6, "learning_rate": 1e-2, "eval_steps": None, "save_steps": None}
        for name, method in (("sft", LORA), ("bottleneck", {"kind": "bottleneck"})):
            spec = make_spec(folder, tiny_llama, method=method, training=training)
            ran = run_worker(spec, folder / "runs" / name)
            assert ran.ended.state == "finished", ran.ended
        yield folder


def _dpo(home: Path, tiny: Path, adapter: str, run: str = "sft", **method: Any) -> RunSpec:
    rows = home / "pairs.jsonl"
    if not rows.exists():
        write_rows(rows, pair_rows(100))
    return make_spec(
        home,
        tiny,
        model={"name_or_path": f"run:{run}", "adapter": adapter},
        data={"train": str(rows)},
        objective={"kind": "dpo"},
        method=method,
        training={"max_steps": 4, "eval_steps": 2, "save_steps": 2, "learning_rate": 2e-3},
    )


@pytest.mark.parametrize("adapter", ["merge", "continue"])
def test_it_trains_to_the_same_losses(
    home: Path, tiny_llama: Path, tmp_path: Path, adapter: str
) -> None:
    kind = "qlora" if adapter == "continue" else "lora"
    spec = _dpo(home, tiny_llama, adapter, kind=kind)
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    done = eject(spec, "script", tmp_path / "script")
    assert "tui_ft" not in done.file.read_text()
    logged = run_script(tmp_path / "script", alone=False)
    losses = [one["loss"] for one in logged if "loss" in one]
    assert losses == pytest.approx(ran.losses, abs=1e-4)
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    left = tmp_path / "script" / "adapter"
    config = json.loads((left / "adapter_config.json").read_text())
    base = tmp_path / "script" / "merged" if adapter == "merge" else tiny_llama
    assert config["base_model_name_or_path"] == str(base)
    assert not (left / "ref").exists()


def test_bottleneck_adapters_are_trained_further_too(
    home: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    spec = _dpo(home, tiny_llama, "continue", run="bottleneck", kind="bottleneck")
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    eject(spec, "script", tmp_path / "script")
    logged = run_script(tmp_path / "script", alone=False)
    assert [one["loss"] for one in logged if "loss" in one] == pytest.approx(ran.losses, abs=1e-4)


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_answers_are_held_near_to_the_adapter_as_it_was(
    home: Path, tiny_llama: Path, tmp_path: Path, kind: str
) -> None:
    short = {"kind": "length", "unit": "characters", "most": 4, "margin": 60}
    asked: dict[str, Any] = {"kind": kind, "max_completion_length": 8, "rewards": [short]}
    asked |= {"num_ppo_epochs": 1} if kind == "ppo" else {"beta": 0.2, "num_generations": 4}
    spec = make_spec(
        home,
        tiny_llama,
        model={"name_or_path": "run:sft", "adapter": "continue"},
        objective=asked,
        method={"kind": "lora"},
        training={"max_steps": 2, "eval_steps": None, "save_steps": 1, "learning_rate": 2e-3},
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    eject(spec, "script", tmp_path / "script")
    logged = run_script(tmp_path / "script", alone=False)
    for name in ("loss", "reward"):
        found = [one[name] for one in logged if name in one]
        assert found == pytest.approx(ran.history.metrics[name].y, abs=1e-4), name
    kl = ran.history.metrics["kl"].y
    assert kl[0] == pytest.approx(0, abs=1e-5) and kl[1] != pytest.approx(0, abs=1e-5)


def test_axolotl_trains_it_further_and_merges_none(
    home: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    spec = _dpo(home, tiny_llama, "continue", kind="lora")
    said = eject(spec, "axolotl", tmp_path / "axolotl").file.read_text()
    assert f"base_model: {tiny_llama}" in said
    assert f"lora_model_dir: {home / 'runs' / 'sft' / 'adapter'}" in said
    assert "lora_r: 8" in said
    with pytest.raises(EjectError, match=r"set model\.adapter to continue"):
        eject(_dpo(home, tiny_llama, "merge", kind="lora"), "axolotl", tmp_path / "no")


def test_a_run_that_is_not_there_is_told(home: Path, tiny_llama: Path, tmp_path: Path) -> None:
    spec = make_spec(home, tiny_llama, model={"name_or_path": "run:none"})
    with pytest.raises(EjectError, match="there is no run none"):
        eject(spec, "script", tmp_path / "script")
