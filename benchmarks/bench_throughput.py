"""Tokens a second of ftui's SFT beside trl's defaults: the same model, rows and adapter.

`python -m benchmarks.bench_throughput --shape 135m --method lora` prints a table in Markdown. Rows
are random tokens with the lengths of chats (log-normal), weights are random: neither changes the
time. Only tokens that are none of the padding count. The ways take turns, so that a machine that
gets slower does so for all. Without a GPU the time is that of the processor, which what others do
on the machine hardly changes; on a GPU it is wall time, and the GPU is waited for.

On a GPU: `--shape 1b`, `--shape 3b`, each with `--method lora` and `full`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import random
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_LLAMA: Final[dict[str, Any]] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's configuration, and rows that suit it.

    Attributes:
        median, longest: tokens of a row; `longest` is `max_length`.
    """

    config: dict[str, Any]
    median: int
    longest: int


def _llama(hidden: int, inner: int, layers: int, heads: int, kv: int, words: int) -> dict[str, Any]:
    return _LLAMA | {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": words,
    }


SHAPES: Final = {
    "tiny": Shape(_llama(64, 128, 2, 4, 2, 512), 48, 256),
    "135m": Shape(_llama(576, 1536, 30, 9, 3, 49_152), 48, 256),
    "1b": Shape(_llama(2048, 8192, 16, 32, 8, 128_256), 256, 2048),
    "3b": Shape(_llama(3072, 8192, 28, 24, 8, 128_256), 256, 2048),
}
_SPREAD: Final = 0.8
"""Of the logarithm of a row's tokens; about that of public chat sets."""
_ROWS: Final = 512
_TRL_BATCH: Final = 8
_LORA: Final = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a way reached: tokens a second, and the share of padding in what it computed."""

    tokens_per_second: float
    padding: float


def rows_of(shape: Shape) -> list[dict[str, list[int]]]:
    """Return rows of tokens; the first third of each is a question, which carries no loss."""
    chance = random.Random(0)
    rows = []
    for _ in range(_ROWS):
        drawn = shape.median * chance.lognormvariate(0.0, _SPREAD)
        length = max(8, min(shape.longest, round(drawn)))
        ids = [chance.randrange(2, shape.config["vocab_size"]) for _ in range(length)]
        asked = length // 3
        rows.append({"input_ids": ids, "labels": [-100] * asked + ids[asked:]})
    return rows


def trl_trainer(shape: Shape, method: str, folder: Path) -> Any:  # noqa: ANN401
    """Return trl's trainer as one gets it who says nothing: SFTConfig's defaults, one adapter."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from tui_ft.train.precision import Precision
    from tui_ft.train.random_model import plain_tokenizer, random_model

    on_gpu = torch.cuda.is_available()
    # trl loads a model that is given by name in float32.
    held = Precision("bf16", torch.float32)
    model = random_model(shape.config, _spec(shape, method, {}), held, _device(on_gpu))
    config = SFTConfig(
        output_dir=str(folder),
        max_length=shape.longest,
        report_to="none",
        save_strategy="no",
        use_cpu=not on_gpu,
        disable_tqdm=True,
    )
    adapter = LoraConfig(task_type="CAUSAL_LM", **_LORA) if method == "lora" else None
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows_of(shape)),
        processing_class=plain_tokenizer(),
        peft_config=adapter,
    )


