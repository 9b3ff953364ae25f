"""Steps on which the closed form is compared with the dry run: real shapes, most of few layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import estimate_more as more_shapes
from benchmarks.estimate_more import config
from tui_ft.memory.step import Generation, Quantization, Step

_ALL: Final = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
_FUSED: Final = "adamw_torch_fused"


_TIED: Final[dict[str, Any]] = {"tie_word_embeddings": True}
_GEMMA: Final[dict[str, Any]] = {**_TIED, "hidden_activation": "gelu_pytorch_tanh"}
MODELS: Final[dict[str, dict[str, Any]]] = {
    "SmolLM2-135M": config("llama", 576, 1536, 9, 3, 49152, 30, **_TIED),
    "Qwen2.5-0.5B, 4 layers": config("qwen2", 896, 4864, 14, 2, 151936, 4, **_TIED),
    "Qwen2.5-0.5B": config("qwen2", 896, 4864, 14, 2, 151936, 24, **_TIED),
    "Llama-3.2-1B, 4 layers": config("llama", 2048, 8192, 32, 8, 128256, 4, head_dim=64, **_TIED),
    "Llama-3.2-1B": config("llama", 2048, 8192, 32, 8, 128256, 16, head_dim=64, **_TIED),
    "Llama-3.2-3B, 3 layers": config("llama", 3072, 8192, 24, 8, 128256, 3, head_dim=128, **_TIED),
    "Llama-3.1-8B, 3 layers": config("llama", 4096, 14336, 32, 8, 128256, 3),
    "Mistral-7B, 3 layers": config("mistral", 4096, 14336, 32, 8, 32000, 3, sliding_window=4096),
    "Qwen3-4B, 3 layers": config("qwen3", 2560, 9728, 32, 8, 151936, 3, head_dim=128, **_TIED),
    "SmolLM3-3B, 4 layers": config("smollm3", 2048, 11008, 16, 4, 128256, 4, **_TIED),
    "Gemma-2B, 3 layers": config("gemma", 2048, 16384, 8, 1, 256000, 3, head_dim=256, **_GEMMA),
    "Gemma-2-2B, 3 layers": config(
        *("gemma2", 2304, 9216, 8, 4, 256000, 3),
        head_dim=256,
        sliding_window=4096,
        query_pre_attn_scalar=256,
        **_GEMMA,
    ),
    "Gemma-3-1B, 6 layers": config(
        *("gemma3_text", 1152, 6912, 4, 1, 262144, 6),
        head_dim=256,
        sliding_window=512,
        query_pre_attn_scalar=256,
        **_GEMMA,
    ),
    "Phi-3-mini, 3 layers": config("phi3", 3072, 8192, 32, 32, 32064, 3),
    "Granite-3-2B, 4 layers": config("granite", 2048, 8192, 32, 8, 49155, 4, **_TIED),
    "OLMo-1B, 4 layers": config("olmo", 2048, 8192, 16, 16, 50304, 4, **_TIED),
    "OLMo-2-7B, 3 layers": config("olmo2", 4096, 11008, 32, 32, 100352, 3),
    "GPT-2, 4 layers": {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 4,
        "n_head": 12,
        "n_positions": 4096,
        "vocab_size": 50257,
    },
    "Pythia-1.4B, 4 layers": config("gpt_neox", 2048, 8192, 16, 16, 50304, 4),
    "Falcon-11B, 2 layers": {
        "model_type": "falcon",
        "hidden_size": 4096,
        "num_hidden_layers": 2,
        "num_attention_heads": 32,
        "num_kv_heads": 8,
        "new_decoder_architecture": True,
        "bias": False,
        "alibi": False,
        "vocab_size": 65024,
    },
    "OPT-1.3B, 4 layers": {
        "model_type": "opt",
        "hidden_size": 2048,
        "ffn_dim": 8192,
        "num_hidden_layers": 4,
        "num_attention_heads": 32,
        "word_embed_proj_dim": 2048,
        "do_layer_norm_before": True,
        "max_position_embeddings": 2048,
        "vocab_size": 50272,
    },
    "BLOOM-560M, 4 layers": {
        "model_type": "bloom",
        "hidden_size": 1024,
        "n_layer": 4,
        "n_head": 16,
        "vocab_size": 250880,
    },
}
MIXTURES: Final[dict[str, dict[str, Any]]] = {
    "Mixtral-8x7B, 2 layers": config(
        *("mixtral", 4096, 14336, 32, 8, 32000, 2), num_local_experts=8, num_experts_per_tok=2
    ),
    "Qwen3-30B-A3B, 2 layers": config(
        *("qwen3_moe", 2048, 6144, 32, 4, 151936, 2),
        head_dim=128,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=768,
    ),
}
ENCODERS: Final[dict[str, dict[str, Any]]] = {
    "BERT-base": config("bert", 768, 3072, 12, 12, 30522, 12, max_position_embeddings=512),
    "RoBERTa-large, 6 layers": config(
        "roberta", 1024, 4096, 16, 16, 50265, 6, max_position_embeddings=514
    ),
}
_MORE: Final = {**more_shapes.DENSE, **more_shapes.MIXED, **more_shapes.ENCODERS}
METHODS: Final[dict[str, dict[str, Any]]] = {
    "full": {"weights": "float32", "arithmetic": "bfloat16", "optim": _FUSED},
    "full bf16": {"optim": "adamw_torch"},
    "lora": {"adapter": _ALL, "arithmetic": "bfloat16", "optim": _FUSED},
    "qlora": {
        "adapter": _ALL,
        "arithmetic": "bfloat16",
        "quantization": Quantization(),
        "optim": _FUSED,
    },
}
_ADAPTERS: Final[dict[str, dict[str, Any]]] = {
    "rslora q v": {"adapter": {**_ALL, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]}},
    "lora r128 dropout": {"adapter": {**_ALL, "r": 128, "lora_dropout": 0.05}},
    "dora": {"adapter": {**_ALL, "use_dora": True}},
    "prompt": {"adapter": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 20}},
    "p-tuning": {"adapter": {"peft_type": "P_TUNING", "num_virtual_tokens": 20}},
    "prefix": {"adapter": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 20}},
    "ia3": {"adapter": {"peft_type": "IA3"}},
    "layer norms": {"adapter": {"peft_type": "LN_TUNING"}},
    "8 bits": {"adapter": _ALL, "quantization": Quantization(bits=8)},
    "4 bits, single": {"adapter": _ALL, "quantization": Quantization(double=False)},
}
_OPTIMIZERS: Final = (
    *("adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"),
    *("lion_32bit", "lion_8bit", "adafactor", "sgd", "rmsprop_bnb"),
)
_OBJECTIVES: Final = (
    *("causal_lm", "dpo", "kto", "orpo", "simpo", "reward", "classification", "grpo", "rloo"),
    "ppo",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A step of the grid, and by what it is grouped."""

    model: str
    method: str
    what: str
    step: Step

    @property
    def name(self) -> str:
        """All of it in one line."""
        step = self.step
        again = ", checkpointing" if step.checkpointing else ""
        return f"{self.model}; {self.method}; {self.what}; {step.batch} x {step.length}{again}"


