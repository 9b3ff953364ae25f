"""`python -m benchmarks.bench_advice DATA OUT.md`: real situations, their advice in full.

DATA is the folder with alpaca_en_demo.json, gsm8k_train.jsonl and dpo_zh_demo.json. No row is
quoted. Models are folders with their published config.json and SmolLM2's tokenizer, the one at
hand: it has few Chinese words, so lengths of dpo_zh_demo are longer than with Llama's own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import orjson

from tui_ft import paths, text
from tui_ft.advise.advice import Advice
from tui_ft.advise.tree import advise
from tui_ft.demo.prepare import prepare_model
from tui_ft.models.catalogue import catalogue
from tui_ft.plan.estimator import estimator
from tui_ft.plan.gathering import Sought, gather
from tui_ft.widgets.advice_signs import differing, phase_line

_MODELS: Final = {
    "Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
    "Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "Llama-3.3-70B-Instruct": "meta-llama/Llama-3.3-70B-Instruct",
    "Qwen2.5-14B-Instruct": "Qwen/Qwen2.5-14B-Instruct",
    "Qwen2.5-1.5B-Instruct": "Qwen/Qwen2.5-1.5B-Instruct",
    "SmolLM2-135M": "HuggingFaceTB/SmolLM2-135M",
    "SmolLM2-135M-Instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
_ALPACA, _GSM, _DPO = "alpaca_en_demo.json", "gsm8k_train.jsonl", "dpo_zh_demo.json"
_PROMPTS: Final = "prompts.jsonl"
"""The questions of gsm8k_train.jsonl alone."""
_REASON: Final = {"goal": "reasoning"}
_REWARD: Final = {"reward": "http://judge:8000/score"}
_SITUATIONS: Final[tuple[tuple[str, str, str, dict[str, str]], ...]] = (
    ("Llama-3.1-8B", _ALPACA, "24", {}),
    ("Llama-3.1-8B-Instruct", _ALPACA, "8", {"goal": "style", "prompt": "partly"}),
    ("Llama-3.1-8B-Instruct", _GSM, "80", {"goal": "domain", "facts": "none", "prompt": "partly"}),
    ("Llama-3.1-8B", _DPO, "24", {}),
    ("Llama-3.1-8B-Instruct", _DPO, "48", {"goal": "preference"}),
    ("Qwen2.5-14B-Instruct", _GSM, "24", {"goal": "domain", "facts": "none"}),
    ("Qwen2.5-14B-Instruct", _ALPACA, "8", {"goal": "style"}),
    ("Qwen2.5-14B-Instruct", _ALPACA, "48", {"goal": "knowledge", "facts": "often"}),
    ("Llama-3.3-70B-Instruct", _GSM, "48", {"goal": "domain", "facts": "none"}),
    ("Llama-3.3-70B-Instruct", _ALPACA, "8x80", {"goal": "style", "prompt": "fails"}),
    ("Llama-3.3-70B-Instruct", _DPO, "8x80", {}),
    ("SmolLM2-135M", _GSM, "8", {"goal": "domain", "facts": "none"}),
    ("Llama-3.1-8B-Instruct", _GSM, "8x24", {"goal": "domain", "facts": "none"}),
    ("Qwen2.5-14B-Instruct", _GSM, "4x24", {"goal": "domain", "facts": "none"}),
    ("Llama-3.3-70B-Instruct", _ALPACA, "2x24", {"goal": "style", "prompt": "fails"}),
    ("Qwen2.5-1.5B-Instruct", _GSM, "24", {}),
    ("Qwen2.5-1.5B-Instruct", _GSM, "8", _REASON),
    ("SmolLM2-135M-Instruct", _GSM, "24", _REASON),
    ("SmolLM2-135M", _GSM, "24", {**_REASON, "answer:solves": "some"}),
    ("Llama-3.1-8B", _GSM, "80", _REASON),
    ("Llama-3.1-8B-Instruct", _GSM, "24", _REASON),
    ("Llama-3.3-70B-Instruct", _GSM, "8x80", _REASON),
    ("Qwen2.5-1.5B-Instruct", _ALPACA, "24", _REASON),
    ("Llama-3.1-8B-Instruct", _DPO, "80", {"answer:on_policy": "yes"}),
    ("Llama-3.1-8B", _DPO, "80", {"answer:on_policy": "yes"}),
    ("Llama-3.1-8B-Instruct", _DPO, "80", {"answer:objective": "reward_then_ppo"}),
    ("Llama-3.1-8B-Instruct", _PROMPTS, "80", {}),
    ("Llama-3.1-8B-Instruct", _PROMPTS, "80", _REWARD),
)


def main() -> None:
    """Write the advice of every situation."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        models = _make_models(Path(folder))
        lines: list[str] = []
        for number, (model, file, gpu, said) in enumerate(_SITUATIONS, 1):
            rows = _prompts(Path(folder), data) if file == _PROMPTS else data / file
            asked = {name: value for name, value in said.items() if ":" not in name}
            answers = {name.partition(":")[2]: value for name, value in said.items() if ":" in name}
            situation = gather(
                Sought(model=str(models / model), data=str(rows), gpu=gpu, said=asked)
            )
            before = time.process_time()
            advice = advise(situation, answers, estimator=estimator())
            spent = time.process_time() - before
            told = ", ".join(f"{name} {value}" for name, value in said.items()) or "nothing"
            lines += [f"## {number}. {model}, {file}, {gpu} GB", ""]
            lines += [f"Said: {told}. Advice took {1000 * spent:.1f} ms of processor time.", ""]
            lines += [*_lines(advice), ""]
        out.write_text("\n".join(lines))


