"""Load tokenizer and base model as a spec asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    set_seed,
)

from tui_ft.data.classes import are_others
from tui_ft.hub.class_names import class_names
from tui_ft.hub.continuing import continued
from tui_ft.spec import RunSpec
from tui_ft.spec.chat_templates import template_file
from tui_ft.spec.heads import heads_of
from tui_ft.spec.kernels import HUB, uses
from tui_ft.spec.run_spec import ModelSpec, QloraMethod
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.unsloth import load_with_unsloth
from tui_ft.train.precision import Precision
from tui_ft.train.several.together import ALONE, Ranks
from tui_ft.train.signature import checked_extra

# Only safetensors are loaded, code only by model.trust_remote_code, and no token is written down.
_RESERVED: Final = ("use_safetensors", "weights_only", "token", "pretrained_model_name_or_path")
_HEADS: Final = ("score", "classifier", "pre_classifier", "pooler", "head")
"""The parts of a scoring head, which are trained whole and so never quantised."""
_THROUGH_KWARGS: Final = ("device_map", "max_memory", "offload_folder", "subfolder", "variant")


def load_tokenizer(spec: RunSpec) -> Any:  # noqa: ANN401 - transformers is untyped here
    """Return the model's tokenizer, with a padding token and the chat template of the spec.

    Where the tokenizer has no padding token, the end-of-text token pads: harmless, for the loss
    mask is made from the text and not from token ids.

    Raises:
        RunFailure: the template file cannot be read.
    """
    name, revision = base_of(spec)
    adapter = continued(spec)
    if adapter is not None and (adapter.folder / "tokenizer_config.json").is_file():
        name, revision = str(adapter.folder), None
    tokenizer = AutoTokenizer.from_pretrained(
        name,
        revision=revision,
        trust_remote_code=spec.model.trust_remote_code,
    )
    if spec.model.chat_template is not None:
        try:
            tokenizer.chat_template = template_file(spec.model.chat_template).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunFailure(f"model.chat_template cannot be read: {error}") from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def base_of(spec: RunSpec) -> tuple[str, str | None]:
    """Return the folder or id of the whole model that is loaded, and its revision."""
    adapter = continued(spec)
    if adapter is None:
        return spec.model.name_or_path, spec.model.revision
    return adapter.base, adapter.revision


def stop_token_ids(spec: RunSpec) -> tuple[int, ...]:
    """Return the tokens that end a generation by the model's own configuration; often none.

    Some models (GLM-4, Phi-3-small) end a turn with a token that their tokenizer does not name.
    """
    name, revision = base_of(spec)
    try:
        found = GenerationConfig.from_pretrained(name, revision=revision).eos_token_id
    except OSError:  # the model has no such file
        return ()
    return tuple(found) if isinstance(found, list) else (found,) if found is not None else ()


def load_model(
    spec: RunSpec,
    precision: Precision,
    on_gpu: bool,
    classes: tuple[str, ...] | None = None,
    ranks: Ranks = ALONE,
) -> Any:  # noqa: ANN401
    """Return the base model on its device, from safetensors alone.

    Args:
        spec: which model, and how its weights are held.
        precision: types of the run.
        on_gpu: whether there is a GPU.
        classes: the names of the outputs of a scoring head, which begins with random weights (the
            same for the same seed); None for the model's own head, which generates text.
        ranks: the run's processes. Where they share out the weights, those of a quantised base are
            loaded into the host's memory: whole they may not fit a GPU.

    Raises:
        RunFailure: `model.extra` has an argument that nothing takes.
    """
    if spec.model.backend == "unsloth":
        quantised = None
        if isinstance(spec.method, QloraMethod):
            quantised = quantization(spec.method, precision)
        return load_with_unsloth(spec, precision.weights, on_gpu, quantised)
    name, revision = base_of(spec)
    arguments: dict[str, Any] = {
        "revision": revision,
        "dtype": precision.weights,
        "trust_remote_code": spec.model.trust_remote_code,
        "use_safetensors": True,
        "low_cpu_mem_usage": True,
    }
    if uses(spec, HUB, on_gpu=on_gpu):
        arguments["use_kernels"] = True
    if spec.model.attn_implementation != "auto":
        arguments["attn_implementation"] = spec.model.attn_implementation
    if isinstance(spec.method, QloraMethod):
        shared = ranks.shares_weights
        arguments["quantization_config"] = quantization(spec.method, precision, shared=shared)
        arguments["device_map"] = {"": ranks.rank if on_gpu and not shared else "cpu"}
    if spec.model.extra:
        arguments = _with_extra(spec, arguments)
    if classes is None:
        model = AutoModelForCausalLM.from_pretrained(name, **arguments)
    else:
        set_seed(spec.training.seed)  # the head is not in the checkpoint
        model = _load_with_scores(name, arguments, classes)
        if are_others(classes, class_names(name, revision)):
            _begin_heads_anew(model)
    model.ftui_use_cache = getattr(model.config, "use_cache", None)
    model.config.use_cache = False  # a cache is of no use while training, and warns
    _keep_as_quantised(model)
    return model


def _load_with_scores(name: str, arguments: dict[str, Any], classes: tuple[str, ...]) -> Any:  # noqa: ANN401
    if "quantization_config" in arguments:
        arguments["quantization_config"].llm_int8_skip_modules = list(_HEADS)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        name,
        output_loading_info=True,
        num_labels=len(classes),
        id2label=dict(enumerate(classes)),
        label2id={name: number for number, name in enumerate(classes)},
        ignore_mismatched_sizes=True,  # another head of an earlier classification
        **arguments,
    )
    replaced = [key for key, *_ in report["mismatched_keys"]]
    new = {key.rpartition(".")[0] for key in (*report["missing_keys"], *replaced)}
    model.ftui_new_modules = tuple(sorted(new))
    model.ftui_heads = heads_of(name for name, _ in model.named_modules())
    return model


def _begin_heads_anew(model: Any) -> None:  # noqa: ANN401
    """Give a head random weights that was trained to tell other classes apart."""
    for path in scoring_heads(model):
        for module in model.get_submodule(path).modules():
            for parameter in module.parameters(recurse=False):
                parameter._is_hf_initialized = False  # else transformers leaves it as it is
            model._init_weights(module)
    model.ftui_new_modules = tuple(sorted({*new_modules(model), *scoring_heads(model)}))


def new_modules(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the paths of the modules of ``model`` that were not in its checkpoint.

    A scoring head, and what some models keep before it (BERT's pooler, DistilBERT's
    `pre_classifier`, ModernBERT's `head`): whoever loads the model would get others.
    """
    return getattr(model, "ftui_new_modules", ())


