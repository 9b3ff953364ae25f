"""Unsloth through a stand-in of its documented interface: what it is asked, and what comes out."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from tests.runs.checks.test_preflight import _gpu
from tests.tiny_model import chat_rows, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.memory.from_spec import not_modelled
from tui_ft.runs.checks.preflight import check
from tui_ft.train import worker as worker_module
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods import unsloth

LOADING = {
    *("model_name", "max_seq_length", "dtype", "load_in_4bit", "revision", "trust_remote_code"),
    *("device_map", "use_gradient_checkpointing", "use_exact_model_name", "fix_tokenizer"),
    "random_state",
}


class FastLanguageModel:
    """As `unsloth.FastLanguageModel` (2026), as far as it is used; LoRA is peft's."""

    asked: ClassVar[dict[str, dict[str, Any]]] = {}

    @staticmethod
    def from_pretrained(
        model_name: str, dtype: Any = None, quantization_config: Any = None, **given: Any
    ) -> tuple[Any, None]:
        FastLanguageModel.asked["load"] = {"model_name": model_name, "dtype": dtype, **given}
        if "refuses" in model_name:
            raise NotImplementedError("Unsloth: refuses is not supported yet!")
        base = AutoModelForCausalLM.from_pretrained(
            model_name, dtype=dtype, quantization_config=quantization_config
        )
        return base, None

    @staticmethod
    def get_peft_model(  # noqa: PLR0917 - as it is
        model: Any,
        r: int = 16,
        target_modules: Any = None,
        lora_alpha: int = 16,
        lora_dropout: float = 0,
        bias: str = "none",
        layers_to_transform: Any = None,
        use_gradient_checkpointing: Any = "unsloth",
        random_state: int = 3407,
        max_seq_length: int = 2048,
        use_rslora: bool = False,
        modules_to_save: Any = None,
    ) -> Any:
        asked = {"checkpointing": use_gradient_checkpointing, "seed": random_state}
        FastLanguageModel.asked["adapt"] = {**asked, "targets": target_modules, "r": r}
        torch.manual_seed(random_state)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=r,
            lora_alpha=lora_alpha,
            lora_dropout=lora_dropout,
            target_modules=target_modules,
            layers_to_transform=layers_to_transform,
            use_rslora=use_rslora,
            bias=bias,
        )
        return get_peft_model(model, config)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in where `import unsloth` finds it, and let the CPU be its GPU."""
    module = types.ModuleType("unsloth")
    module.FastLanguageModel = FastLanguageModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unsloth", module)
    real = unsloth.import_first
    monkeypatch.setattr(unsloth, "import_first", lambda _: real(True))


def _run(folder: Path, model: Path, **groups: Any) -> Ran:
    method = {"kind": "lora", "r": 8, "lora_alpha": 16, **groups.pop("method", {})}
    spec = make_spec(
        folder,
        model,
        model={"backend": "unsloth", **groups.pop("model", {})},
        method=method,
        training={
            **{"learning_rate": 2e-2, "max_steps": 8, "eval_steps": 4, "save_steps": 4},
            **groups.pop("training", {}),
        },
        hardware={"gpus": "auto", "cpu_threads": 1},
    )
    return run_worker(spec, folder / "run")


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_it_loads_adapts_trains_and_saves_an_adapter_of_pefts(
    tmp_path: Path, tiny_llama: Path, stand_in: None, kind: str
) -> None:
    ran = _run(
        tmp_path, tiny_llama, method={"kind": kind}, training={"gradient_checkpointing": True}
    )
    assert ran.ended.state == "finished", ran.ended
    first, last = ran.losses[0], ran.losses[-1]
    assert first is not None
    assert last is not None
    assert last < first - 0.1
    load, adapt = FastLanguageModel.asked["load"], FastLanguageModel.asked["adapt"]
    assert set(load) == LOADING
    assert load["model_name"] == str(tiny_llama)
    assert load["load_in_4bit"] is (kind == "qlora")
    assert load["use_exact_model_name"] is True
    assert (load["max_seq_length"], load["random_state"]) == (64, 42)
    assert adapt == {
        "checkpointing": "unsloth",
        "seed": 42,
        "targets": list(unsloth._ALL_LINEAR),
        "r": 8,
    }
    assert not ran.trainer.args.gradient_checkpointing
    if kind == "lora":
        base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
        loaded = PeftModel.from_pretrained(base, ran.folder.output_dir()).eval()
        ids = torch.arange(5, 25)[None]
        trained = ran.trainer.model.eval()
        torch.testing.assert_close(loaded(input_ids=ids).logits, trained(input_ids=ids).logits)


def _names_of(file: Path, class_name: str, function: str) -> set[str]:
    """Return the arguments of a method as they are written: to import it would take a GPU."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and one.name == function:
                    return {argument.arg for argument in (*one.args.args, *one.args.kwonlyargs)}
    raise AssertionError(f"{class_name}.{function} is not in {file}")


