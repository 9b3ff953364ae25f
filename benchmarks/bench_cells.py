"""Objective x method, every cell: trained on the tiny Llama, saved, loaded; or why it cannot be.

`python -m benchmarks.bench_cells` prints a table in Markdown, from two processes of one thread;
the names of objectives behind it print their rows alone. Each loss has to fall, and each reward to
rise, by the margin of its row; a cell that misses it is marked. With rewards every cell is trained
from three seeds, and their mean has to; a seed that does not is marked, too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import multiprocessing
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
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
from tests.train.running import Ran, in_4_bits, make_spec, run_worker
from tui_ft.spec import RunSpec
from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.tuners import bottleneck

Rows = Callable[[int], list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Row:
    """An objective, and how far its figure has to go.

    Attributes:
        margin: what the loss falls by at least, or the reward rises by.
        fields: of the objective.
        rows: makes its data.
        steps: how many it is trained for.
        answers: whether it begins with the model that has learned to answer.
    """

    margin: float
    rows: Rows
    fields: dict[str, Any] = field(default_factory=dict)
    steps: int = 20
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A method, and the learning rates that it takes.

    Attributes:
        fields: of the method.
        rate: as the field has it for so small a model; prompts 0.3, as arXiv:2104.08691.
        online: the rate with rewards, or that of each objective; None for the same.
        longer: with rewards, how many times the steps of the row, or that of each objective.
        share: of the margins, which little capacity in so small a model cannot reach whole.
        kl: with rewards, the weight of the KL, if the row has one; None for the row's.
    """

    fields: dict[str, Any]
    rate: float = 1e-2
    online: float | dict[str, float] | None = None
    longer: int | dict[str, int] = 1
    share: float = 1.0
    kl: float | None = None


COLOURS: Final = {"kind": "regex", "pattern": "green|blue|black"}
"""About half of what the model that has learned to answer says has one of these colours."""
_ANSWERS: Final = {"rewards": [COLOURS], "max_completion_length": 16}
_GROUPS: Final = {**_ANSWERS, "num_generations": 8}
OBJECTIVES: Final[dict[str, Row]] = {
    "sft": Row(0.2, chat_rows),
    "pretraining": Row(0.2, text_rows),
    "dpo": Row(0.2, pair_rows),
    "kto": Row(0.08, judged_rows),
    "orpo": Row(0.2, pair_rows),
    "cpo": Row(0.2, pair_rows),
    "reward": Row(0.15, pair_rows),
    "classification": Row(0.1, labelled_rows, steps=40),
    "grpo": Row(0.15, chat_rows, _GROUPS, steps=25, answers=True),
    "rloo": Row(0.15, chat_rows, {**_GROUPS, "beta": 0.02}, steps=25, answers=True),
    "ppo": Row(
        0.15,
        chat_rows,
        {**_ANSWERS, "num_ppo_epochs": 2, "init_kl_coef": 0.02, "adap_kl_ctrl": False},
        steps=50,
        answers=True,
    ),
}
_LORA: Final = {"kind": "lora", "r": 8, "lora_alpha": 16}
_OFT: Final = {"peft_type": "OFT", "arguments": {"target_modules": "all-linear"}}
_FEW: Final = 0.1
"""The share of the margins for methods that train some hundred numbers of so small a model."""
_TOKENS: Final[dict[str, Any]] = {"share": _FEW, "kl": 0.002}
"""Learned tokens pay some ten nats for the reward that LoRA has for a few: at the rows' price of
0.02 to the nat they do as well to stay where they are."""
METHODS: Final[dict[str, Column]] = {
    "full": Column({"kind": "full"}, 1e-3, 2e-3),
    "freeze": Column({"kind": "freeze", "num_trainable_layers": 1}, 5e-3, 5e-3),
    "lora": Column(_LORA, online=5e-3),
    "dora": Column({**_LORA, "use_dora": True}, online=5e-3),
    "pissa": Column({**_LORA, "init_lora_weights": "pissa"}, online=5e-3),
    "qlora": Column({**_LORA, "kind": "qlora"}, online=5e-3),
    "adalora": Column({"kind": "adalora", "init_r": 8, "target_r": 4}, 2e-2),
    "ia3": Column({"kind": "ia3"}, 1e-1, 2e-1, 4, _FEW),
    "ln tuning": Column({"kind": "ln_tuning"}, 5e-2, 5e-2, {"grpo": 2, "rloo": 2}),
    "bottleneck": Column({"kind": "bottleneck", "bottleneck_size": 8}, 2e-3, 1e-2, share=0.5),
    "prompt": Column(
        {"kind": "prompt_tuning", "num_virtual_tokens": 16},
        3e-1,
        longer={"grpo": 4, "rloo": 8, "ppo": 8},
        **_TOKENS,
    ),
    "prefix": Column(
        {"kind": "prefix_tuning", "num_virtual_tokens": 4},
        3e-1,
        {"grpo": 3e-1, "rloo": 1e-1, "ppo": 3e-2},
        4,
        **_TOKENS,
    ),
    "p-tuning": Column(
        {"kind": "p_tuning", "num_virtual_tokens": 16, "encoder_hidden_size": 256},
        3e-3,
        longer={"grpo": 4, "rloo": 4, "ppo": 8},
        **_TOKENS,
    ),
    "peft: OFT": Column(
        {"kind": "peft", **_OFT},
        online={"grpo": 1e-2, "rloo": 1e-2, "ppo": 5e-3},
        longer={"grpo": 2, "rloo": 4, "ppo": 2},
    ),
}
_CLOSE: Final = 1e-3
_CLOSE_IN_4_BITS: Final = 1e-1
_MEANS: Final = 5
"""Steps at either end whose mean is compared: single rewards are noisy."""
_SEEDS: Final = (42, 1, 2)


