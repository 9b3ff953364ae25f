"""Situations by short names, and an estimator of honest arithmetic to judge them by."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.situation import (
    DataFacts,
    GpuFacts,
    Known,
    LengthOption,
    ModelFacts,
    Situation,
    SmallerModel,
)
from tui_ft.data.checkable import Checkable
from tui_ft.memory.allocator import GIB
from tui_ft.memory.cards import CARDS
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure, Term
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import BYTES, Step
from tui_ft.models import architecture_of
from tui_ft.models.catalogue import catalogue

_CATALOGUED: Final = {
    "llama-1b": "meta-llama/Llama-3.2-1B",
    "llama-3b": "meta-llama/Llama-3.2-3B",
    "llama-8b": "meta-llama/Llama-3.1-8B",
    "llama-70b": "meta-llama/Llama-3.3-70B-Instruct",
    "qwen-14b": "Qwen/Qwen2.5-14B-Instruct",
    "qwen-1.5b": "Qwen/Qwen2.5-1.5B-Instruct",
    "smollm-135m": "HuggingFaceTB/SmolLM2-135M",
    "pythia-160m": "EleutherAI/pythia-160m",
    "bert": "google-bert/bert-base-uncased",
}
CONFIGS: Final[dict[str, dict[str, Any]]] = {
    short: catalogue()[name.casefold()].config for short, name in _CATALOGUED.items()
}
# Format, what it teaches, and the tokens of a row in the mean and at most.
_KINDS: Final[dict[str, tuple[str, tuple[str, ...], int, int]]] = {
    "answers": ("alpaca", ("sft",), 180, 500),
    "chats": ("messages", ("sft",), 400, 1000),
    "short": ("alpaca", ("sft",), 60, 500),
    "long": ("messages", ("sft",), 3000, 8000),
    "dirty": ("alpaca", ("sft",), 180, 500),
    "generated": ("alpaca", ("sft",), 180, 500),
    "chinese": ("alpaca", ("sft",), 180, 500),
    "plain": ("prompt_completion", ("sft",), 180, 500),
    "bareplain": ("preference", ("dpo", "orpo", "cpo", "reward", "sft"), 300, 1000),
    "pairs": ("preference", ("dpo", "orpo", "cpo", "reward", "sft"), 300, 1000),
    "judged": ("kto", ("kto", "sft"), 300, 1000),
    "prompts": ("prompt_only", ("grpo", "rloo", "ppo"), 80, 200),
    "labels": ("text_label", ("classification",), 200, 500),
    "text": ("text", ("pretraining", "sft"), 700, 2000),
    "math": ("alpaca", ("sft", "grpo"), 220, 500),
    "code": ("alpaca", ("sft", "grpo"), 220, 500),
    "measures": ("alpaca", ("sft", "grpo"), 220, 500),
    "bare": ("alpaca", ("sft", "grpo"), 90, 250),
    "json": ("alpaca", ("sft", "grpo"), 180, 500),
    "truths": ("prompt_only", ("grpo", "rloo", "ppo"), 80, 200),
    "tests": ("prompt_only", ("grpo", "rloo", "ppo"), 80, 200),
}
_CHECKS: Final[dict[str, Checkable]] = {
    "math": Checkable(
        "answer",
        reward={
            "kind": "exact_match",
            "extract": "last_number",
            "extract_reference": "after_hashes",
        },
        what="99 % of the answers end in `####` and a number",
        worked=True,
        marked=True,
    ),
    "measures": Checkable(
        "answer",
        reward={
            "kind": "exact_match",
            "extract": "after_hashes",
            "extract_reference": "after_hashes",
        },
        what="99 % of the answers end in `####` and the final answer",
        worked=True,
        marked=True,
    ),
    "bare": Checkable(
        "answer",
        reward={"kind": "exact_match", "extract": "last_line", "ignore_punctuation": True},
        what="the answers are a few words",
    ),
    "json": Checkable(
        "form",
        reward={"kind": "json", "json_schema": {"type": "object"}, "valid_only": 0.2},
        what="all answers are JSON",
        worked=True,
    ),
    "truths": Checkable(
        "answer",
        reward={"kind": "exact_match", "extract": "last_number"},
        what="the column `ground_truth` holds the right answers",
        marked=True,
        columns={"instruction": "prompt", "output": "ground_truth"},
    ),
    "code": Checkable("tests", what="the column `test` holds tests", worked=True, marked=True),
    "tests": Checkable("tests", what="the column `test_list` holds tests", marked=True),
}
_ASKED_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "plain": {"instruction": "prompt", "output": "completion"},
    "bareplain": {"instruction": "prompt", "chosen": "chosen", "rejected": "rejected"},
}
_SFT_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "pairs": {"prompt": "prompt", "completion": "chosen"},
    "labels": {"prompt": "text", "completion": "label"},
}


@cache
def _parameters(config: bytes) -> int:
    return architecture_of(msgspec.json.decode(config)).parameters


def parameters_of(config: Mapping[str, Any]) -> int:
    """Return the weights of the model with this configuration."""
    return _parameters(msgspec.json.encode(config))


class Arithmetic:
    """Memory and time from first principles, roughly: weights, states, activations, one layer's."""

    def __init__(self) -> None:
        self.asked = 0

    def memory(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        self.asked += 1
        config = step.config
        weights = parameters_of(config)
        h, layers = config["hidden_size"], config["num_hidden_layers"]
        ends = config["vocab_size"] * h * (1 if config.get("tie_word_embeddings", True) else 2)
        held = weights * BYTES[step.weights]
        if step.quantization is not None:
            held = int((weights - ends) * 0.53 + ends * BYTES[step.weights])
        trained = weights
        if step.adapter is not None:
            trained = 9 * 2 * h * layers * int(step.adapter.get("r", 1))
        size = BYTES["float32"] if step.adapter is not None else BYTES[step.weights]
        state = 2 if "8bit" in step.optim else 2 * size
        learned = trained * (size + state + (size if step.adapter is not None else 0))
        shared = spread.gpus if spread is not None and spread.shares_weights else 1
        ddp = spread is not None and spread.kind == "ddp"
        copied = trained * size if ddp else 0  # gradients in buckets
        tokens = step.batch * step.length * (2 if step.objective in ("dpo", "orpo") else 1)
        layer = 34 * tokens * h
        if step.attention != "flash_attention_2" and step.padded:
            layer += 4 * step.batch * step.length**2
        saved = 2 * tokens * h * layers + layer if step.checkpointing else layer * layers
        reference = weights * BYTES[step.weights] if step.holds_reference else 0
        scored = held if step.reward_model else 0
        expected = (held + learned + reference + scored) // shared + copied + GIB // 2
        expected += max(saved, _cache(step))
        if spread is not None and spread.offloads_weights:
            expected = GIB + max(saved, _cache(step))
        return Figure(
            low=int(expected * 0.95),
            expected=expected,
            high=int(expected * 1.1),
            terms=(Term("all", expected),),
            stage="backward",
            source="estimate",
            trainable_parameters=trained,
            parameters=weights,
        )

    def rough(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        return self.memory(step, spread)

    def seconds(self, work: Work) -> Seconds | Unknown:
        if work.gpu is None:
            return Unknown("no figure for the CPU")
        flops = 6 * parameters_of(work.step.config) * work.step.batch * work.mean_length
        again = 4 / 3 if work.step.checkpointing else 1.0
        seconds = work.passes * flops * again / (0.4 * 150e12)
        return Seconds(low=seconds / 2, expected=seconds, high=2 * seconds)


def _cache(step: Step) -> int:
    """Return keys and values of the answers that are generated at once."""
    plan, config = step.generation, step.config
    if plan is None:
        return 0
    heads = config.get("num_key_value_heads", config["num_attention_heads"])
    width = config["hidden_size"] // config["num_attention_heads"]
    each = 2 * config["num_hidden_layers"] * heads * width * 2
    return int(plan.rows * (plan.prompt + plan.new) * each)


def load_table() -> list[dict[str, Any]]:
    """Return the table of situations."""
    files = (Path(__file__).parent / f"{name}situations.yaml" for name in ("", "rl_"))
    return [row for file in files for row in yaml.safe_load(file.read_text())]


def situation_of(given: Mapping[str, Any]) -> Situation:
    """Return the situation that a row of the table describes."""
    return Situation(
        goal=_asked(given.get("goal")),
        prompt=_asked(given.get("prompt")),
        budget=_asked(given.get("budget")),
        facts_change=_asked(given.get("facts")),
        reward=_asked(given.get("reward")),
        data=data_of(given["data"]) if "data" in given else None,
        model=model_of(given["model"]) if "model" in given else None,
        gpus=Known(gpus_of(given["gpus"], given.get("free")), "measured")
        if "gpus" in given
        else None,
        host_memory=Known(16 * GIB, "measured"),
        flash_attention=Known(bool(given.get("flash")), "measured"),
    )


def data_of(name: str) -> DataFacts:
    """Return data such as `answers-5k`."""
    kind, _, count = name.partition("-")
    format, teaches, mean, most = _KINDS[kind]
    number = int(re.sub(r"\D", "", count))
    rows = number * {"k": 1_000, "m": 1_000_000}.get(count[-1], 1)
    best = 64 * math.ceil(most / 64)
    lengths = tuple(
        LengthOption(
            max_length=length,
            rows_cut=cut,
            tokens_cut=cut / 4,
            sequences=math.ceil(rows * min(mean, length) / length * 1.02),
        )
        for length, cut in ((best // 4, 0.5), (best // 2, 0.08), (best, 0.0))
    )
    return DataFacts(
        path=f"/data/{name}.jsonl",
        rows=Known(rows, "measured"),
        format=Known(format, "measured"),
        objectives=Known(teaches, "measured"),
        quality=Known(30 if kind == "dirty" else 92, "measured"),
        faults=("near duplicates", "empty answers") if kind == "dirty" else (),
        duplicates=Known(0.3 if kind == "dirty" else 0.0, "measured"),
        model_generated=Known(0.4 if kind == "generated" else 0.0, "measured"),
        languages=Known({"zh" if kind == "chinese" else "en": 1.0}, "measured"),
        tokens=Known(rows * mean, "measured"),
        longest=Known(most, "measured"),
        supervised_share=Known(1.0 if kind == "text" else 0.6, "measured"),
        max_length=Known(best, "measured"),
        lengths=lengths,
        sft_columns=_SFT_COLUMNS.get(kind, {}),
        asked_columns=_ASKED_COLUMNS.get(kind, {}),
        check=Known(_CHECKS[kind], "measured") if kind in _CHECKS else None,
    )


def model_of(name: str) -> ModelFacts:
    """Return a model such as `llama-8b-chat`; without `-chat` it is a base model."""
    if name == "unknown-chat":
        return ModelFacts(name=name, kind=Known("chat", "assumed"))
    base = name.removesuffix("-chat")
    config = CONFIGS[base]
    kind = "encoder" if base == "bert" else "chat" if name.endswith("-chat") else "base"
    size = parameters_of(config)
    smaller = [
        SmallerModel(other, parameters_of(CONFIGS[other]), CONFIGS[other])
        for other in ("llama-8b", "llama-3b", "llama-1b")
        if base.startswith("llama") and parameters_of(CONFIGS[other]) < size
    ]
    return ModelFacts(
        name=f"org/{name}",
        kind=Known(kind, "measured"),  # type: ignore[arg-type]
        parameters=Known(size, "measured"),
        context=Known(config["max_position_embeddings"], "measured"),
        family=Known(config["model_type"], "measured"),
        config=config,
        smaller=tuple(smaller),
    )


def gpus_of(said: object, free: object = None) -> tuple[GpuFacts, ...]:
    """Return GPUs such as 24, `8x80`, `t4` (16 GB, no bfloat16) or `none`."""
    if said == "none":
        return ()
    if said == "t4":
        return (GpuFacts(index=0, name="T4", total=16 * GIB, free=15 * GIB, capability=(7, 5)),)
    number, _, size = str(said).rpartition("x")
    card = next(card for card in CARDS if card.name == f"{size} GB")
    count = int(number or 1)
    frees = free if isinstance(free, list) else [free] * count
    return tuple(
        GpuFacts(
            index=at,
            name=card.name,
            total=card.memory_bytes,
            free=card.memory_bytes if one is None else int(one * GIB),
            capability=card.capability,
            holders=() if one is None else ("anna (pid 12)",),
        )
        for at, one in enumerate(frees)
    )


def _asked(value: Any) -> Any:
    return None if value is None else Known(value, "asked")
