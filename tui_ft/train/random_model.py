"""A model with random weights, made on its device from its configuration, and a bare tokenizer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import orjson
import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from tui_ft.spec import RunSpec
from tui_ft.spec.run_spec import QloraMethod
from tui_ft.train.precision import Precision

_SPREAD = 0.02


def random_model(
    config: Mapping[str, Any],
    spec: RunSpec,
    precision: Precision,
    device: str,
) -> Any:  # noqa: ANN401 - transformers is untyped here
    """Return a model that takes what the real one takes.

    A base in 4 bits is quantised layer by layer, so that it never lies there whole in 16.

    Args:
        config: the values of its config.json.
        spec: how it is held, and with which attention.
        precision: in which types.
        device: where.
    """
    with tempfile.TemporaryDirectory() as folder:
        values = {name: value for name, value in config.items() if name != "auto_map"}
        values.pop("quantization_config", None)
        Path(folder, "config.json").write_bytes(orjson.dumps(values))
        read = AutoConfig.from_pretrained(folder)
    asked = spec.model.attn_implementation
    arguments = {
        "dtype": precision.weights,
        "attn_implementation": None if asked == "auto" else asked,
    }
    if isinstance(spec.method, QloraMethod):
        with no_init_weights(), torch.device("cpu"):  # pages that nobody touches take nothing
            model = AutoModelForCausalLM.from_config(read, **arguments)
        model.tie_weights()  # left out where nothing is initialised; a second head would count
        _quantize(model, spec.method, precision, torch.device(device))
        model.to(device)
    else:
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(read, **arguments)
    model.config.use_cache = False
    return model


def _quantize(
    model: nn.Module, method: QloraMethod, precision: Precision, device: torch.device
) -> None:
    head = model.get_output_embeddings()  # type: ignore[operator]
    for name, layer in list(model.named_modules()):
        if type(layer) is not nn.Linear or layer is head:
            continue
        packed = bnb.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=precision.compute_dtype,
            compress_statistics=method.bnb_4bit_use_double_quant,
            quant_type=method.bnb_4bit_quant_type,
            device="meta",
        )
        shape = (layer.out_features, layer.in_features)
        values = torch.randn(shape, dtype=precision.weights, device=device) * _SPREAD
        packed.weight = bnb.nn.Params4bit(
            values,
            requires_grad=False,
            compress_statistics=method.bnb_4bit_use_double_quant,
            quant_type=method.bnb_4bit_quant_type,
            module=packed,
        ).to(device)
        packed.bias = layer.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, packed)
    model.is_loaded_in_4bit = True  # type: ignore[assignment]


def plain_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of two tokens: rows are token ids already, but the trainer wants one."""
    words = {"<pad>": 0, "<eos>": 1}
    bare = Tokenizer(models.WordLevel(words, unk_token="<eos>"))  # noqa: S106 - no secret
    return PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>", eos_token="<eos>")  # noqa: S106
