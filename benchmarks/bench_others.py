"""`make bench-memory-others`: other estimators beside ftui, on the same training runs.

    python -m benchmarks.bench_others [DATA] [--scratch FOLDER]

The others are installed from PyPI into a scratch environment that is thrown away, or kept in the
folder that is given. Only their own packages are: torch, transformers and whatever else they import
are this environment's. They run offline, without tokens, in a home of their own. DATA is the folder
that holds `peft_measured_memory.csv`; without it the measured cases are compared with the dry run.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from benchmarks.bench_memory import LENGTHS, LLAMA_3B
from benchmarks.estimate_grid import METHODS, MODELS
from benchmarks.other_estimators import Asked, Said
from tui_ft.memory.allocator import GIB
from tui_ft.memory.dry_run import DryRunError, dry_runs
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import CONTEXT
from tui_ft.memory.question import EMPTY, Answer, Question
from tui_ft.memory.step import Step
from tui_ft.text import plain

_OTHERS: Final = {
    "accelerate": None,
    "hf-vram-calc": "1.0.9",
    "ftuneai": "0.4.1",
    "gpu-estimator": "0.2.0",
    "train-in-silence": "0.1.6",
}
"""The versions that are installed, newest on 2026-11-25; None for what this environment has."""
_MOST_SECONDS: Final = 600
_ALONE: Final = "the step alone"
_WHOLE: Final = "peft's whole loop"
_NOT_INSTALLED: Final = "not installed"
_ROOT: Final = Path(__file__).parents[1]
_LLAMA_8B: Final[dict[str, Any]] = {
    **MODELS["Llama-3.1-8B, 3 layers"],
    "num_hidden_layers": 32,
    "architectures": ["LlamaForCausalLM"],
}
_Q_V: Final = {"peft_type": "LORA", "r": 32, "lora_alpha": 64}


@dataclass(frozen=True, slots=True)
class Case:
    """A training run: `step` is what a user would ask, `replayed` what is compared with.

    `row` names the measured run of peft's benchmark, and `replayed` is its whole loop then.
    """

    name: str
    model: str
    method: Literal["full", "lora", "qlora"]
    step: Step
    replayed: Question
    row: str = ""

    @property
    def asked(self) -> Asked:
        """The run in the words of the others."""
        step = self.step
        everywhere = (step.adapter or {}).get("target_modules") == "all-linear"
        return Asked(
            name=self.name,
            model=self.model,
            config={**step.config, "torch_dtype": "bfloat16", "hidden_act": "silu"},
            parameters=model_of(step).architecture.parameters,
            method=self.method,
            rank=(step.adapter or {}).get("r", 0),
            targets="all_linear" if everywhere else "attention",
            batch=step.batch,
            length=step.length,
            checkpointing=step.checkpointing,
        )


def cases() -> tuple[Case, ...]:
    """Return the runs, in the table's order."""
    return (
        _measured("3B LoRA r32", "lora", "lora/llama-3.2-3B-rank32", _Q_V),
        _measured("3B full", "full", "full-finetuning/llama-3.2-3B-lr_0.00001", None),
        _replayed("8B LoRA r16", "lora", METHODS["lora"]),
        _replayed("8B full", "full", {"optim": "adamw_torch_fused"}),
        _replayed("8B QLoRA r16", "qlora", METHODS["qlora"]),
    )


def _measured(
    name: str, method: Literal["full", "lora"], row: str, adapter: dict[str, Any] | None
) -> Case:
    step = Step(
        config=LLAMA_3B,
        batch=4,
        length=LENGTHS.longest,
        padded=True,
        objective="causal_lm",
        adapter=adapter,
    )
    loop = msgspec.structs.replace(step, holds_outputs=True, holds_gradients=True, cache=True)
    # A short batch, the cache emptied, the longest batch and its follower: as in its loop.
    question = Question(step=loop, lengths=(118, EMPTY, LENGTHS.longest, 336))
    return Case(name, "meta-llama/Llama-3.2-3B", method, step, question, row)


def _replayed(
    name: str, method: Literal["full", "lora", "qlora"], settings: dict[str, Any]
) -> Case:
    step = Step(config=_LLAMA_8B, batch=4, length=2048, checkpointing=True, **settings)
    return Case(name, "meta-llama/Llama-3.1-8B", method, step, Question(step=step))


def _measured_sizes(table: Path) -> dict[str, float]:
    """Return peak reserved memory in GiB by peft's name of the run."""
    if not table.is_file():
        print(f"{table} is not there: the 3B cases are compared with the dry run instead")
        return {}
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["experiment"]: int(row["mem_reserved_max_bytes"]) / GIB for row in rows}


