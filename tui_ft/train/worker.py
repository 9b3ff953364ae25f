"""The worker's main path: data, model, training, scores, weights, and a last word on how it ended.

What is cheap and can go wrong comes first: tokens are made and judged before weights are loaded.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tui_ft.runs import events as ev
from tui_ft.runs.endings import how_to_go_on
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.ladder import as_trained, remove_set_aside
from tui_ft.runs.link import WorkerLink
from tui_ft.runs.reader import RunReader
from tui_ft.runs.run_data import with_files
from tui_ft.spec import RunSpec

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Objective, SoundnessTrainer
    from tui_ft.train.precision import Precision
    from tui_ft.train.rows.dataset import TrainingData
    from tui_ft.train.several.together import Ranks

_PROGRESS_SECONDS: Final = 0.5
_STILL: Final = {
    "eval_loss": "the evaluation loss no longer falls",
    "eval_reward": "the reward no longer rises",
}

# Before any of the libraries is imported.
_ENVIRONMENT: Final = {
    "TOKENIZERS_PARALLELISM": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def main(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Do the work of the run in ``run_dir``; the last event sent says how it ended.

    Args:
        run_dir: the run's folder.
        gpus: the GPUs it may use, which CUDA sees as 0, 1, …; none means the CPU.
        checkpoint: the checkpoint to resume from, None to begin.
        link: the line to the supervisor.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    spec: RunSpec | None = None
    try:
        link.send(ev.Phase(phase="load", text="loads torch, transformers and trl"))
        spec = as_trained(RunFolder(run_dir))
        count = spec.hardware.processes_on(len(gpus))
        if count > 1:
            from tui_ft.train.several.launcher import Launch, launch

            ended = launch(Launch(run_dir, gpus, count, checkpoint), spec, link)
        else:
            ended = run_attempt(run_dir, gpus, checkpoint, link)
    except BaseException as error:  # whatever it is, the person is told the cause
        traceback.print_exc()
        ended = last_word(error, spec, run_dir)
    link.send(ended)


def run_attempt(
    run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink, rank: int = 0
) -> ev.Ended:
    """Do the work of one rank, or of a run's only process; return how it ended.

    Raises:
        Exception: whatever went wrong; see `last_word`.
    """
    from tui_ft.train.several.together import ranks_of

    folder = RunFolder(run_dir)
    spec = with_files(folder, as_trained(folder))
    with ranks_of(rank, spec.hardware, len(gpus)) as ranks:
        return _Work(folder, spec, gpus, checkpoint, link, ranks).run()


def last_word(error: BaseException, spec: RunSpec | None, run_dir: Path) -> ev.Ended:
    """Return the end of a run that broke with ``error``, or was broken off."""
    from tui_ft.train.errors import RunStopped
    from tui_ft.train.failures import explain

    if isinstance(error, RunStopped):
        return ev.Ended(state="stopped", reason="stopped as asked, outside of training")
    return explain(error, spec, run_dir)


class _Work:
    """The stages of one attempt, and what they hand on to each other."""

    def __init__(
        self,
        folder: RunFolder,
        spec: RunSpec,
        gpus: tuple[int, ...],
        checkpoint: Path | None,
        link: WorkerLink,
        ranks: Ranks,
    ) -> None:
        self._folder, self._spec, self._link, self._ranks = folder, spec, link, ranks
        self._on_gpu = bool(gpus)
        self._checkpoint = checkpoint
        self._cache = folder.path / "cache"
        self._scores: dict[str, ev.Score] = {}

    def run(self) -> ev.Ended:
        """Go through all stages; return how it ended."""
        self._refuse_impossible()
        if self._spec.model.backend == "unsloth":
            from tui_ft.train.methods.unsloth import import_first

            import_first(self._on_gpu)  # before those that it changes
        from tui_ft.train.methods.base import with_whole_base
        from tui_ft.train.model import load_tokenizer
        from tui_ft.train.objectives import objective_of
        from tui_ft.train.precision import choose_precision
        from tui_ft.train.rows.boundaries import refuse_without_positions

        self._prepare_torch()
        precision = choose_precision(self._spec, self._on_gpu)
        with self._ranks.first_goes_first():
            self._fetch()
            # From here on the model is a whole one, whatever it was made of, or an adapter's that
            # is trained further.
            self._spec = with_whole_base(self._spec, lambda text: self._say("load", text))
        refuse_without_positions(self._spec)
        tokenizer = load_tokenizer(self._spec)
        objective = objective_of(self._spec.objective.kind)
        try:
            # Prepared once: the other ranks map the same files.
            made = self._tokenise(tokenizer) if self._ranks.is_first else None
            data: TrainingData = self._ranks.from_first(made)
            trainer = self._build(objective, tokenizer, data, precision)
            return self._train(trainer, tokenizer, data, precision)
        finally:
            if self._ranks.is_first:
                shutil.rmtree(self._cache, ignore_errors=True)

    def _build(
        self,
        objective: Objective,
        tokenizer: Any,  # noqa: ANN401 - transformers is untyped here
        data: TrainingData,
        precision: Precision,
    ) -> SoundnessTrainer:
        from tui_ft.train.model import load_model
        from tui_ft.train.objectives.common import Job
        from tui_ft.train.rows.model_limits import refuse_tokens_beyond_the_model

        def load() -> Any:  # noqa: ANN401
            return load_model(self._spec, precision, self._on_gpu, classes, self._ranks)

        classes = objective.classes(data) if objective.classes else None
        self._say("load", f"loads {self._spec.model.name_or_path}")
        job = Job(
            spec=self._spec,
            model=load(),
            tokenizer=tokenizer,
            data=data,
            precision=precision,
            checkpoints=self._folder.checkpoints_dir,
            on_gpu=self._on_gpu,
            note=lambda text: self._link.send(ev.Alert(severity="note", text=text)),
            load_again=load,
            ranks=self._ranks,
        )
        refuse_tokens_beyond_the_model(job)
        return objective.build(job)

    def _refuse_impossible(self) -> None:
        from tui_ft.spec.combinations.table import impossible
        from tui_ft.train.errors import RunFailure

        found = impossible(self._spec)
        if found:
            raise RunFailure(found[0].reason, *(one.advice for one in found))

    def _prepare_torch(self) -> None:
        import torch

        from tui_ft.train.errors import RunFailure
        from tui_ft.train.several.together import threads_of_each

        if self._ranks.count > 1:
            torch.set_num_threads(threads_of_each(self._spec.hardware, self._ranks.count))
        elif self._spec.hardware.cpu_threads:
            torch.set_num_threads(self._spec.hardware.cpu_threads)
        if self._on_gpu and not torch.cuda.is_available():
            built = "" if torch.version.cuda else ", which is built for the CPU"
            raise RunFailure(
                f"torch {torch.__version__}{built} cannot use the GPU",
                "`ftui doctor` says what is missing and how to get it",
                "or set hardware.gpus to none",
            )

    def _fetch(self) -> None:
        from tui_ft.train.fetch import fetch_model

        def progress(done: int, total: int | None) -> None:
            text = f"fetches {self._spec.model.name_or_path} from the Hub"
            self._link.send(ev.Phase(phase="download", text=text, done=done, total=total, unit="B"))

        fetch_model(self._spec.model.name_or_path, self._spec.model.revision, progress)

    def _tokenise(self, tokenizer: Any) -> TrainingData:  # noqa: ANN401
        from tui_ft.train.model import stop_token_ids
        from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
        from tui_ft.train.rows.dataset import prepare_data

        progress = self._counting("tokenise", "tokenises the rows", "rows")
        evaluation = self._spec.evaluation
        questions = max(evaluation.samples, evaluation.score.rows if evaluation.score else 0)
        progress(0)
        chat_tokenizer = TransformersChatTokenizer(tokenizer, stop_token_ids(self._spec))
        data = prepare_data(self._spec, chat_tokenizer, self._cache, questions, progress)
        for warning in data.warnings:
            self._link.send(ev.Alert(severity="warning", kind="data", text=warning))
        return data

    def _train(
        self,
        trainer: SoundnessTrainer,
        tokenizer: Any,  # noqa: ANN401
        data: TrainingData,
        precision: Precision,
    ) -> ev.Ended:
        from tui_ft.train.callback import RunCallback
        from tui_ft.train.errors import RunStopped
        from tui_ft.train.report import save_weights
        from tui_ft.train.several.together import before_training

        callback = RunCallback(
            self._link,
            lambda **how: self._ranks.all(trainer.was_sound(**how)),
            lambda step: self._sample(trainer, tokenizer, data, step),
            self._take_up(),
            self._ranks.any,
        )
        plan = self._plan(trainer, data, precision)
        self._link.send(plan)
        if self._checkpoint is None:
            score = partial(self._score, "before", trainer, tokenizer, data)
            before_training(trainer, self._ranks, score)
        trainer.add_callback(callback)
        began = time.monotonic()
        resume = None if self._checkpoint is None else str(self._checkpoint)
        trainer.train(resume_from_checkpoint=resume)
        if callback.bad_step is not None:
            return self._not_finite(callback.bad_step)
        if callback.stopped:
            return self._stopped(trainer.state.global_step)
        seconds = time.monotonic() - began
        # First what took so long: grading may be broken off, or fail.
        output = save_weights(trainer, tokenizer, self._folder, self._link, self._ranks)
        try:
            self._score("after", trainer, tokenizer, data)
        except RunStopped:
            return ev.Ended(
                state="stopped",
                reason=f"stopped as asked while it graded answers; {output.name} in {output}",
                advice=(how_to_go_on(self._folder),),
            )
        return self._finish(trainer, output, plan, int(callback.tokens), seconds)

    def _finish(
        self, trainer: SoundnessTrainer, output: Path, plan: ev.Plan, tokens: int, seconds: float
    ) -> ev.Ended:
        from tui_ft.train.callback import figures, peak_memory
        from tui_ft.train.methods.ewc import FILE as EWC_FILE
        from tui_ft.train.report import Outcome, write_report
        from tui_ft.train.several.together import peak_of_all

        memory = peak_of_all(peak_memory(), self._ranks)
        self._link.send(memory)
        state = trainer.state
        losses = [entry for entry in state.log_history if "loss" in entry]
        best = state.best_model_checkpoint
        best_step = int(best.rpartition("-")[2]) if best else None
        evaluations = [
            entry
            for entry in state.log_history
            if "eval_loss" in entry and best_step in (None, entry.get("step"))
        ]
        evaluation = figures(evaluations[-1], prefix="eval_") if evaluations else {}
        outcome = Outcome(
            steps=state.global_step,
            epochs=round(state.epoch or 0.0, 3),
            train_loss=losses[-1]["loss"] if losses else None,
            eval_loss=evaluation.get("eval_loss"),
            best_step=best_step,
            objective=self._spec.objective.kind,
            evaluation=evaluation,
            seconds=seconds,
            tokens=tokens,
            scores=self._scores,
            plan=plan,
            memory=memory,
        )
        if self._ranks.is_first:
            write_report(self._folder, outcome, output)
        if self._ranks.is_first and not self._spec.output.keep_checkpoints:
            shutil.rmtree(self._folder.checkpoints_dir, ignore_errors=True)
            remove_set_aside(self._folder)
        (self._folder.path / EWC_FILE).unlink(missing_ok=True)
        early = state.global_step < state.max_steps
        figure = trainer.args.metric_for_best_model
        still = _STILL.get(figure, f"{figure} gets no better")
        reason = (
            f"stopped early at step {state.global_step}: {still}"
            if early
            else f"all {state.global_step} steps done"
        )
        return ev.Ended(state="finished", reason=f"{reason}; {output.name} in {output}")

    def _stopped(self, step: int) -> ev.Ended:
        why = "its supervisor is gone" if self._link.orphaned else "as asked"
        return ev.Ended(
            state="stopped",
            reason=f"stopped {why}, at step {step}; the checkpoint is saved",
            advice=(f"go on with `ftui resume {self._folder.id}`",),
        )

    def _not_finite(self, step: int) -> ev.Ended:
        from tui_ft.train.failures import not_finite

        good = [at for at, _ in self._folder.checkpoints() if at < step]
        return not_finite(step, good[-1] if good else None)

    def _plan(self, trainer: SoundnessTrainer, data: TrainingData, precision: Precision) -> ev.Plan:
        from tui_ft.train.model import count_parameters

        trainable, total = count_parameters(trainer.model)
        training = self._spec.training
        each = training.per_device_train_batch_size * self._ranks.count
        passes = trainer.passes_an_epoch
        steps_an_epoch = max(1, math.ceil(passes / training.gradient_accumulation_steps))
        steps = training.max_steps or math.ceil(steps_an_epoch * training.num_train_epochs)
        return ev.Plan(
            total_steps=steps,
            num_train_epochs=round(steps / steps_an_epoch, 2)
            if training.max_steps
            else training.num_train_epochs,
            train_rows=len(data.train),
            eval_rows=len(data.eval) if data.eval is not None else 0,
            train_tokens=data.totals.tokens,
            supervised_tokens=data.totals.supervised,
            effective_batch_size=each * training.gradient_accumulation_steps,
            trainable_parameters=trainable,
            total_parameters=total,
            device=_device_name(self._on_gpu),
            precision=precision.arithmetic,
            method=self._spec.method.kind,
            longest_row=data.totals.longest,
            objective=self._spec.objective.kind,
            processes=self._ranks.count,
            strategy=self._ranks.name,
        )

    def _take_up(self) -> float:
        """Take over what earlier attempts found out; return the tokens they trained on."""
        from tui_ft.train.recovery import lost_figures

        if self._checkpoint is None:
            return 0.0
        # The supervisor wrote this attempt's beginning first: what lay beyond is forgotten.
        history = RunReader(self._folder).catch_up()
        self._scores |= history.scores
        for figures in lost_figures(history, self._checkpoint):
            history.add(figures)
            self._link.send(figures)
        return history.series("tokens").last() or 0.0

    def _score(self, when: Any, trainer: Any, tokenizer: Any, data: TrainingData) -> None:  # noqa: ANN401
        from tui_ft.train.generation import score

        wanted = self._spec.evaluation.score
        if wanted is None or not data.questions:
            return
        rows = min(wanted.rows, len(data.questions))
        text = f"answers held-out rows {when} training"
        progress = self._counting("score", text, "rows", rows, self._ranks.shares_weights)

        def grade() -> ev.Score:
            progress(0)
            return score(when, trainer.model, tokenizer, data.questions, wanted, progress)

        grades = self._ranks.answer(grade)
        if grades is not None:
            self._scores[when] = grades
            self._link.send(grades)

    def _sample(self, trainer: Any, tokenizer: Any, data: TrainingData, step: int) -> None:  # noqa: ANN401
        from tui_ft.train.generation import answer

        own = trainer.samples(self._spec.evaluation.samples, step)
        if own is not None:
            for sample in own:
                self._link.send(sample)
            return
        chosen = data.questions[: self._spec.evaluation.samples]
        if not chosen or not self._ranks.answers:
            return
        answers = answer(
            trainer.model,
            tokenizer,
            chosen,
            max_new_tokens=self._spec.evaluation.sample_max_new_tokens,
            batch_size=len(chosen),
        )
        for question, given in zip(chosen, answers, strict=True):
            self._link.send(
                ev.Sample(
                    step=step,
                    row=question.line,
                    prompt=question.shown_prompt,
                    answer=given,
                    reference=question.reference,
                )
            )

    def _say(self, phase: ev.PhaseName, text: str) -> None:
        self._link.send(ev.Phase(phase=phase, text=text))

    def _counting(
        self,
        phase: ev.PhaseName,
        text: str,
        unit: str,
        total: int | None = None,
        together: bool = False,
    ) -> Callable[[int], None]:
        """Return a progress function that tells twice a second, and breaks off when asked to.

        Args:
            together: all ranks count the same, and break off together.
        """
        from tui_ft.train.errors import RunStopped

        told = float("-inf")

        def progress(done: int) -> None:
            nonlocal told
            now = time.monotonic()
            stop = self._link.stop_requested
            if any(self._ranks.any(stop) if together else (stop,)):
                raise RunStopped
            if now - told >= _PROGRESS_SECONDS or done == total:
                told = now
                self._link.send(ev.Phase(phase=phase, text=text, done=done, total=total, unit=unit))

        return progress


def _device_name(on_gpu: bool) -> str:
    import torch

    return torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
