"""A run of supervised fine-tuning as a Python script on trl that needs nothing of ftui."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from tui_ft.spec import RunSpec
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.run_spec import QloraMethod
from tui_ft.spec.trainer_arguments import plain_arguments, plan_schedule

_TEMPLATE: Final = Path(__file__).with_name("train.py.template")
_INDENT: Final = "\n    "
_TORCH: Final = {"bf16": "torch.bfloat16", "fp16": "torch.float16", "fp32": "torch.float32"}


def sft_script(spec: RunSpec, *, evaluates: bool) -> str:
    """Return the script of a run.

    Args:
        spec: the run; its objective is supervised fine-tuning.
        evaluates: whether there is an eval.jsonl beside it.
    """
    adapter = peft_arguments(spec.method)
    is_quantised = isinstance(spec.method, QloraMethod)
    files = "lie train.jsonl and eval.jsonl" if evaluates else "lies train.jsonl"
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"The run `{spec.name}` as plain trl: {spec.method.kind}, supervised fine-tuning.",
        needs="torch transformers trl peft datasets" + (" bitsandbytes" if is_quantised else ""),
        rows_said=files,
        imports=_imports(adapter is not None, is_quantised, spec),
        model=repr(spec.model.name_or_path),
        revision=repr(spec.model.revision),
        max_length=spec.training.max_length,
        precision=_precision(spec),
        model_arguments=_INDENT.join(_model_arguments(spec)),
        config=_INDENT.join(_config(spec, evaluates)),
        trainer_arguments=_INDENT.join(_trainer_arguments(spec, adapter, evaluates)),
        after_trainer=_after_trainer(is_quantised),
        output=repr("model" if adapter is None else "adapter"),
    )
    return text.rstrip() + "\n"


def _imports(has_adapter: bool, is_quantised: bool, spec: RunSpec) -> str:
    names = ["AutoModelForCausalLM", "AutoTokenizer"]
    names += ["BitsAndBytesConfig"] if is_quantised else []
    names += ["EarlyStoppingCallback"] if spec.training.early_stopping_patience else []
    lines = ["from peft import LoraConfig"] if has_adapter else []
    lines += [f"from transformers import {', '.join(sorted(names))}"]
    return "\n".join([*lines, "from trl import SFTConfig, SFTTrainer"])


def _precision(spec: RunSpec) -> str:
    """Return the choice of types, which is made where the script runs if the run left it open."""
    asked = spec.training.precision
    lines = ["on_gpu = torch.cuda.is_available()"]
    if asked == "auto":
        lines += [
            "bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)",
            "fp16 = on_gpu and not bf16",
        ]
    else:
        lines += [f"bf16, fp16 = {asked == 'bf16'}, {asked == 'fp16'}"]
    chosen = "torch.bfloat16 if bf16 else torch.float16 if fp16 else torch.float32"
    lines.append(f"arithmetic = {chosen if asked == 'auto' else _TORCH[asked]}")
    return "\n".join(lines) + "\n"


def _model_arguments(spec: RunSpec) -> list[str]:
    model = spec.model
    if model.dtype != "auto":
        dtype = f"torch.{model.dtype}"
    else:
        dtype = "torch.float32" if spec.method.kind == "full" else "arithmetic"
    lines = ["revision=REVISION,", f"dtype={dtype},", "use_safetensors=True,"]
    if model.attn_implementation != "auto":
        lines.append(f"attn_implementation={model.attn_implementation!r},")
    if model.trust_remote_code:
        lines.append("trust_remote_code=True,")
    if isinstance(spec.method, QloraMethod):
        lines += [
            "quantization_config=BitsAndBytesConfig(",
            "    load_in_4bit=True,",
            f"    bnb_4bit_quant_type={spec.method.bnb_4bit_quant_type!r},",
            f"    bnb_4bit_use_double_quant={spec.method.bnb_4bit_use_double_quant},",
            "    bnb_4bit_compute_dtype=arithmetic,",
            "),",
            'device_map={"": 0 if on_gpu else "cpu"},',
        ]
    return [*lines, *_keywords(model.extra)]


def _config(spec: RunSpec, evaluates: bool) -> list[str]:
    schedule = plan_schedule(spec.training, evaluates, lambda _: None)
    arguments = {**schedule.arguments, **plain_arguments(spec.training)}
    if schedule.evaluations_a_save not in (None, 1):
        arguments["save_steps"] = arguments["eval_steps"] * schedule.evaluations_a_save
    if spec.training.max_steps is not None:
        del arguments["num_train_epochs"]
    arguments |= spec.training.extra
    given = {name: value for name, value in arguments.items() if value is not None}
    return [
        'output_dir="checkpoints",',
        *_keywords(given),
        f"data_seed={spec.training.seed},",
        'report_to="none",',
        'gradient_checkpointing_kwargs={"use_reentrant": False},',
        "bf16=bf16,",
        "fp16=fp16,",
        "use_cpu=not on_gpu,",
    ]


def _trainer_arguments(
    spec: RunSpec, adapter: Mapping[str, Any] | None, evaluates: bool
) -> list[str]:
    lines = ['train_dataset=rows("train.jsonl"),']
    if evaluates and spec.training.eval_steps is not None:
        lines.append('eval_dataset=rows("eval.jsonl"),')
    if adapter is not None:
        given = {k: v for k, v in adapter.items() if k != "peft_type" and v is not None}
        extra = getattr(spec.method, "extra", {})
        lines += [
            "peft_config=LoraConfig(",
            '    task_type="CAUSAL_LM",',
            *(f"    {line}" for line in _keywords({**given, **extra})),
            "),",
        ]
    patience = spec.training.early_stopping_patience
    if patience and evaluates:
        lines.append(f"callbacks=[EarlyStoppingCallback(early_stopping_patience={patience})],")
    return lines


def _after_trainer(is_quantised: bool) -> str:
    if not is_quantised:
        return ""
    return (
        "for parameter in trainer.model.parameters():\n"
        "    if parameter.requires_grad:  # trl casts them to bfloat16\n"
        "        parameter.data = parameter.data.to(torch.float32)\n"
    )


def _keywords(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value!r}," for name, value in arguments.items()]
