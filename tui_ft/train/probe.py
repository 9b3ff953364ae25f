"""The process of a probe: a few steps of a run by its own trainer, and what they took.

    python -m tui_ft.train.probe < question.json

The rows are of one length and mean nothing. Weights are the model's own where they are on this
machine, else random ones, made on the device.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import msgspec

from tui_ft import paths
from tui_ft.memory.probing import ProbeAnswer, ProbeQuestion
from tui_ft.spec import RunSpec

_STEPS: Final = 3  # the first makes the optimizer's states, the second is whole
_ANSWERS: Final = ("sft", "pretraining")
_PAIRS: Final = ("dpo", "orpo", "cpo")
"""Objectives whose rows can be made up here."""
_UNITS: Final = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def main() -> int:
    """Answer the question on stdin; stdout has the answer alone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=ProbeQuestion)
    answers.write(msgspec.json.encode(_answer(question)))
    answers.close()
    return 0


def _answer(question: ProbeQuestion) -> ProbeAnswer:
    import torch

    if question.device == "cuda" and not torch.cuda.is_available():
        return ProbeAnswer(
            problem="there is no GPU here that torch can use, so nothing can be probed; "
            "`ftui doctor` says what is missing"
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measured(question, Path(folder))
    except torch.OutOfMemoryError as error:
        return ProbeAnswer(
            device=torch.cuda.get_device_name(),
            needed_at_least=torch.cuda.memory_reserved() + _asked_for(str(error)),
        )
    except Exception as error:  # whatever it is, it is no measurement
        first = next(iter(str(error).splitlines()), "")
        return ProbeAnswer(problem=f"the probe failed: {type(error).__name__}: {first}")


def _asked_for(said: str) -> int:
    """Return the bytes that torch says it tried to allocate; 0 where it does not."""
    found = re.search(r"[Tt]ried to allocate ([\d.]+) (KiB|MiB|GiB)", said)
    return round(float(found[1]) * _UNITS[found[2]]) if found else 0


def _measured(question: ProbeQuestion, folder: Path) -> ProbeAnswer:
    from tui_ft.train.model import count_parameters, load_model
    from tui_ft.train.objectives import objective_of
    from tui_ft.train.objectives.common import Job
    from tui_ft.train.precision import choose_precision
    from tui_ft.train.random_model import plain_tokenizer, random_model

    on_gpu = question.device == "cuda"
    spec = _short(RunSpec.model_validate(question.spec))
    precision = choose_precision(spec, on_gpu)
    objective = spec.objective.kind
    if objective not in (*_ANSWERS, *_PAIRS):
        return ProbeAnswer(problem=f"a run with the objective {objective} cannot be probed yet")
    real = _has_weights(spec)

    def load() -> Any:  # noqa: ANN401 - transformers is untyped here
        if real:
            return load_model(spec, precision, on_gpu)
        return random_model(question.config, spec, precision, question.device)

    tokenizer = plain_tokenizer()
    job = Job(
        spec=spec,
        model=load(),
        tokenizer=tokenizer,
        data=_data(spec, question, tokenizer),
        precision=precision,
        checkpoints=folder,
        on_gpu=on_gpu,
        note=lambda _: None,
        load_again=load,
    )
    trainer = objective_of(objective).build(job)
    trainable, total = count_parameters(trainer.model)
    allocated, reserved, process = (_on_gpu if on_gpu else _on_cpu)(trainer)
    return ProbeAnswer(
        allocated=allocated,
        reserved=reserved,
        process=process,
        steps=trainer.state.global_step,
        real_weights=real,
        device=_device_name() if on_gpu else "CPU",
        trainable_parameters=trainable,
        parameters=total,
    )


def _short(spec: RunSpec) -> RunSpec:
    """Return the run cut to a few steps, of which nothing is evaluated or kept."""
    training = spec.training.model_copy(
        update={"max_steps": _STEPS, "eval_steps": None, "save_steps": None, "packing": False}
    )
    return spec.model_copy(update={"training": training})


def _has_weights(spec: RunSpec) -> bool:
    """Tell whether the model's weights are on this machine."""
    from huggingface_hub import try_to_load_from_cache

    name = spec.model.name_or_path
    local = paths.expand(name)
    if local.is_dir():
        return any(local.glob("*.safetensors"))
    files = ("model.safetensors", "model.safetensors.index.json")
    revision = spec.model.revision
    return any(isinstance(try_to_load_from_cache(name, f, revision=revision), str) for f in files)


def _data(spec: RunSpec, question: ProbeQuestion, tokenizer: Any) -> Any:  # noqa: ANN401
    """Return rows of the longest length; where rows are padded, each second a token shorter."""
    from datasets import Dataset

    from tui_ft.train.objectives import objective_of
    from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
    from tui_ft.train.rows.dataset import TrainingData

    training = spec.training
    batch = training.per_device_train_batch_size
    shorter = int(batch > 1 and not question.spec["training"].get("packing", False))
    make = _pair if spec.objective.kind in _PAIRS else _answer_row
    count = batch * training.gradient_accumulation_steps * _STEPS
    rows = [
        make(length, round(length * (1 - question.supervised)))
        for number in range(count)
        for length in (question.longest - shorter * (number % 2),)
    ]
    maker = objective_of(spec.objective.kind).maker(spec, TransformersChatTokenizer(tokenizer, ()))
    return TrainingData(
        train=Dataset.from_list(rows),
        eval=None,
        questions=(),
        maker=maker,
        totals=maker.totals(),
        warnings=(),
    )


def _answer_row(length: int, unlearned: int) -> dict[str, Any]:
    from tui_ft.train.rows.protocol import IGNORED

    labels = [IGNORED] * unlearned + [1] * (length - unlearned)
    return {"input_ids": [1] * length, "labels": labels}


def _pair(length: int, unlearned: int) -> dict[str, Any]:
    supervised = [False] * unlearned + [True] * (length - unlearned)
    row: dict[str, Any] = {}
    for side in ("chosen", "rejected"):
        row |= {f"{side}_input_ids": [1] * length, f"{side}_supervised": supervised}
    return row


def _on_gpu(trainer: Any) -> tuple[int, int, int | None]:  # noqa: ANN401
    """Train; return what torch allocated and reserved at most, and what the process holds."""
    import torch

    from tui_ft.hardware import take_snapshot

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    trainer.train()
    held = [
        process.memory_bytes
        for gpu in take_snapshot(Path.cwd()).gpus
        for process in gpu.processes
        if process.pid == os.getpid() and process.memory_bytes
    ]
    reserved = torch.cuda.max_memory_reserved()
    return torch.cuda.max_memory_allocated(), reserved, max(held, default=None)


def _on_cpu(trainer: Any) -> tuple[int, int, int | None]:  # noqa: ANN401
    """Train under torch's profiler; return what tensors took at most, twice."""
    from torch.profiler import ProfilerActivity, profile

    storages = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for tensor in (*trainer.model.parameters(), *trainer.model.buffers())
    }
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        trainer.train()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    total = sum(storages.values()) + most
    return total, total, None


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name()


if __name__ == "__main__":
    sys.exit(main())
