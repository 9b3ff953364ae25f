"""`make bench-memory`: what the dry run says beside what others measured, row by row.

The measured figures are not part of the project: give the folder that holds
`peft_measured_memory.csv` and `published_memory.csv` as the argument.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.peft_orders import Lengths, order
from tui_ft.memory.allocator import GIB
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.figure import UNSEEN
from tui_ft.memory.question import Answer, Question
from tui_ft.memory.step import Generation, Step

LLAMA_3B: Final[dict[str, Any]] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
LENGTHS: Final = Lengths(longest=690, spread=0.32)
"""Of a row of peft's benchmark. Both numbers are read off one run, lora/llama-3.2-3B-rank32, for
all of them: its most reserved memory gives the longest, its average the spread."""
SEEDS: Final = range(9)
"""Runs are drawn so often. What is said is the median of their peaks; least and most are the band.
Chosen before errors were looked at."""
EVALUATION: Final = Generation(rows=50, prompt=118, new=300)
"""Answers to 50 questions of GSM8K, drawn as the benchmark draws them: the longest has 102 words
and marks, the words around it 10, and a tokenizer makes a few more of them."""
_SETTINGS: Final = Path(__file__).with_name("peft_settings.json")


@dataclass(frozen=True, slots=True)
class _Row:
    """A measured run: what the dry run says, None where it gives no answer, and its band."""

    name: str
    measured: int
    reserved: int | None
    low: int
    most: int
    high: float
    counts_agree: bool
    why: str = ""

    @property
    def error(self) -> float:
        return (self.reserved or 0) / self.measured - 1


def _rows(table: Path) -> Iterator[_Row]:
    settings: dict[str, dict[str, Any]] = json.loads(_SETTINGS.read_text())
    with table.open(newline="") as file:
        measured = list(csv.DictReader(file))
    questions = [_question(settings.get(row["experiment"]), row) for row in measured]
    for row, answer in zip(measured, dry_runs(questions, timeout=3600), strict=True):
        yield _compared(row, answer)


def _question(settings: dict[str, Any] | None, row: dict[str, str]) -> Question:
    full = row["peft_type"] == "FULL"
    step = Step(
        config=LLAMA_3B,
        batch=4,
        length=LENGTHS.longest,
        padded=True,
        objective="causal_lm",
        holds_outputs=True,
        holds_gradients=True,
        cache=True,
        generation=EVALUATION,
        adapter=None if full else (settings or {"peft_type": row["peft_type"]}),
    )
    return Question(step=step, orders=tuple(order(LENGTHS, seed) for seed in SEEDS))


def _compared(row: dict[str, str], answer: Answer) -> _Row:
    measured = int(row["mem_reserved_max_bytes"])
    found = answer.replayed
    if found is None:
        return _Row(row["experiment"], measured, None, 0, 0, 0, False, answer.error or "")
    agree = found.trainable_parameters == int(row["num_trainable"])
    agree = agree and found.parameters == int(row["num_total"])
    peaks = sorted(found.orders) or [found.reserved]
    middle, high = peaks[len(peaks) // 2], peaks[-1] * (1 + UNSEEN)
    return _Row(row["experiment"], measured, middle, peaks[0], peaks[-1], high, agree)


def _say(rows: Sequence[_Row]) -> None:
    print("\npeft's benchmark: peak reserved of Llama-3.2-3B on an L40S, GiB")
    print(f"  {'run':<58}{'measured':>9}{'dry run':>9}{'error':>8}{'band':>16}")
    for row in rows:
        if row.reserved is None:
            print(f"  {row.name:<58}{row.measured / GIB:9.2f}  none: {row.why[:60]}")
            continue
        mark = "" if row.counts_agree else "  (parameters differ)"
        sizes = f"{row.measured / GIB:9.2f}{row.reserved / GIB:9.2f}{100 * row.error:+7.1f}%"
        sizes += f"{row.low / GIB:9.2f}{row.most / GIB:7.2f}"
        print(f"  {row.name:<58}{sizes}{mark}")
    answered = [row for row in rows if row.reserved is not None]
    errors = sorted(abs(row.error) for row in answered)
    print(f"  answered {len(answered)} of {len(rows)}")
    print(
        f"  median {100 * statistics.median(errors):.2f} %, mean "
        f"{100 * statistics.fmean(errors):.2f} %, worst {100 * errors[-1]:.1f} %, "
        f"most under {100 * min(row.error for row in answered):+.1f} %"
    )
    covered = sum(row.high >= row.measured for row in answered)
    print(f"  the high figure covers {covered} of {len(answered)}")
    mean = statistics.fmean(row.measured for row in answered)
    constant = statistics.fmean(abs(mean / row.measured - 1) for row in answered)
    print(f"  for comparison, always saying the mean: {100 * constant:.1f} % on average")


_PUBLISHED: Final = {
    "full +packed": Step(
        config=LLAMA_3B, batch=2, length=4096, objective="causal_lm", optim="adamw_torch_fused"
    ),
    "full +chunked CE": Step(
        config=LLAMA_3B, batch=2, length=4096, objective="sft", optim="adamw_torch_fused"
    ),
    "full +activation ckpt": Step(
        config=LLAMA_3B,
        batch=2,
        length=4096,
        objective="sft",
        checkpointing=True,
        optim="adamw_torch_fused",
    ),
}
"""Rows of torchtune's table whose settings are said in full, as transformers and trl run them."""


def _say_published(table: Path) -> None:
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file)]
    known = [row for row in rows if row["method"] in _PUBLISHED]
    answers = dry_runs([Question(step=_PUBLISHED[row["method"]]) for row in known], timeout=3600)
    print("\npublished tables: another trainer's code, so the same only in kind; GiB")
    for row, answer in zip(known, answers, strict=True):
        measured = float(row["measured"])
        found = answer.replayed
        said = f"{found.allocated / GIB:8.1f}" if found is not None else "    none"
        print(f"  {row['model']:<14}{row['method']:<24}{measured:8.1f}{said}")
    for row in rows:
        if row["method"] not in _PUBLISHED:
            print(f"  {row['model']:<14}{row['method']:<24}{row['measured'][:8]:>8}  not modelled")


def main() -> int:
    """Print the tables of the folder that is given."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    table = folder / "peft_measured_memory.csv"
    if not table.is_file():
        print(f"{table} is not there: give the folder that holds it")
        return 1
    _say(list(_rows(table)))
    _say_published(folder / "published_memory.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