def test_the_installed_one_has_the_arguments_that_it_is_given() -> None:
    found = importlib.util.find_spec("unsloth")
    if found is None or found.origin is None:
        pytest.skip("it is not installed")
    models = Path(found.origin).parent / "models"
    # quantization_config goes to transformers, through its keywords.
    assert _names_of(models / "loader.py", "FastLanguageModel", "from_pretrained") >= LOADING
    own = set(inspect.signature(FastLanguageModel.get_peft_model).parameters)
    assert own <= _names_of(models / "llama.py", "FastLlamaModel", "get_peft_model")


def test_extra_goes_to_its_own_function(tmp_path: Path, tiny_llama: Path, stand_in: None) -> None:
    ran = _run(tmp_path, tiny_llama, method={"extra": {"layers_to_transfrm": [0]}})
    assert ran.ended.state == "failed"
    assert "get_peft_model has no such argument" in ran.ended.reason
    assert ran.ended.advice == ("did you mean `layers_to_transform`?",)


def test_what_it_refuses_is_passed_on(tmp_path: Path, tiny_llama: Path, stand_in: None) -> None:
    place = tmp_path / "refuses"
    place.symlink_to(tiny_llama)
    ran = _run(tmp_path, place)
    assert ran.ended.reason.startswith("Unsloth does not take this model: Unsloth: refuses is not")
    assert ran.ended.advice == ("set model.backend to transformers",)


def test_without_gpu_or_without_it_the_reason_is_said(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = _run(tmp_path, tiny_llama)
    assert ran.ended.reason == "model.backend unsloth takes an NVIDIA GPU, and the run has none"
    monkeypatch.setitem(sys.modules, "unsloth", None)
    with pytest.raises(RunFailure, match="Unsloth") as caught:
        unsloth.import_first(True)
    assert any("model.backend to transformers" in one for one in caught.value.advice)
    assert worker_module  # it is imported before trl only there


def test_the_preflight_says_so_too(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "rows.jsonl", chat_rows(30))
    spec = make_spec(
        tmp_path,
        tiny_llama,
        model={"backend": "unsloth"},
        method={"kind": "lora"},
        hardware={"gpus": "auto"},
    )
    bad = [one.text for one in check(spec, tmp_path, (_gpu(8e9),)) if one.severity == "bad"]
    assert bad == ["model.backend is unsloth, which is not installed"]
    (tmp_path / "unsloth.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    bad = [one.text for one in check(spec, tmp_path) if one.severity == "bad"]
    assert bad == ["model.backend unsloth takes an NVIDIA GPU, and the run has none"]
    assert not [one for one in check(spec, tmp_path, (_gpu(8e9),)) if one.severity == "bad"]
    assert not_modelled(spec) == (
        "Unsloth's kernels are not modelled: they hold less than the figure says",
    )