def _make(scratch: Path) -> Path:
    """Return the Python of a new environment, which also sees what this one has."""
    if scratch.is_dir() and any(scratch.iterdir()) and not (scratch / "pyvenv.cfg").is_file():
        raise SystemExit(f"{scratch} holds other things: give a new folder, or an empty one")
    venv.create(scratch, symlinks=True)
    python = scratch / "bin" / "python"
    packages = sysconfig.get_path("purelib", vars={"base": str(scratch)}, scheme="venv")
    (Path(packages) / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def _install(python: Path, name: str, version: str) -> str:
    """Return why a tool could not be installed; empty when it was. Wheels alone: no code is run."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--retries=1", "--timeout=15"]
    _, why = _run([*pip, "install", *options, f"{name}=={version}"])
    return f"{_NOT_INSTALLED}; is PyPI reachable? pip: {why}" if why else ""


def _ask(python: Path, name: str, asked: Sequence[Asked]) -> list[Said]:
    """Return what a tool says of all cases, from a process of its own."""
    said, why = _run(
        [str(python), "-m", "benchmarks.other_estimators", name],
        msgspec.json.encode(asked),
        {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(python.parents[1]),
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    if why:
        return [Said(case=one.name, why=f"it failed: {why}") for one in asked]
    return msgspec.json.decode(said, type=list[Said])


def _run(
    command: Sequence[str], stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """Return what a command says, and why it failed: empty when it did not."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=_MOST_SECONDS,
            cwd=_ROOT,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return b"", f"took more than {_MOST_SECONDS} s and was ended"
    if done.returncode == 0:
        return done.stdout, ""
    errors = done.stderr.decode(errors="replace").strip().splitlines()
    return b"", errors[-1] if errors else f"ended with {done.returncode} and said nothing"


def _others(python: Path, asked: Sequence[Asked]) -> dict[str, list[Said]]:
    found = {}
    for name, pinned in _OTHERS.items():
        why = _install(python, name, pinned) if pinned else ""
        title = f"{name} {pinned or metadata.version(name)}"
        failed = [Said(case=one.name, why=why) for one in asked]
        found[title] = failed if why else _ask(python, name, asked)
    return found


def _own(runs: Sequence[Case]) -> tuple[dict[str, list[Said]], dict[str, Answer]]:
    """Return what ftui says, and the replays that are compared with, by case.

    Of a measured case it is asked twice: for the step as all others are, and with what is known of
    the loop around it. Of another case the dry run is what is compared with.
    """
    measured = [case for case in runs if case.row]
    steps = dry_runs([Question(step=case.step) for case in measured], timeout=3600)
    wholes = dry_runs([case.replayed for case in runs], timeout=3600)
    replays = {case.name: answer for case, answer in zip(runs, wholes, strict=True)}
    closed = [_closed_form(case, case.step, _ALONE) for case in runs]
    closed += [_closed_form(case, case.replayed.step, _WHOLE) for case in measured]
    dry = [_replay(case, one, _ALONE) for case, one in zip(measured, steps, strict=True)]
    dry += [_replay(case, replays[case.name], _WHOLE) for case in measured]
    return {"ftui closed form": closed, "ftui dry run": dry}, replays


def _closed_form(case: Case, step: Step, setting: str) -> Said:
    figure = estimate(step, careful=True)
    if isinstance(figure, Unknown):
        return Said(case=case.name, setting=setting, why=figure.reason)
    return Said(case=case.name, setting=setting, gib=(figure.expected - CONTEXT) / GIB)


def _replay(case: Case, answer: Answer, setting: str) -> Said:
    if answer.replayed is None:
        return Said(case=case.name, setting=setting, why=answer.error or "no answer")
    return Said(case=case.name, setting=setting, gib=answer.replayed.reserved / GIB)


def _say(said: Mapping[str, Sequence[Said]], known: Mapping[str, tuple[str, float]]) -> None:
    title = f"{'case':<14}{'tool':<26}{'its setting':<19}{'says':>7}{'is':>8}{'error':>9}"
    print(f"\npeak memory of training, GiB: `is` is measured (m) or ftui's dry run (r)\n{title}")
    for case, (mark, true) in known.items():
        for tool, one in ((tool, one) for tool, all_ in said.items() for one in all_):
            if one.case != case:
                continue
            start = f"{case:<14}{tool:<26}{one.setting:<19}"
            if one.gib is None:
                print(f"{start}{'none':>7}{true:7.2f}{mark}  {plain(one.why)[:120]}")
                continue
            print(f"{start}{one.gib:7.2f}{true:7.2f}{mark}{100 * (one.gib / true - 1):+8.1f}%")


def main() -> int:
    """Print the table; 1 when a tool could not be installed or a case not be replayed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scratch", type=Path, help="keep the environment in this folder")
    options = parser.parse_args()
    os.nice(5)
    runs = cases()
    measured = _measured_sizes(options.data / "peft_measured_memory.csv")
    with tempfile.TemporaryDirectory() as temporary:
        python = _make((options.scratch or Path(temporary)).absolute())
        others = _others(python, [case.asked for case in runs])
    try:
        own, replays = _own(runs)
    except DryRunError as error:
        print(f"there is nothing to compare with: {error}")
        return 1
    known = {}
    for case in runs:
        answer = replays[case.name]
        if case.row in measured:
            known[case.name] = ("m", measured[case.row])
        elif answer.replayed is not None:
            known[case.name] = ("r", answer.replayed.reserved / GIB)
        else:
            print(f"{case.name} could not be replayed: {answer.error}")
    _say({**others, **own}, known)
    failed = any(one.why.startswith(_NOT_INSTALLED) for all_ in others.values() for one in all_)
    return 1 if failed or len(known) < len(runs) else 0


if __name__ == "__main__":
    sys.exit(main())
