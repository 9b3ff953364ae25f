"""Asks one other estimator for its figures; runs in the scratch environment of `bench_others`.

    python -m benchmarks.other_estimators TOOL < cases.json > answers.json

None of these tools is a dependency of ftui, so they are imported by name, here and nowhere else.
Each is asked through its command where that takes a description of the model, else through the
functions behind its command. Where these would fetch config.json from the Hub they get the case's.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

import msgspec

_GIB: Final = 1 << 30
_MOST_SECONDS: Final = 300


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A training run, in the words that other estimators know.

    Attributes:
        name: of the case.
        model: its id on the Hub.
        config: its config.json.
        parameters: of the model, without an adapter.
        method: how it is trained.
        rank: of the adapter; 0 for none.
        targets: of the adapter: the projections q and v, or all linear layers.
        batch: rows.
        length: tokens of each.
        checkpointing: of the layers' activations.
    """

    name: str
    model: str
    config: dict[str, Any]
    parameters: int
    method: Literal["full", "lora", "qlora"]
    rank: int
    targets: Literal["attention", "all_linear"]
    batch: int
    length: int
    checkpointing: bool


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool says of a case, with its setting: a figure in GiB, or None and why."""

    case: str
    gib: float | None = None
    setting: str = ""
    why: str = ""


def _accelerate(asked: Asked) -> Iterator[Said]:
    """Its command takes an id and verifies it on the Hub: that one answer is given for it."""
    if asked.method != "full":
        yield Said(case=asked.name, why="knows full training with Adam alone")
        return
    command = import_module("accelerate.commands.estimate")
    vars(command)["verify_on_hub"] = lambda *_, **__: SimpleNamespace(config={})
    with tempfile.TemporaryDirectory() as folder:
        _write_config(asked, Path(folder))
        found = command.gather_data(
            Namespace(
                model_name=folder,
                library_name="transformers",
                trust_remote_code=False,
                dtypes=["float16"],  # its half precision: bfloat16 is not among its choices
            )
        )
    largest = max(found[0][3].values())
    yield Said(case=asked.name, gib=largest / _GIB, setting="float16, Adam")


def _hf_vram_calc(asked: Asked) -> Iterator[Said]:
    """Its LoRA figure at four bits is taken for QLoRA, which it has no word for."""
    dtype = "int4" if asked.method == "qlora" else "bf16"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_config(asked, folder)
        result = folder / "result.json"
        options = {
            "model": asked.model,
            "model_path": name,
            "dtype": dtype,
            "max_batch_size": asked.batch,
            "max_seq_len": asked.length,
            "lora_rank": asked.rank or 64,
            "output_json": result,
        }
        said = _run("hf-vram-calc", *(f"--{key}={value}" for key, value in options.items()))
        if not result.is_file():
            yield Said(case=asked.name, why=_last_line(said))
            return
        found = msgspec.json.decode(result.read_bytes())["memory_requirements"][0]
    gib = found["training_gib" if asked.method == "full" else "lora_size_gib"]
    yield Said(case=asked.name, gib=gib, setting=dtype)


def _ftuneai(asked: Asked) -> Iterator[Said]:
    """Its halving for FlashAttention is told apart: which a user would choose is not certain."""
    vars(import_module("ftuneai.hub"))["fetch_model_config"] = lambda _: asked.config
    for flash in (False, True):
        estimator = import_module("ftuneai").Estimator(
            model=asked.model,
            method=asked.method,
            quantization="4bit" if asked.method == "qlora" else "none",
            batch_size=asked.batch,
            seq_length=asked.length,
            gradient_checkpointing=asked.checkpointing,
            optimizer="adamw",
            lora_rank=asked.rank or 16,
            lora_target=asked.targets,
            flash_attention=flash,
        )
        gib = estimator.estimate_memory().total_gb  # 1024 ** 3 bytes by its code
        yield Said(case=asked.name, gib=gib, setting="flash attention" if flash else "as it comes")


def _gpu_estimator(asked: Asked) -> Iterator[Said]:
    if asked.method != "full":
        yield Said(case=asked.name, why="knows full training alone")
        return
    options = {
        "model-params": asked.parameters,
        "batch-size": asked.batch,
        "seq-length": asked.length,
        "precision": "bf16",
        "optimizer": "adamw",
    }
    flags = ["--gradient-checkpointing"] if asked.checkpointing else []
    words = [f"--{key}={value}" for key, value in options.items()]
    said = _run("gpu-estimate", "estimate", *words, *flags)
    found = re.search(r"Total Memory Required: ([\d.]+) GB", said)
    if found is None:
        yield Said(case=asked.name, why=_last_line(said))
        return
    yield Said(case=asked.name, gib=float(found[1]), setting="bf16, adamw")


def _train_in_silence(asked: Asked) -> Iterator[Said]:
    """Its command asks cloud providers for prices first, so its estimator is asked directly."""
    models = import_module("tis.planner.models")
    config = asked.config
    workload = models.Workload(
        model=models.ModelSpec(
            name=asked.model,
            params=asked.parameters,
            num_layers=config["num_hidden_layers"],
            num_heads=config["num_attention_heads"],
            num_kv_heads=config["num_key_value_heads"],
            hidden_dim=config["hidden_size"],
            vocab_size=config["vocab_size"],
        ),
        training=models.TrainingSpec(
            method=asked.method, precision="bf16", batch_size=asked.batch, seq_len=asked.length
        ),
    )
    found = import_module("tis.planner.estimator").ResourceEstimator().estimate(workload)
    yield Said(case=asked.name, gib=found.required_vram_gb, setting="bf16")


TOOLS: Final[dict[str, Callable[[Asked], Iterator[Said]]]] = {
    "accelerate": _accelerate,
    "hf-vram-calc": _hf_vram_calc,
    "ftuneai": _ftuneai,
    "gpu-estimator": _gpu_estimator,
    "train-in-silence": _train_in_silence,
}


def _write_config(asked: Asked, folder: Path) -> None:
    (folder / "config.json").write_bytes(msgspec.json.encode(asked.config))


def _run(command: str, *words: str) -> str:
    """Return what a command of this environment says, errors and all."""
    done = subprocess.run(
        [Path(sys.executable).with_name(command), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_MOST_SECONDS,
    )
    return done.stdout


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def main() -> int:
    """Answer the cases on standard input; a tool's own printing goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    ask = TOOLS[sys.argv[1]]
    found: list[Said] = []
    for asked in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Asked]):
        try:
            found += ask(asked)
        except Exception as error:  # whatever another's code raises is its answer
            found.append(Said(case=asked.name, why=f"{type(error).__name__}: {error}"))
    answers.write(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