def scoring_heads(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the paths of what peft trains whole by itself where ``model`` scores texts."""
    return getattr(model, "ftui_heads", ())


@contextlib.contextmanager
def as_for_use(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Let ``model`` be saved as one that answers: with a cache, where it had one.

    Whoever loads a model whose config.json says `use_cache: false` generates each token anew from
    the whole text.
    """
    used = getattr(model, "ftui_use_cache", None)
    if used is None:
        yield
        return
    model.config.use_cache = used
    try:
        yield
    finally:
        model.config.use_cache = False


def _keep_as_quantised(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from rewriting 4-bit weights for the CPU's bfloat16 kernels.

    It does so at the first inference and rounds their scales: after an evaluation a run would train
    on another base than the one it began with, and than one resumed from its checkpoint.
    """
    name = "support_avx512bf16_for_cpu"
    for module in model.modules():
        if hasattr(module, name):
            setattr(module, name, False)


def _with_extra(spec: RunSpec, arguments: dict[str, Any]) -> dict[str, Any]:
    """Put `model.extra` over ``arguments``; it may also set what stands in the model's config."""
    name, revision = base_of(spec)
    config = AutoConfig.from_pretrained(
        name,
        revision=revision,
        trust_remote_code=spec.model.trust_remote_code,
    )
    return checked_extra(
        "model",
        spec.model.extra,
        transformers.PreTrainedModel.from_pretrained,
        arguments,
        own=(*ModelSpec.model_fields, *_RESERVED),
        through_kwargs={*config.to_dict(), *_THROUGH_KWARGS} - {"quantization_config"},
    )


def quantization(
    method: QloraMethod, precision: Precision, *, shared: bool = False
) -> BitsAndBytesConfig:
    """Return the quantisation of the base: in 4 bits as in arXiv:2305.14314, section 3, or in 8.

    Args:
        method: how many bits, and of which type.
        precision: types of the run.
        shared: the weights are shared out over processes, which takes 4-bit weights that are kept
            as numbers of a floating type (PyTorch and answer.ai on FSDP with QLoRA).
    """
    if method.bits == 8:  # noqa: PLR2004 - bits
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=method.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=precision.compute_dtype,
        **({"bnb_4bit_quant_storage": precision.compute_dtype} if shared else {}),
    )


def count_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """Return (trainable, all) parameters; packed 4-bit weights count for what they stand for."""
    trainable = total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        size = int(torch.Size(state.shape).numel()) if state is not None else parameter.numel()
        total += size
        trainable += size if parameter.requires_grad else 0
    return trainable, total