@dataclass(frozen=True, slots=True)
class Models:
    """What cells begin with.

    Attributes:
        bare: the tiny Llama, of random weights.
        answering: it, after learning to answer.
    """

    bare: Path
    answering: Path


@dataclass(frozen=True, slots=True)
class Cell:
    """What training a cell came to.

    Attributes:
        figure: loss or reward.
        first: its mean over the first steps; `last` over the last ones.
        margin: how far it has to go.
        trouble: what is wrong with the run, or with what it saved; empty for nothing.
        runs: how far each run went that it is the mean of; empty for a single one.
    """

    figure: str
    first: float
    last: float
    margin: float
    trouble: str = ""
    runs: tuple[float, ...] = ()

    @property
    def gone(self) -> float:
        """How far it went, the right way."""
        return self.last - self.first if self.figure == "reward" else self.first - self.last

    @property
    def reaches(self) -> bool:
        """Whether that is as far as its margin."""
        return self.gone >= self.margin

    def __str__(self) -> str:
        missed = "" if self.reaches else f" **misses {self.margin:.2g}**"
        said = (f"{gone:+.2f}" if gone >= self.margin else f"**{gone:+.2f}**" for gone in self.runs)
        each = f" ({', '.join(said)})" if self.runs else ""
        return f"{self.first:.2f} → {self.last:.2f}{each}{missed}{self.trouble}"


def mean_of(cells: list[Cell]) -> Cell:
    """Return several runs of a cell as one."""
    if len(cells) == 1:
        return cells[0]
    return Cell(
        cells[0].figure,
        statistics.mean(cell.first for cell in cells),
        statistics.mean(cell.last for cell in cells),
        cells[0].margin,
        "".join(cell.trouble for cell in cells),
        tuple(cell.gone for cell in cells),
    )


def make_models(root: Path) -> Models:
    """Make in ``root`` what cells begin with."""
    bare = make_tiny_llama(root / "llama")
    (root / "answering").mkdir()
    steps = {"max_steps": 60, "eval_steps": None, "save_steps": None}
    spec = make_spec(root / "answering", bare, training=steps, hardware={"cpu_threads": 1})
    ran = run_worker(spec, root / "answering" / "run")
    assert ran.ended.state == "finished", ran.ended
    return Models(bare, ran.folder.output_dir())


def seeds_of(objective: str) -> tuple[int, ...]:
    """Return the seeds of the runs of a cell."""
    return _SEEDS if OBJECTIVES[objective].answers else _SEEDS[:1]


def spec_of(
    folder: Path, models: Models, objective: str, method: str, seed: int = _SEEDS[0]
) -> RunSpec:
    """Return a run of a cell, its data written into ``folder``."""
    row, column = OBJECTIVES[objective], METHODS[method]
    folder.mkdir(parents=True)
    write_rows(folder / "rows.jsonl", row.rows(200))
    batch = 32 if row.answers else 8
    fields = dict(row.fields)
    for name in ("beta", "init_kl_coef"):
        if name in fields and column.kl is not None:
            fields[name] = column.kl
    longer = column.longer if isinstance(column.longer, int) else column.longer.get(objective, 1)
    return make_spec(
        folder,
        models.answering if row.answers else models.bare,
        objective={"kind": objective, **fields},
        method=column.fields,
        training={
            "seed": seed,
            "max_steps": row.steps * (longer if row.answers else 1),
            "eval_steps": None,
            "save_steps": None,
            "per_device_train_batch_size": batch,
            "learning_rate": _rate(objective, method),
        },
        hardware={"gpus": "none", "cpu_threads": 1},
    )


