"""SFT, then DPO on SmolLM2-135M, as one chain: which of two answers the model finds likelier.

`python -m benchmarks.bench_chain` takes a quarter of an hour on a core and prints Markdown. The
pairs are the demonstration's (`tui_ft/demo/preferences.py`): of the rejected answer one value is
off. A pair is right when the sum of the log-probabilities of the chosen answer is the greater;
none of the held-out requests was trained on, and none of them stands in the rows of SFT.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tui_ft import paths
from tui_ft.chains.folder import ChainFolder
from tui_ft.chains.pipelines import PIPELINES
from tui_ft.chains.status import status_of
from tui_ft.demo.preferences import write_pairs
from tui_ft.demo.prepare import prepare_model
from tui_ft.demo.task import write_rows
from tui_ft.hub.outputs import adapter_in, folder_of
from tui_ft.runs.folder import RunFolder

_SHARED = (
    "per_device_train_batch_size=8",
    "gradient_accumulation_steps=1",
    "max_length=128",
    "gradient_checkpointing=false",
    "warmup_steps=3",
    "save_steps=20",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sft-steps", type=int, default=40)
    parser.add_argument("--dpo-steps", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=200, help="held out")
    asked = parser.parse_args()
    data = paths.home() / "demo"
    model = prepare_model(print)
    chats, _ = write_rows(data)
    pairs, held_out = write_pairs(data, 400, asked.pairs)
    before = (time.monotonic(), _accuracy(str(model), held_out))
    print(f"base: {_percent(before[1])}", file=sys.stderr)
    chain = _start(model, {"sft": chats, "dpo": pairs}, asked)
    began = time.monotonic()
    while (status := status_of(chain)).is_live:
        time.sleep(2)
    took = time.monotonic() - began
    if status.state != "finished":
        sys.exit(f"{status.state}: {status.reason}")
    found = {"the model as it is": before[1]}
    for stage in status.stages:
        found[f"after {stage.name}"] = _accuracy(f"run:{stage.run}", held_out)
    print(f"{asked.pairs} held-out pairs, {torch.get_num_threads()} threads\n")
    print("| model | right | mean margin, nats |\n|---|---|---|")
    for name, margins in found.items():
        mean = sum(margins) / len(margins)
        print(f"| {name} | {_percent(margins)} | {mean:.2f} |")
    print(f"\nthe chain took {took:.0f} s")
    for stage in status.stages:
        _tell(RunFolder(paths.runs_dir() / str(stage.run)))


def _start(model: Path, data: dict[str, Path], asked: argparse.Namespace) -> ChainFolder:
    """Start the chain as a person would: written by `ftui chain new`, started by `start`."""
    file = paths.home() / "bench-chain.yaml"
    rows = {stage: str(path) for stage, path in data.items()}
    file.write_text(PIPELINES["sft-dpo"].to_yaml(str(model), rows, "bench"))
    fields = {stage: [f"{stage}.training.{one}" for one in _SHARED] for stage in data}
    # 0.001 as in the demonstration; DPO pulls the same adapter gently.
    fields["sft"] += [f"sft.training.max_steps={asked.sft_steps}"]
    fields["sft"] += ["sft.training.learning_rate=1e-3", "sft.training.eval_steps=null"]
    fields["dpo"] += [f"dpo.training.max_steps={asked.dpo_steps}"]
    fields["dpo"] += ["dpo.training.learning_rate=2e-4", "dpo.training.eval_steps=20"]
    fields["dpo"] += ["dpo.training.per_device_train_batch_size=4", "dpo.data.max_eval_rows=32"]
    for stage, settings in fields.items():
        settings += [f"{stage}.evaluation.samples=0"]
    sets = [part for settings in fields.values() for one in settings for part in ("--set", one)]
    ftui = "from tui_ft.cli import main; main()"
    command = [sys.executable, "-c", ftui, "chain", "start", str(file), *sets, "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ChainFolder(Path(json.loads(said)["path"]))


def _accuracy(name: str, pairs: Path) -> list[float]:
    """Return for each pair the margin of log-probability of the chosen answer, in nats."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = folder_of(name)
    kind: Any = AutoModelForCausalLM if adapter_in(folder) is None else AutoPeftModelForCausalLM
    model = kind.from_pretrained(str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    margins = []
    for line in pairs.read_text().splitlines():
        row = json.loads(line)
        good, bad = (
            _log_probability(model, tokenizer, row["prompt"], row[side])
            for side in ("chosen", "rejected")
        )
        margins.append(good - bad)
    return margins


def _log_probability(model: Any, tokenizer: Any, prompt: Any, answer: Any) -> float:  # noqa: ANN401
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([*prompt, *answer], tokenize=False)
    first = len(tokenizer(asked, add_special_tokens=False).input_ids)
    ids = tokenizer(whole, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model(ids).logits[0, first - 1 : -1].float()
    return float(logits.log_softmax(-1).gather(1, ids[0, first:, None]).sum())


def _percent(margins: list[float]) -> str:
    return f"{sum(margin > 0 for margin in margins) / len(margins):.1%}"


def _tell(run: RunFolder) -> None:
    report = json.loads(run.report_file.read_text())
    figures = {name: round(value, 3) for name, value in report["evaluation"].items() if value}
    seconds = f"{report['steps']} steps in {report['seconds']:.0f} s"
    print(f"- {run.id}: {seconds}; loss {report['train_loss']:.3f}; held out {figures}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
