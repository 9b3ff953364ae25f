"""The trainer's ear and mouth: figures out to the supervisor, commands in from it.

Called in every step, so it does next to nothing there: no synchronisation with the GPU, no files.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tui_ft.runs import events as ev
from tui_ft.runs.link import WorkerLink
from tui_ft.train.loss_watch import LossWatch
from tui_ft.train.reward_watch import RewardWatch

_PROGRESS_SECONDS: Final = 1.0
_MEMORY_SECONDS: Final = 10.0
_RISES_TO_WARN: Final = 2
_NOISE: Final = 0.01
"""A rise of the evaluation loss by less than this share is none."""

# What the trainer calls a figure, and what we call it. Anything else goes by the trainer's name.
_NAMES: Final = {"num_tokens": "tokens", "mean_token_accuracy": "token_accuracy"}
_LEFT_OUT: Final = frozenset(("epoch", "total_flos", "step"))


class RunCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Sends what happens, obeys what is asked.

    Args:
        link: the line to the supervisor.
        is_sound: tells whether every loss since the last call was finite, and, called
            `with_weights=True`, every trained weight.
        sample: called with the step after each evaluation, to let the model answer a few rows.
        tokens_before: tokens trained on in earlier attempts; the trainer counts from zero.
        agree: returns which of its flags are set on any rank, so that all do the same.
    """

    def __init__(
        self,
        link: WorkerLink,
        is_sound: Callable[..., bool],
        sample: Callable[[int], None],
        tokens_before: float = 0.0,
        agree: Callable[..., tuple[bool, ...]] = lambda *flags: flags,
    ) -> None:
        self._link, self._is_sound, self._sample = link, is_sound, sample
        self._agree = agree
        self._began = self._first_step = 0.0
        self._progress_at = self._memory_at = float("-inf")
        self._tokens_before = tokens_before
        self._logged = (0.0, tokens_before)
        self._logged_step = 0
        self._tokens = tokens_before
        self._hook_at = self._paused = 0.0
        self._losses: list[float] = []
        self._rewards = RewardWatch()
        self._loss_watch = LossWatch()
        self._rises = 0
        self._warned = False
        self.bad_step: int | None = None
        self.stopped = False

    @property
    def tokens(self) -> float:
        """Tokens trained on so far, in all attempts."""
        return self._tokens

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clocks."""
        self._began = self._hook_at = time.monotonic()
        self._first_step = state.global_step
        self._logged = (self._began, self._tokens_before)
        self._logged_step = state.global_step
        self._link.send(ev.Phase(phase="train", text="trains"))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Obey commands; say where we are; never let a bad step become a checkpoint."""
        now = self._hook_at = time.monotonic()
        save, stop = self._agree(self._link.take_checkpoint_request(), self._link.stop_requested)
        if save:
            control.should_save = True
        if stop:
            control.should_save = control.should_training_stop = self.stopped = True
        # Whatever is kept, a checkpoint or the last weights, is looked at before.
        keeps = control.should_save or control.should_training_stop
        if (keeps or control.should_log) and not self._is_sound(with_weights=keeps):
            self.bad_step = state.global_step
            control.should_save = control.should_evaluate = False
            control.should_training_stop = True
        if control.should_evaluate:
            self._link.send(ev.Phase(phase="evaluate", text="evaluates the held-out rows"))
        if now - self._progress_at >= _PROGRESS_SECONDS or state.global_step == state.max_steps:
            self._progress_at = now
            self._link.send(self._progress(state, now))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Send the figures of training. Those of evaluation come by `on_evaluate`."""
        if not logs:
            return
        # The last word of the trainer, a summary without a loss, counts the tokens as well.
        self._tokens = self._tokens_before + logs.get(
            "num_tokens", self._tokens - self._tokens_before
        )
        if "loss" not in logs:
            return
        now = time.monotonic()
        values = figures(logs, prefix="")
        # Evaluating and saving are no training: the rate is that of the steps alone.
        seconds = now - self._logged[0] - self._paused
        steps = state.global_step - self._logged_step
        before = total = self._logged[1]
        tokens = values.get("tokens")
        if tokens is not None:
            values["tokens"] = total = self._tokens_before + tokens
            values["tokens_per_second"] = (total - before) / seconds if seconds > 0 else None
        values["step_seconds"] = seconds / steps if steps > 0 else None
        self._logged, self._logged_step, self._paused = (now, total), state.global_step, 0.0
        if values.get("loss") is not None:
            self._losses.append(float(logs["loss"]))
        self._link.send(ev.Metrics(step=state.global_step, epoch=state.epoch or 0.0, values=values))
        for noticed in (
            self._rewards.look(values),
            self._loss_watch.look(values, args.learning_rate),
        ):
            if noticed is not None:
                self._link.send(noticed)
        if now - self._memory_at >= _MEMORY_SECONDS:
            self._memory_at = now
            self._link.send(peak_memory())

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Send the figures of the evaluation, a few answers, and a warning when it gets worse."""
        step = state.global_step
        values = figures(metrics or {}, prefix="eval_")
        self._link.send(ev.Evaluation(step=step, epoch=state.epoch or 0.0, values=values))
        if "eval_reward" not in values:  # the loss says nothing where answers are rewarded
            self._watch_for_overfitting(state, values.get("eval_loss"))
        self._sample(step)
        self._end_pause()
        self._link.send(ev.Phase(phase="train", text="trains"))

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Say that a checkpoint is there."""
        path = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        best = state.best_model_checkpoint
        self._link.send(
            ev.Checkpoint(
                step=state.global_step,
                path=f"{path.parent.name}/{path.name}",
                bytes=folder_bytes(path),
                seconds=self._end_pause(),
                best=bool(best) and Path(best).name == path.name,
            )
        )

    def _end_pause(self) -> float:
        """Count what went by since the last hook as no training; return it, in seconds."""
        now = time.monotonic()
        seconds, self._hook_at = now - self._hook_at, now
        self._paused += seconds
        return seconds

    def _progress(self, state: TrainerState, now: float) -> ev.Progress:
        done = state.global_step - self._first_step
        rate = (now - self._began) / done if done else None
        left = state.max_steps - state.global_step
        return ev.Progress(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=state.epoch or 0.0,
            eta_s=None if rate is None else rate * left,
            tokens=int(self._logged[1]) or None,
        )

    def _watch_for_overfitting(self, state: TrainerState, loss: float | None) -> None:
        """Warn when the evaluation loss rises, twice running, while training loss falls."""
        history = [e["eval_loss"] for e in state.log_history if "eval_loss" in e]
        if loss is None or len(history) < _RISES_TO_WARN:
            return
        lowest_loss = min(history)
        if self._warned and loss <= lowest_loss:
            self._warned = False
            fine = "evaluation loss is at its lowest again"
            self._link.send(ev.Alert(severity="note", kind="overfitting", text=fine))
        self._rises = self._rises + 1 if loss > history[-2] else 0
        half = len(self._losses) // 2
        falling = half and _mean(self._losses[half:]) < _mean(self._losses[:half])
        risen = loss > lowest_loss * (1 + _NOISE)
        if self._rises >= _RISES_TO_WARN and falling and risen and not self._warned:
            self._warned = True
            lowest = f" The lowest was {lowest_loss:.4g}."
            self._link.send(
                ev.Alert(
                    severity="warning",
                    kind="overfitting",
                    text=f"evaluation loss rises (now {loss:.4g}) while training loss falls: "
                    f"overfitting.{lowest}",
                    advice="stop now and keep the best checkpoint, or train fewer epochs",
                )
            )


def peak_memory() -> ev.PeakMemory:
    """Return the highest memory of this process so far: torch's on a GPU, resident on the CPU."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    if not torch.cuda.is_available():
        return ev.PeakMemory(device="cpu", allocated=None, reserved=None, resident=resident)
    return ev.PeakMemory(
        device=torch.cuda.get_device_name(),
        allocated=torch.cuda.max_memory_allocated(),
        reserved=torch.cuda.max_memory_reserved(),
        resident=resident,
    )


def folder_bytes(path: Path) -> int:
    """Return the size of all files in ``path``; one that vanishes meanwhile counts nothing."""
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def figures(logs: dict[str, Any], prefix: str) -> dict[str, float | None]:
    """Return the numbers among the trainer's ``logs`` by our names, NaN and infinity as None.

    A reward that nobody gave is None as well, and not left out: else the loss would stand for it.
    """
    found: dict[str, float | None] = {}
    if logs.get(f"{prefix}reward", 0.0) is None:
        found[f"{prefix}reward"] = None
    for name, value in logs.items():
        if name in _LEFT_OUT or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        bare = name.removeprefix(prefix)
        found[f"{prefix}{_NAMES.get(bare, bare)}"] = ev.finite(float(value))
    return found


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