def _rate(objective: str, method: str) -> float:
    column = METHODS[method]
    if column.online is None or not OBJECTIVES[objective].answers:
        return column.rate
    return column.online[objective] if isinstance(column.online, dict) else column.online


def train(spec: RunSpec, folder: Path, objective: str, method: str) -> Cell:
    """Train a cell; look at what it saved."""
    margin = OBJECTIVES[objective].margin
    if not OBJECTIVES[objective].answers:
        margin *= METHODS[method].share
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ran = run_worker(spec, folder / "run")
        if ran.ended.state != "finished":
            return Cell("loss", math.nan, math.nan, margin, f", {ran.ended.reason[:60]}")
        figure = "reward" if OBJECTIVES[objective].answers else "loss"
        values = _figures(ran, figure)
        first, last = (statistics.mean(some) for some in (values[:_MEANS], values[-_MEANS:]))
        return Cell(figure, first, last, margin, _trouble(spec, ran))


def _figures(ran: Ran, name: str) -> list[float]:
    """Return the losses or rewards of a run, less what the method adds to the loss."""
    values = [value for value in ran.history.series(name).y if value is not None]
    added = [value for value in ran.history.series("orth_penalty").y if value is not None]
    return (
        [a - b for a, b in zip(values, added, strict=True)] if name == "loss" and added else values
    )


def main() -> None:
    """Print the table, and the reasons below it."""
    began = time.monotonic()
    reasons: dict[str, int] = {}
    missed = 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("objectives", nargs="*", default=list(OBJECTIVES))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    objectives = wanted.objectives
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(wanted.processes, spawn, _begin_process) as pool,
    ):
        root = Path(name)
        models = pool.submit(_quietly_made, root).result()
        cells = _begin(pool, root, models, objectives, wanted.methods)
        print(f"| objective | margin | {' | '.join(wanted.methods)} |")
        print("|---" * (len(wanted.methods) + 2) + "|")
        for objective in objectives:
            said = []
            for method in wanted.methods:
                asked = cells[objective, method]
                if isinstance(asked, str):
                    said.append(f"({reasons.setdefault(asked, len(reasons) + 1)})")
                    continue
                cell = mean_of([run.result() for run in asked])
                missed += not cell.reaches
                said.append(str(cell))
            row = OBJECTIVES[objective]
            margin = f"reward +{row.margin:g}" if row.answers else f"loss -{row.margin:g}"
            print(f"| {objective} | {margin} | {' | '.join(said)} |", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = f"{time.monotonic() - began:.0f} s in all, {used.ru_utime + used.ru_stime:.0f} s of CPU"
    print(f"\n{took}; {missed} cells miss their margin. What cannot be:\n")
    for reason, number in reasons.items():
        print(f"{number}. {reason}")


def _begin(
    pool: ProcessPoolExecutor,
    root: Path,
    models: Models,
    objectives: list[str],
    methods: list[str],
) -> dict[tuple[str, str], list[Future[Cell]] | str]:
    """Let ``pool`` train every cell; return its runs to come, or why it cannot be."""
    begun: dict[tuple[str, str], list[Future[Cell]] | str] = {}
    for objective in objectives:
        for method in methods:
            runs = []
            for seed in seeds_of(objective):
                folder = root / objective / method.replace(" ", "-") / str(seed)
                spec = spec_of(folder, models, objective, method, seed)
                if found := impossible(spec):
                    begun[objective, method] = found[0].reason
                    break
                runs.append(pool.submit(train, spec, folder, objective, method))
            else:
                begun[objective, method] = runs
    return begun


def _begin_process() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def _quietly_made(root: Path) -> Models:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return make_models(root)


def _trouble(spec: RunSpec, ran: Ran) -> str:
    """Return what is wrong with what a cell saved: nothing, or that it is not what was trained."""
    base = Path(spec.model.name_or_path)
    try:
        loaded = _loaded(spec, ran, base)
    except Exception as error:  # whatever it is, it is what this cell came to
        return f", does not load: {type(error).__name__}"
    off = float((_logits(loaded, base) - _logits(ran.trainer.model, base)).abs().max())
    close = _CLOSE_IN_4_BITS if spec.method.kind == "qlora" else _CLOSE
    return "" if off <= close else f", loaded off by {off:.1e}"


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
        arguments["quantization_config"] = in_4_bits()
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
    main()