def cases() -> tuple[Case, ...]:
    """Return the grid, in an order that never changes."""
    parts = (_sizes(), _families(), _optimizers(), _objectives(), _adapters(), _rest())
    return (*(case for part in parts for case in part), *_mixtures(MIXTURES), *_others())


def _case(model: str, method: str, what: str = "sft", **more: Any) -> Case:
    shape = {**MODELS, **MIXTURES, **ENCODERS, **_MORE}[model]
    values: dict[str, Any] = {"batch": 2, "length": 1024, **METHODS.get(method, {}), **more}
    return Case(model, method, what, Step(config=shape, **values))


def _sizes() -> Iterator[Case]:
    models = ("Llama-3.2-1B, 4 layers", "Qwen2.5-0.5B, 4 layers", "Llama-3.1-8B, 3 layers")
    for model in (*models, "Gemma-3-1B, 6 layers"):
        for method in ("full", "lora", "qlora"):
            for length, batch in ((512, 1), (512, 8), (2048, 1), (2048, 4)):
                for again in (False, True):
                    more: dict[str, Any] = {"padded": batch > 1, "checkpointing": again}
                    yield _case(model, method, length=length, batch=batch, **more)


def _families() -> Iterator[Case]:
    for model in MODELS:
        if "SmolLM2" in model or model in ("Llama-3.2-1B", "Qwen2.5-0.5B"):
            continue
        yield from _four(model)
    yield from _classifying(ENCODERS)


