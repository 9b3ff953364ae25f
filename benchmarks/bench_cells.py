"""Objective x method, every cell: trained on the tiny Llama, saved, loaded; or why it cannot be.

`python -m benchmarks.bench_cells` prints a table in Markdown, some five minutes on one core. Twelve
steps say that a cell trains and that what it saves is what was trained; how far its loss or reward
goes is in `bench_objectives`, and held by tests for the cells that people use.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)

from tests.tiny_model import (
    chat_rows,
    judged_rows,
    labelled_rows,
    make_tiny_llama,
    pair_rows,
    text_rows,
    write_rows,
)
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.spec import RunSpec
from tui_ft.spec.combinations import impossible
from tui_ft.spec.methods import TRAINS_BASE
from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.tuners import bottleneck

Rows = Callable[[int], list[dict[str, object]]]
_SHORT: Final = {"rewards": [{"kind": "length", "target": 4}], "max_completion_length": 16}
OBJECTIVES: Final[dict[str, tuple[dict[str, Any], Rows]]] = {
    "sft": ({}, chat_rows),
    "pretraining": ({}, text_rows),
    "dpo": ({}, pair_rows),
    "kto": ({}, judged_rows),
    "orpo": ({}, pair_rows),
    "cpo": ({}, pair_rows),
    "reward": ({}, pair_rows),
    "classification": ({}, labelled_rows),
    "grpo": ({**_SHORT, "num_generations": 4}, chat_rows),
    "rloo": ({**_SHORT, "num_generations": 4}, chat_rows),
    "ppo": (_SHORT, chat_rows),
}
_LORA: Final = {"kind": "lora", "r": 8, "lora_alpha": 16}
METHODS: Final[dict[str, dict[str, Any]]] = {
    "full": {"kind": "full"},
    "freeze": {"kind": "freeze", "num_trainable_layers": 1},
    "lora": _LORA,
    "dora": {**_LORA, "use_dora": True},
    "pissa": {**_LORA, "init_lora_weights": "pissa"},
    "qlora": {**_LORA, "kind": "qlora"},
    "adalora": {"kind": "adalora"},
    "ia3": {"kind": "ia3"},
    "ln tuning": {"kind": "ln_tuning"},
    "bottleneck": {"kind": "bottleneck", "bottleneck_size": 8},
    "prompt": {"kind": "prompt_tuning", "num_virtual_tokens": 4},
    "prefix": {"kind": "prefix_tuning", "num_virtual_tokens": 4},
    "p-tuning": {"kind": "p_tuning", "num_virtual_tokens": 4},
    "peft: OFT": {
        "kind": "peft",
        "peft_type": "OFT",
        "arguments": {"target_modules": "all-linear"},
    },
}
_STEPS: Final = 12
_CLOSE: Final = 1e-3
_CLOSE_IN_4_BITS: Final = 1e-1


def main() -> None:
    """Print the table, and the reasons below it."""
    warnings.simplefilter("ignore")
    reasons: dict[str, int] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        model = make_tiny_llama(Path(name) / "llama")
        print(f"| objective | {' | '.join(METHODS)} |")
        print("|---" * (len(METHODS) + 1) + "|")
        for objective in OBJECTIVES:
            cells = list(_cells(Path(name) / objective, model, objective, reasons))
            print(f"| {objective} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s in all. What cannot be:\n")
    for reason, number in reasons.items():
        print(f"{number}. {reason}")


def _cells(folder: Path, model: Path, objective: str, reasons: dict[str, int]) -> Iterator[str]:
    for method in METHODS:
        spec = _spec(folder / method.replace(" ", "-"), model, objective, METHODS[method])
        found = impossible(spec)
        if found:
            yield f"({reasons.setdefault(found[0].reason, len(reasons) + 1)})"
            continue
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ran = run_worker(spec, folder / method.replace(" ", "-") / "run")
            said = _said(spec, ran, model)
        yield said


def _spec(folder: Path, model: Path, objective: str, method: dict[str, Any]) -> RunSpec:
    fields, rows = OBJECTIVES[objective]
    folder.mkdir(parents=True)
    write_rows(folder / "rows.jsonl", rows(120))
    training = {"max_steps": _STEPS, "eval_steps": None, "save_steps": None}
    rate = 1e-3 if method["kind"] in TRAINS_BASE else 1e-2
    return make_spec(
        folder,
        model,
        objective={"kind": objective, **fields},
        method=method,
        training={**training, "learning_rate": rate},
        hardware={"gpus": "none", "cpu_threads": 1},
    )


def _said(spec: RunSpec, ran: Ran, model: Path) -> str:
    """Return what a cell came to: its loss or reward, and whether what it saved is the same."""
    if ran.ended.state != "finished":
        return f"{ran.ended.state}: {ran.ended.reason[:60]}"
    answers = "reward" if ran.history.series("reward").y else "loss"
    values = [value for value in ran.history.series(answers).y if value is not None]
    first, last = sum(values[:3]) / 3, sum(values[-3:]) / 3
    try:
        loaded = _loaded(spec, ran, model)
    except Exception as error:  # whatever it is, it is what this cell came to
        return f"{answers} {first:.2f} → {last:.2f}, does not load: {type(error).__name__}"
    off = float((_logits(loaded, model) - _logits(ran.trainer.model, model)).abs().max())
    close = _CLOSE_IN_4_BITS if spec.method.kind == "qlora" else _CLOSE
    same = "" if off <= close else f", loaded off by {off:.1e}"
    return f"{answers} {first:.2f} → {last:.2f}{same}"


def _loaded(spec: RunSpec, ran: Ran, model: Path) -> Any:  # noqa: ANN401 - peft is untyped here
    output, kind = ran.folder.output_dir(), spec.objective.kind
    scores = kind in ANSWERS_NOTHING
    auto: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    arguments: dict[str, Any] = {"dtype": torch.float32}
    if scores:
        arguments["num_labels"] = 1 if kind == "reward" else 3
    if output.name == "model":
        return auto.from_pretrained(output, **arguments)
    if spec.method.kind == "qlora":
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
            llm_int8_skip_modules=["score", "lm_head"],
        )
    base = auto.from_pretrained(model, **arguments)
    if spec.method.kind == "bottleneck":
        return bottleneck.load(base, output)
    return PeftModel.from_pretrained(base, output)


def _logits(model: Any, base: Path) -> torch.Tensor:  # noqa: ANN401
    model.eval()
    with torch.inference_mode():
        batch = AutoTokenizer.from_pretrained(base)("erin has a red carrot", return_tensors="pt")
        ids = batch["input_ids"]
        logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits
    return logits.float().clone()  # type: ignore[no-any-return]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