def ftui_trainer(shape: Shape, method: str, folder: Path, training: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the trainer of an ftui run with so much changed of its defaults."""
    import torch
    from datasets import Dataset

    from tui_ft.train.objectives.common import Job
    from tui_ft.train.objectives.sft import OBJECTIVE
    from tui_ft.train.precision import choose_precision
    from tui_ft.train.random_model import plain_tokenizer, random_model
    from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
    from tui_ft.train.rows.dataset import TrainingData

    on_gpu = torch.cuda.is_available()
    spec = _spec(shape, method, training)
    precision, tokenizer = choose_precision(spec, on_gpu), plain_tokenizer()

    def load() -> Any:  # noqa: ANN401
        return random_model(shape.config, spec, precision, _device(on_gpu))

    maker = OBJECTIVE.maker(spec, TransformersChatTokenizer(tokenizer, ()))
    data = TrainingData(
        train=Dataset.from_list(rows_of(shape)),
        eval=None,
        questions=(),
        maker=maker,
        totals=maker.totals(),
        warnings=(),
    )
    job = Job(
        spec=spec,
        model=load(),
        tokenizer=tokenizer,
        data=data,
        precision=precision,
        checkpoints=folder,
        on_gpu=on_gpu,
        note=lambda _: None,
        load_again=load,
    )
    return OBJECTIVE.build(job)


def _device(on_gpu: bool) -> str:
    return "cuda" if on_gpu else "cpu"


def _spec(shape: Shape, method: str, training: dict[str, Any]) -> Any:  # noqa: ANN401
    from tui_ft.spec import build_spec
    from tui_ft.spec.kernels import is_installed

    chosen = {"kind": "lora", "r": 16, "lora_alpha": 32} if method == "lora" else {"kind": method}
    flash = is_installed("flash_attn")
    return build_spec(
        {
            "model": {
                "name_or_path": "random",
                "attn_implementation": "flash_attention_2" if flash else "auto",
                "use_kernels": "auto",
            },
            "data": {"train": "random", "eval_fraction": 0},
            "method": chosen,
            "training": {
                "max_length": shape.longest,
                "eval_steps": None,
                "save_steps": None,
                "use_liger_kernel": "auto",
                **training,
            },
        }
    )


def ways(shape: Shape, method: str) -> dict[str, dict[str, Any] | None]:
    """Return what is compared: trl's defaults (None), and ftui's training fields."""
    again = _needs_checkpointing(shape, method)
    optim = {"optim": "adamw_torch_fused", "gradient_checkpointing": again}
    alone = {"per_device_train_batch_size": 1, "packing": True}
    # As many tokens in a step of the optimizer as trl's batch of 8 rows has.
    packed = max(1, round(_TRL_BATCH * shape.median * 1.3 / shape.longest))
    return {
        "trl's defaults": None,
        "ftui: packing": {**optim, **alone, "gradient_accumulation_steps": packed},
        "ftui: rows of a length together": {
            **optim,
            "per_device_train_batch_size": _TRL_BATCH,
            "train_sampling_strategy": "group_by_length",
        },
        "ftui: as trl, checkpointing only if needed": {
            **optim,
            "per_device_train_batch_size": _TRL_BATCH,
        },
    }


def _needs_checkpointing(shape: Shape, method: str) -> bool:
    """Tell whether a step would not fit the GPU without; by the closed form, as in the app."""
    import torch

    from tui_ft.memory.estimate import estimate
    from tui_ft.memory.estimating import Unknown
    from tui_ft.memory.from_spec import step_of

    if not torch.cuda.is_available():
        return False
    training = {"gradient_checkpointing": False, "per_device_train_batch_size": _TRL_BATCH}
    answer = estimate(step_of(_spec(shape, method, training), shape.config))
    free, _ = torch.cuda.mem_get_info()
    return isinstance(answer, Unknown) or answer.high > free


def measure(trainer: Any, steps: int) -> Measured:  # noqa: ANN401
    """Train; return what was reached after the first step, in which much is made for once."""
    import torch
    from transformers import PrinterCallback, TrainerCallback

    on_gpu = torch.cuda.is_available()
    real = computed = 0
    marks: list[tuple[float, int, int]] = []
    step = trainer.training_step

    def counting(model: Any, inputs: Any, *args: Any) -> Any:  # noqa: ANN401
        nonlocal real, computed
        mask = inputs.get("attention_mask")
        computed += inputs["input_ids"].numel()
        real += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        return step(model, inputs, *args)

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if on_gpu:
                torch.cuda.synchronize()
            now = time.perf_counter() if on_gpu else time.process_time()
            marks.append((now, real, computed))

    trainer.training_step = counting
    trainer.args.max_steps = steps + 1
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch())
    trainer.train()
    (began, real_before, computed_before), (ended, real_after, computed_after) = marks[0], marks[-1]
    tokens, all_tokens = real_after - real_before, computed_after - computed_before
    return Measured(tokens / (ended - began), 1 - tokens / all_tokens)


def compare(name: str, method: str, *, steps: int, rounds: int) -> dict[str, list[Measured]]:
    """Return what each way reached in each round."""
    import torch

    shape = SHAPES[name]
    found: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for way, training in ways(shape, method).items():
                with contextlib.redirect_stderr(io.StringIO()):
                    trainer = (
                        trl_trainer(shape, method, Path(folder))
                        if training is None
                        else ftui_trainer(shape, method, Path(folder), training)
                    )
                    found.setdefault(way, []).append(measure(trainer, steps))
                del trainer
                torch.cuda.empty_cache()
    return found


def quick() -> dict[str, float]:
    """Return the tokens a second of the tiny model, for `make bench`."""
    _quieten()
    found = compare("tiny", "lora", steps=20, rounds=2)
    return {f"{way}, tokens/s": _median(each).tokens_per_second for way, each in found.items()}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    _quieten()
    import torch

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    found = compare(asked.shape, asked.method, steps=asked.steps, rounds=asked.rounds)
    base = _median(found["trl's defaults"]).tokens_per_second
    print(f"{asked.shape}, {asked.method}, on {where}, {asked.rounds} x {asked.steps} steps\n")
    print("| way | tokens/s | beside trl | padding | rounds |")
    print("|---|---|---|---|---|")
    for way, each in found.items():
        middle = _median(each)
        rounds = ", ".join(f"{one.tokens_per_second:,.0f}" for one in each)
        ratio = middle.tokens_per_second / base
        print(
            f"| {way} | {middle.tokens_per_second:,.0f} | {ratio:.2f} | {middle.padding:.0%} "
            f"| {rounds} |"
        )
    return 0


def _median(each: list[Measured]) -> Measured:
    return Measured(
        statistics.median(one.tokens_per_second for one in each),
        statistics.median(one.padding for one in each),
    )


def _quieten() -> None:
    import datasets
    import transformers

    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