def _others() -> Iterator[Case]:
    for model in more_shapes.DENSE:
        yield from _four(model)
    yield from _mixtures(more_shapes.MIXED)
    yield from _classifying(more_shapes.ENCODERS)


def _four(model: str) -> Iterator[Case]:
    yield _case(model, "full bf16")
    yield _case(model, "full", padded=True, checkpointing=True)
    yield _case(model, "lora", padded=True)
    yield _case(model, "qlora", checkpointing=True)


def _classifying(models: Iterable[str]) -> Iterator[Case]:
    for model in models:
        for method in ("full", "lora"):
            for again in (False, True):
                more: dict[str, Any] = {
                    "batch": 16,
                    "length": 256,
                    "padded": True,
                    "checkpointing": again,
                }
                yield _case(model, method, "classification", objective="classification", **more)


def _mixtures(models: Iterable[str]) -> Iterator[Case]:
    for model in models:
        names = ["q_proj", "k_proj", "v_proj", "o_proj"]
        if "DeepSeek" in model:
            names = ["q_proj", "q_b_proj", "kv_b_proj", "o_proj"]
        attention = {**_ALL, "target_modules": names}
        yield _case(model, "full bf16", optim=_FUSED)
        for again in (False, True):
            more: dict[str, Any] = {"adapter": attention, "checkpointing": again}
            yield _case(model, "lora", padded=True, **more)


def _optimizers() -> Iterator[Case]:
    for optim in _OPTIMIZERS:
        for again in (False, True):
            more: dict[str, Any] = {"optim": optim, "checkpointing": again}
            yield _case("Llama-3.2-1B, 4 layers", "full bf16", optim, **more)
    for optim in ("adamw_torch", "adafactor"):
        yield _case("Qwen2.5-0.5B, 4 layers", "full", optim, optim=optim, checkpointing=True)


def _objectives() -> Iterator[Case]:
    for model in ("Llama-3.2-1B, 4 layers", "Qwen2.5-0.5B, 4 layers"):
        for objective in _OBJECTIVES:
            more: dict[str, Any] = {"objective": objective, "length": 768}
            yield _case(model, "lora", objective, **more)
            yield _case(model, "lora", objective, padded=True, checkpointing=True, **more)
            yield _case(model, "full bf16", objective, checkpointing=True, **more)


def _adapters() -> Iterator[Case]:
    for model in ("Llama-3.2-1B, 4 layers", "Qwen2.5-0.5B, 4 layers"):
        for name, more in _ADAPTERS.items():
            yield _case(model, name, arithmetic="bfloat16", optim=_FUSED, **more)
            if name != "prefix":  # which peft refuses
                again: dict[str, Any] = {**more, "arithmetic": "bfloat16", "checkpointing": True}
                yield _case(model, name, optim=_FUSED, **again)


def _rest() -> Iterator[Case]:
    model = "Llama-3.2-3B, 3 layers"
    for attention in ("eager", "sdpa"):
        for again in (False, True):
            yield _case(model, "lora", attention, attention=attention, checkpointing=again)
    for supervised in (0.1, 0.5):
        yield _case(model, "lora", f"{supervised:.0%} with loss", supervised=supervised)
    for method in ("full", "lora"):
        yield _case(model, method, "accumulation", accumulation=True)
        yield _case(model, method, "float32", weights="float32", arithmetic=None)
        yield _case(model, method, "evaluation", evaluation_batch=8, checkpointing=True)
    plan = Generation(rows=16, prompt=512, new=256)
    yield _case(model, "lora", "grpo, 16 rows", objective="grpo", generation=plan)
    yield _case(model, "lora", "float32 adapter, no autocast", arithmetic=None)
    for whole in ("SmolLM2-135M", "Qwen2.5-0.5B", "Llama-3.2-1B"):
        for method in ("full", "lora", "qlora"):
            yield _case(whole, method, "real depth", checkpointing=method != "full", batch=4)
