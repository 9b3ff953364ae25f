"""A worker for tests of chains: steps of 20 ms, obeys, and leaves an adapter. Without torch.

Where `LET_GO` names a folder, a run goes beyond its fifth step once a file there is called like it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.link import WorkerLink

STEPS = 10
_HELD_AT = 5
_LONGEST = 600.0
"""So many seconds are waited for what may never come: no test leaves a process behind for ever."""


def work(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Take steps, keep a note of where it began, stop as asked, and leave an adapter."""
    folder = RunFolder(run_dir)
    began = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    with (run_dir / "began").open("a") as file:
        file.write(f"{began}\n")
    link.send(ev.Phase(phase="train"))
    step, until = began, time.monotonic() + _LONGEST
    while step < STEPS and time.monotonic() < until:
        time.sleep(0.02)
        if step < _HELD_AT or _is_let(folder):
            step += 1
            link.send(ev.Metrics(step=step, epoch=0.0, values={"loss": 1.0 / step}))
            link.send(ev.Progress(step=step, total_steps=STEPS, epoch=0.0))
        if link.stop_requested:
            saved = folder.checkpoints_dir / f"checkpoint-{step}"
            saved.mkdir(parents=True)
            (saved / "trainer_state.json").write_text("{}")
            link.send(ev.Ended(state="stopped", reason=f"stopped at step {step}"))
            return
    output = folder.output_dir()
    output.mkdir(exist_ok=True)
    base = folder.spec().model.name_or_path
    config = {"peft_type": "LORA", "base_model_name_or_path": os.environ.get("BASE", base)}
    (output / "adapter_config.json").write_text(json.dumps(config))
    (output / "adapter_model.safetensors").write_bytes(b"x")
    link.send(ev.Ended(state="finished", reason="all steps done"))


def _is_let(folder: RunFolder) -> bool:
    let = os.environ.get("LET_GO")
    return not let or (Path(let) / folder.id).exists()


def work_but_for_dpo(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink
) -> None:
    """Fail where preferences are learned in batches of more than one row; else work."""
    spec = RunFolder(run_dir).spec()
    if spec.objective.kind == "dpo" and spec.training.per_device_train_batch_size > 1:
        link.send(ev.Phase(phase="train"))
        link.send(ev.Ended(state="failed", reason="the GPU is out of memory"))
        return
    work(run_dir, gpus, checkpoint, link)
