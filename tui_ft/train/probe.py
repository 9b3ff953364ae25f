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
    from tui_ft.train.objectives.sft import build_trainer
    from tui_ft.train.precision import choose_precision
    from tui_ft.train.random_model import plain_tokenizer, random_model

    on_gpu = question.device == "cuda"
    spec = _short(RunSpec.model_validate(question.spec))
    precision = choose_precision(spec, on_gpu)
    real = _has_weights(spec)
    model = (
        load_model(spec, precision, on_gpu)
        if real
        else random_model(question.config, spec, precision, question.device)
    )
    trainer = build_trainer(
        spec,
        model,
        plain_tokenizer(),
        _rows(spec, question),
        precision,
        checkpoints=folder,
        on_gpu=on_gpu,
        note=lambda _: None,
    )
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


def _rows(spec: RunSpec, question: ProbeQuestion) -> Any:  # noqa: ANN401 - datasets are untyped
    """Return rows of the longest length; where rows are padded, each second a token shorter."""
    from datasets import Dataset

    from tui_ft.data.mask_summary import MaskSummary
    from tui_ft.train.dataset import IGNORED, TrainingData

    training = spec.training
    batch = training.per_device_train_batch_size
    shorter = int(batch > 1 and not question.spec["training"].get("packing", False))
    count = batch * training.gradient_accumulation_steps * _STEPS
    ids, labels = [], []
    for number in range(count):
        length = question.longest - shorter * (number % 2)
        unlearned = round(length * (1 - question.supervised))
        ids.append([1] * length)
        labels.append([IGNORED] * unlearned + [1] * (length - unlearned))
    rows = Dataset.from_dict({"input_ids": ids, "labels": labels})
    return TrainingData(train=rows, eval=None, questions=(), summary=MaskSummary(), warnings=())


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
