"""SFT, then DPO on SmolLM2-135M, as one chain: what the pairs teach that SFT did not.

`python -m benchmarks.bench_chain` prints Markdown; a seed takes a quarter of an hour on a core. The
rows are the demonstration's (`tui_ft/demo/preferences.py`). A pair is right when the sum of the
log-probabilities of the chosen answer is the greater; an answer is wanted when it acts on a request
that tells its value, or asks where it does not. Nothing held out was trained on in either stage.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress, takewhile
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import torch

from tui_ft import paths
from tui_ft.chains.folder import ChainFolder
from tui_ft.chains.pipelines import PIPELINES
from tui_ft.chains.status import ChainStatus, status_of
from tui_ft.demo.preferences import PreferenceFiles, write_preferences
from tui_ft.demo.prepare import CHATS, HELD_OUT_PAIRS, PAIRS, prepare_model
from tui_ft.hub.outputs import adapter_in, folder_of
from tui_ft.runs.folder import RunFolder

_BATCH: Final = 16
_NEW_TOKENS: Final = 44
_END: Final = "<|im_end|>"
_SHARED: Final = (
    "training.gradient_accumulation_steps=1",
    "training.max_length=128",
    "training.gradient_checkpointing=false",
    "training.warmup_steps=3",
    "training.save_steps=null",
    "training.load_best_model_at_end=false",
    "training.per_device_train_batch_size=8",
    "evaluation.samples=0",
    "hardware.cpu_threads=1",
)


@dataclass(frozen=True, slots=True)
class Unseen:
    """What was held out: pairs as request, chosen and rejected answer; rows of SFT, with theirs."""

    pairs: list[tuple[str, str, str]]
    chats: list[tuple[str, str]]

    @property
    def told(self) -> list[bool]:
        """Of each pair, whether its request tells the value, so that to act is right."""
        return [_action(chosen) != "ask" for _, chosen, _ in self.pairs]


@dataclass(frozen=True, slots=True)
class Found:
    """What a model did on the held-out requests.

    Attributes:
        right: of each pair, whether the chosen answer is likelier than the rejected one.
        margins: by how much, in nats.
        wanted: of each greedy answer, whether it acts or asks as the pairs prefer.
        exact: whether it is the chosen answer to the letter.
        valid: whether it is a JSON object.
        told: of each, whether its request names the value.
        mix_loss: nats a token of SFT's held-out rows, of both demonstrators.
        chosen_loss: nats a token of the chosen answers.
        rest_loss: the same, of the tokens after the first in which the two answers differ.
    """

    right: list[bool]
    margins: list[float]
    wanted: list[bool]
    exact: list[bool]
    valid: list[bool]
    told: list[bool]
    mix_loss: float
    chosen_loss: float
    rest_loss: float

    @property
    def untold(self) -> list[bool]:
        """Of each, whether its request leaves the value out."""
        return [not one for one in self.told]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sft-steps", type=int, default=40)
    parser.add_argument("--dpo-steps", type=int, default=32)
    parser.add_argument("--dpo-rate", type=float, default=3e-4)
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument(
        "--held-out", type=int, default=HELD_OUT_PAIRS, help="pairs, and as many rows of SFT"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--base", action="store_true", help="ask the model as it is, too")
    parser.add_argument("--from-sft", action="store_true", help="go on from SFT of a chain before")
    asked = parser.parse_args()
    model = prepare_model(print)
    for seed in asked.seeds:
        _one(model, seed, asked)


def _one(model: Path, seed: int, asked: argparse.Namespace) -> None:
    """Run the chain with one seed, of the rows and of the training; print what came out."""
    folder = paths.home() / "demo" / f"preferences-{seed}"
    files = write_preferences(folder, CHATS, PAIRS, asked.held_out, seed)
    unseen = _read(files)
    print(f"\n## Seed {seed}\n")
    _tell_lengths(str(model), unseen)
    found: dict[str, Found] = {}
    if asked.base:
        found["the model as it is"] = measure(str(model), unseen)
    chain = _start(model, files, seed, asked)
    began = time.monotonic()
    while (status := status_of(chain)).is_live:
        # The next stage trains meanwhile.
        _measure_finished(status, unseen, found)
        time.sleep(2)
    took = time.monotonic() - began
    if status.state != "finished":
        sys.exit(f"{status.state}: {status.reason}")
    _measure_finished(status, unseen, found)
    _tell(found)
    print(f"\nThe chain took {took:.0f} s.\n")
    for stage in status.stages:
        _tell_run(RunFolder(paths.runs_dir() / str(stage.run)))
    sys.stdout.flush()


def _read(files: PreferenceFiles) -> Unseen:
    pairs, chats = (
        [json.loads(line) for line in file.read_text().splitlines()]
        for file in (files.held_out_pairs, files.held_out_chats)
    )
    sides = ("prompt", "chosen", "rejected")
    return Unseen(
        pairs=[tuple(row[side][0]["content"] for side in sides) for row in pairs],
        chats=[tuple(one["content"] for one in row["messages"]) for row in chats],
    )


def _measure_finished(status: ChainStatus, unseen: Unseen, found: dict[str, Found]) -> None:
    """Add to ``found`` what came out of the stages that are done and not measured yet."""
    for stage in status.stages:
        name = f"after {stage.name}"
        if stage.state == "finished" and name not in found:
            found[name] = measure(f"run:{stage.run}", unseen)


def _start(
    model: Path, files: PreferenceFiles, seed: int, asked: argparse.Namespace
) -> ChainFolder:
    """Start the chain as a person would: written by `ftui chain new`, started by `start`."""
    file = paths.home() / f"bench-chain-{seed}.yaml"
    rows = {"sft": str(files.chats), "dpo": str(files.pairs)}
    pipeline, begins = PIPELINES["sft-dpo"], str(model)
    if asked.from_sft:
        pipeline = replace(pipeline, stages=(replace(pipeline.stages[1], model=None),))
        begins = f"run:bench-{seed}-sft"
    file.write_text(pipeline.to_yaml(begins, rows, f"bench-{seed}"))
    # 0.001 as in the demonstration. DPO's is far above what a long run takes: there are few steps.
    sft = (
        f"training.max_steps={asked.sft_steps}",
        "training.learning_rate=1e-3",
        "training.eval_steps=null",
    )
    dpo = (
        f"training.max_steps={asked.dpo_steps}",
        f"training.learning_rate={asked.dpo_rate:g}",
        f"training.eval_steps={asked.dpo_steps}",
        f"objective.beta={asked.beta:g}",
        f"data.eval={files.held_out_pairs}",
    )
    sets = [
        part
        for stage, own in (("sft", sft), ("dpo", dpo))[asked.from_sft :]
        for one in (*_SHARED, f"training.seed={seed}", *own)
        for part in ("--set", f"{stage}.{one}")
    ]
    ftui = "from tui_ft.cli import main; main()"
    command = [sys.executable, "-c", ftui, "chain", "start", str(file), *sets, "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ChainFolder(Path(json.loads(said)["path"]))


def measure(name: str, unseen: Unseen) -> Found:
    """Ask a model, or what a run made (`run:…`), for all that `Found` holds."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = folder_of(name)
    kind: Any = AutoModelForCausalLM if adapter_in(folder) is None else AutoPeftModelForCausalLM
    model = kind.from_pretrained(str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    requests, chosen, rejected = zip(*unseen.pairs, strict=True)
    good, bad = (
        _log_probabilities(model, tokenizer, list(zip(requests, answers, strict=True)))
        for answers in (chosen, rejected)
    )
    margins = [sum(better) - sum(worse) for better, worse in zip(good, bad, strict=True)]
    shared = [_shared(tokenizer, pair[1:]) for pair in unseen.pairs]
    answers = _answers(model, tokenizer, requests)
    actions = [_action(answer) for answer in answers]
    return Found(
        right=[margin > 0 for margin in margins],
        margins=margins,
        wanted=[one == _action(other) for one, other in zip(actions, chosen, strict=True)],
        exact=[one == other for one, other in zip(answers, chosen, strict=True)],
        valid=[action is not None for action in actions],
        told=unseen.told,
        mix_loss=_loss(_log_probabilities(model, tokenizer, unseen.chats)),
        chosen_loss=_loss(good),
        rest_loss=_loss([row[same + 1 :] for row, same in zip(good, shared, strict=True)]),
    )


def _log_probabilities(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    rows: Sequence[tuple[str, str]],
) -> list[list[float]]:
    """Return for each request and answer the log-probability of the answer's tokens, in nats.

    The end of the turn belongs to the answer.
    """
    found = []
    for start in range(0, len(rows), _BATCH):
        asked, whole = [], []
        for request, answer in rows[start : start + _BATCH]:
            prompt = _prompt(tokenizer, request)
            asked.append(len(tokenizer(prompt, add_special_tokens=False).input_ids))
            whole.append(prompt + answer + _END)
        batch = tokenizer(
            whole, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt"
        )
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits = model(**batch).logits[:, :-1].float()
        each = logits.log_softmax(-1).gather(2, batch.input_ids[:, 1:, None])[..., 0]
        lengths = batch.attention_mask.sum(1).tolist()
        for values, first, length in zip(each.tolist(), asked, lengths, strict=True):
            found.append(values[first - 1 : length - 1])
    return found


def _shared(tokenizer: Any, answers: Iterable[str]) -> int:  # noqa: ANN401
    """Return how many tokens the two answers begin with alike."""
    both = (tokenizer(answer + _END).input_ids for answer in answers)
    return sum(1 for _ in takewhile(lambda ids: ids[0] == ids[1], zip(*both, strict=False)))


def _answers(model: Any, tokenizer: Any, requests: Sequence[str]) -> list[str]:  # noqa: ANN401
    """Return the greedy answers."""
    found: list[str] = []
    for start in range(0, len(requests), _BATCH):
        prompts = [_prompt(tokenizer, request) for request in requests[start : start + _BATCH]]
        batch = tokenizer(
            prompts,
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            ids = model.generate(**batch, do_sample=False, max_new_tokens=_NEW_TOKENS)
        new = ids[:, batch.input_ids.shape[1] :]
        found += tokenizer.batch_decode(new, skip_special_tokens=True)
    return found


def _prompt(tokenizer: Any, request: str) -> str:  # noqa: ANN401
    said = [{"role": "user", "content": request}]
    return str(tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False))


def _action(answer: str) -> str | None:
    """Return what an answer does; None when it is no JSON object."""
    try:
        value = json.loads(answer)
    except json.JSONDecodeError:
        return None
    return str(value.get("action")) if isinstance(value, dict) else None


def _loss(found: Iterable[Sequence[float]]) -> float:
    values = [value for row in found for value in row]
    return -sum(values) / len(values)


def _tell_lengths(model: str, unseen: Unseen) -> None:
    """Print how long the answers are, and what is right by length alone or by habit."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    count = len(unseen.pairs)
    good, bad = ([len(tokenizer(pair[side]).input_ids) for pair in unseen.pairs] for side in (1, 2))
    halves = sum((a > b) + (a >= b) for a, b in zip(good, bad, strict=True))
    print(
        f"{count} held-out pairs: {sum(good) / count:.2f} tokens chosen, {sum(bad) / count:.2f} "
        f"rejected; the longer one is right in {halves / 2 / count:.1%}, the one that acts in "
        f"{sum(unseen.told) / count:.1%}.\n"
    )


def _tell(found: dict[str, Found]) -> None:
    rows: dict[str, Callable[[Found], str]] = {
        "pairs right": lambda one: _share(one.right),
        "… value told": lambda one: _share(compress(one.right, one.told)),
        "… value left out": lambda one: _share(compress(one.right, one.untold)),
        "greedy answers wanted": lambda one: _share(one.wanted),
        "… value told: acts": lambda one: _share(compress(one.wanted, one.told)),
        "… value left out: asks": lambda one: _share(compress(one.wanted, one.untold)),
        "greedy answers equal to the chosen one": lambda one: _share(one.exact),
        "greedy answers valid JSON": lambda one: _share(one.valid),
        "mean margin, nats": lambda one: f"{sum(one.margins) / len(one.margins):.2f}",
        "SFT's held-out rows, nats a token": lambda one: f"{one.mix_loss:.4f}",
        "chosen answers, nats a token": lambda one: f"{one.chosen_loss:.4f}",
        "chosen answers after the choice, nats a token": lambda one: f"{one.rest_loss:.4f}",
    }
    print("| held out | " + " | ".join(found) + " |\n|---|" + "---|" * len(found))
    for name, tell in rows.items():
        print(f"| {name} | " + " | ".join(map(tell, found.values())) + " |")


def _share(found: Iterable[bool]) -> str:
    """Return a share with its Wilson interval of 95 % (Wilson 1927, JASA 22, 209)."""
    those = list(found)
    n, share = len(those), sum(those) / len(those)
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / n) ** 2 / 4)
    return f"{share:.1%} ({middle - half:.0%} to {middle + half:.0%})"


def _tell_run(run: RunFolder) -> None:
    report = json.loads(run.report_file.read_text())
    figures = {
        name: round(value, 3)
        for name, value in report["evaluation"].items()
        if name in ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins")
    }
    seconds = f"{report['steps']} steps in {report['seconds']:.0f} s"
    print(f"- {run.id}: {seconds}; loss {report['train_loss']:.3f}; held out {figures}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