def _prompts(folder: Path, data: Path) -> Path:
    """Return a file with the questions of gsm8k alone."""
    file = folder / _PROMPTS
    if not file.exists():
        rows = map(orjson.loads, (data / _GSM).read_bytes().splitlines())
        prompts = (orjson.dumps({"prompt": row["question"]}) for row in rows)
        file.write_bytes(b"\n".join(prompts))
    return file


def _make_models(folder: Path) -> Path:
    whole = prepare_model(print)
    for name, known in _MODELS.items():
        target = folder / name
        target.mkdir()
        for file in whole.iterdir():
            is_template = file.name == "chat_template.jinja"
            if file.suffix != ".safetensors" and (not is_template or "Instruct" in name):
                shutil.copy(file, target / file.name)
        (target / "config.json").write_bytes(orjson.dumps(catalogue()[known.casefold()].config))
    return folder


def _lines(advice: Advice) -> Iterator[str]:
    yield f"**{advice.approach_name}** (costs {advice.cost}; {advice.time} to deploy)"
    yield ""
    yield "| question | answer | how | reason |"
    yield "|---|---|---|---|"
    for taken in advice.path:
        reason = taken.reason + (f" [{taken.source}]" if taken.source else "")
        yield f"| {taken.node} | {taken.choice} | {taken.how} | {reason} |"
    yield ""
    if advice.candidates:
        yield "| way | low | expected | high | of | time | rows at once | why (not) |"
        yield "|---|---|---|---|---|---|---|---|"
    for one in advice.candidates:
        name = f"**{one.name}**" if one.chosen else one.name
        sizes = " | ".join(
            text.memory(size) for size in (one.low, one.expected, one.high, one.free)
        )
        rows = f"{one.batch} of {one.max_length:,}" + (", ckpt" if one.checkpointing else "")
        why = one.problem or one.why_not
        yield f"| {name} | {sizes} | {text.duration(one.seconds)} | {rows} | {why} |"
    yield ""
    if advice.run is None:
        yield f"No run: {advice.no_run}"
        yield ""
    if advice.choices:
        said = [f"{choice.key} {_short(choice.value)}" for choice in advice.choices]
        yield f"Fields: {'; '.join(said)}."
        yield ""
    if len(advice.phases) > 1:
        yield f"Chain {advice.chain}:"
        yield ""
        for number, phase in enumerate(advice.phases, 1):
            yield f"{number}. {phase.objective}: {phase_line(phase)}"
        yield ""
    for phase in advice.phases[1:]:
        fields = (f"{one.key} {_short(one.value)}" for one in differing(advice.phases[0], phase))
        yield f"{phase.objective}, but for: {'; '.join(fields)}."
        yield ""
    for caution in advice.cautions:
        yield f"- {caution.severity}, {caution.id}: {caution.text}"


def _short(value: object) -> str:
    said = msgspec.json.encode(value).decode()
    return Path(said.strip('"')).name if "/" in said else said


if __name__ == "__main__":
    paths.make_private_dir(paths.home())
    main()
