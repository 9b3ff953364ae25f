"""Unsloth as the backend: it loads the model, puts LoRA on it, and computes with its own kernels.

It has to be imported before transformers, trl and peft, which it changes. What a run gives is an
adapter as peft saves it, whoever made it.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from tui_ft.spec import RunSpec
from tui_ft.spec.run_spec import LoraMethod, QloraMethod
from tui_ft.train.errors import RunFailure
from tui_ft.train.failures import out_of_memory

_ADVICE: Final = "set model.backend to transformers"
_ALL_LINEAR: Final = (
    *("q_proj", "k_proj", "v_proj", "o_proj"),
    *("gate_proj", "up_proj", "down_proj"),
)
"""Unsloth's own default: the linear layers that it has kernels for."""


def import_first(on_gpu: bool) -> Any:  # noqa: ANN401 - Unsloth is untyped
    """Return Unsloth, imported.

    Raises:
        RunFailure: there is no GPU, it is not installed, or it does not work here.
    """
    if not on_gpu:
        raise RunFailure("model.backend unsloth takes an NVIDIA GPU, and the run has none", _ADVICE)
    try:
        return importlib.import_module("unsloth")
    except ModuleNotFoundError as error:
        if error.name != "unsloth":
            raise RunFailure(f"Unsloth cannot be used: {error}", _ADVICE) from error
        install = "pip install 'tui-ft[unsloth]'"
        raise RunFailure("Unsloth is not installed", install, f"or {_ADVICE}") from None
    except Exception as error:  # it looks at GPU, driver and versions, and raises what it likes
        raise RunFailure(f"Unsloth cannot be used here: {error}", _ADVICE) from error


def load_with_unsloth(spec: RunSpec, dtype: Any, on_gpu: bool, quantised: Any) -> Any:  # noqa: ANN401
    """Return the model with LoRA on it, to be trained.

    Args:
        spec: the run.
        dtype: type of the weights.
        on_gpu: whether there is a GPU.
        quantised: of QLoRA, the quantisation of the base; else None.

    Raises:
        RunFailure: Unsloth cannot be used, or not for this model.
    """
    from tui_ft.train.signature import checked_extra

    fast = import_first(on_gpu).FastLanguageModel
    method, training = spec.method, spec.training
    assert isinstance(method, LoraMethod | QloraMethod)
    checkpointing = "unsloth" if training.gradient_checkpointing else False
    loading: dict[str, Any] = {
        "model_name": spec.model.name_or_path,
        "max_seq_length": training.max_length,
        "dtype": dtype,
        "load_in_4bit": quantised is not None,
        "revision": spec.model.revision,
        "trust_remote_code": spec.model.trust_remote_code,
        "device_map": {"": 0},
        "use_gradient_checkpointing": checkpointing,
        "use_exact_model_name": True,  # and not a quantised copy that its makers have uploaded
        "fix_tokenizer": False,
        "random_state": training.seed,
    }
    if quantised is not None:
        loading["quantization_config"] = quantised
    targets = method.target_modules
    own: dict[str, Any] = {
        "r": method.r,
        "lora_alpha": method.lora_alpha,
        "lora_dropout": method.lora_dropout,
        "target_modules": list(_ALL_LINEAR) if isinstance(targets, str) else targets,
        "bias": method.bias,
        "use_rslora": method.use_rslora,
        "modules_to_save": method.modules_to_save or None,
        "use_gradient_checkpointing": checkpointing,
        "random_state": training.seed,
        "max_seq_length": training.max_length,
    }
    fields = type(method).model_fields
    adapting = checked_extra("method", method.extra, fast.get_peft_model, own, fields)
    try:
        model, _ = fast.from_pretrained(**loading)
        adapted = fast.get_peft_model(model, **adapting)
    except (NotImplementedError, RuntimeError, ValueError, TypeError) as error:
        if out_of_memory(error) is not None:
            raise
        raise RunFailure(f"Unsloth does not take this model: {error}", _ADVICE) from error
    adapted.config.use_cache = False
    return adapted
