"""The closed form of FSDP2 beside replays of torch's own `fully_shard`, by GPUs and method.

`python -m benchmarks.bench_sharding`: a minute or two, no GPU. Prints the table of the results.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from benchmarks.estimate_grid import MODELS
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate import Sharding
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.moments import Moment, moments_of
from tui_ft.memory.estimate.sharding import computed_step
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step

_LORA: Final = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
_NAMES: Final = ("Llama-3.1-8B, 3 layers", "Llama-3.2-1B", "Qwen2.5-0.5B")
_MIB: Final = 1 << 20


def questions() -> Iterator[tuple[str, Question]]:
    """Yield what is asked, with its words."""
    for name in _NAMES:
        for method in ("full", "lora"):
            for checkpointing in (False, True):
                step = _step(MODELS[name], method, checkpointing=checkpointing)
                words = f"{name} | {method} | {'yes' if checkpointing else 'no'}"
                for gpus in (2, 4, 8):
                    sharding = Sharding(kind="fsdp", gpus=gpus)
                    yield f"{words} | {gpus}", Question(step=step, sharding=sharding)
        step = _step(MODELS[name], "full", checkpointing=True)
        whole = Sharding(kind="fsdp", gpus=4, reshards=False)
        yield f"{name} | full, not resharded | yes | 4", Question(step=step, sharding=whole)
        passes = msgspec.structs.replace(step, accumulation=True)
        shared = Sharding(kind="fsdp", gpus=4)
        yield f"{name} | full, accumulated | yes | 4", Question(step=passes, sharding=shared)


def _step(config: dict[str, Any], method: str, *, checkpointing: bool) -> Step:
    full = method == "full"
    return Step(
        config=config,
        batch=2,
        length=1024,
        weights="float32" if full else "bfloat16",
        arithmetic="bfloat16",
        adapter=None if full else _LORA,
        checkpointing=checkpointing,
        optim="adamw_torch_fused",
    )


def closed(question: Question) -> Moment:
    """Return the closed form's largest moment."""
    step, sharding = question.step, question.sharding
    computed = model_of(computed_step(step, sharding))
    return max(moments_of(computed, sharding, model_of(step)), key=lambda moment: moment.total)


def main() -> None:
    """Print both for every question, and how far they are apart."""
    asked = list(questions())
    answers = dry_runs([question for _, question in asked], timeout=3600)
    print(
        "| model | method | checkpointing | GPUs | replayed (MiB) | closed form | error | peaks |"
    )
    print("|---|---|---|---|---|---|---|---|")
    errors = []
    for (words, question), answer in zip(asked, answers, strict=True):
        if answer.replayed is None:
            print(f"| {words} | {answer.error} | | | |")
            continue
        dry, moment = answer.replayed, closed(question)
        errors.append(moment.total / dry.allocated - 1)
        print(
            f"| {words} | {dry.allocated // _MIB} | {moment.total // _MIB} | {errors[-1]:+.1%} | "
            f"{dry.stage}; {moment.stage}: {moment.what} |"
        )
    sizes = sorted(map(abs, errors))
    print(f"\n{len(sizes)} steps: median {statistics.median(sizes):.1%}, worst {sizes[-1]:.1%}")


if __name__ == "__main__":
    main()
