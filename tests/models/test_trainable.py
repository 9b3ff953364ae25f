"""Adapters have as many parameters as peft makes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import peft
import pytest
from peft.utils import constants

from tests.memory.models import LLAMA_3B
from tests.models.counting import on_meta
from tests.models.published_adapters import PUBLISHED
from tests.models.variants import VARIANTS, config_of
from tui_ft.models import architecture_of
from tui_ft.models.families.table import FAMILIES
from tui_ft.models.methods import METHODS
from tui_ft.models.peft_targets import DEFAULTS, IA3_FEEDFORWARD, LORA
from tui_ft.models.targets import AdapterError
from tui_ft.models.trainable import adapter_count, lora_parameters, trainable_parameters
from tui_ft.spec.norm_places import NORMS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SETTINGS: Final[dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).resolve().parents[2] / "benchmarks" / "peft_settings.json").read_text()
)
SMALL_LLAMA: Final[dict[str, Any]] = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 600,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
}
_LORA: Final = {"peft_type": "LORA", "r": 4}
_ALL: Final = {**_LORA, "target_modules": "all-linear"}
_PATTERN: Final = r".*\.(q_proj|v_proj|query_key_value|c_attn|query|q_lin|kv_b_proj)"
ADAPTERS: Final[dict[str, dict[str, Any]]] = {
    "all": _ALL,
    "all-biases": {**_ALL, "bias": "all", "exclude_modules": ["o_proj", "down_proj"]},
    "pattern": {**_LORA, "target_modules": _PATTERN, "bias": "lora_only"},
    "saved": {**_ALL, "modules_to_save": ["embed_tokens", "lm_head", "wte"]},
    "loha": {"peft_type": "LOHA", "target_modules": _PATTERN},
}
FIRST_OF_EACH: Final = {variant["model_type"]: variant for variant in reversed(VARIANTS)}
MORE: Final[dict[str, dict[str, Any]]] = {
    "dora": {**_ALL, "use_dora": True},
    "embedding": {**_LORA, "target_modules": ["embed_tokens", "q_proj"]},
    "embedding-alone": {**_LORA, "target_modules": ["embed_tokens"], "use_dora": True},
    "pattern-with-embedding": {**_LORA, "target_modules": r".*(embed_tokens|q_proj)"},
    "head": {**_LORA, "target_modules": ["lm_head", "v_proj"]},
    "lora-bias": {**_ALL, "lora_bias": True},
    "layers": {**_LORA, "layers_to_transform": [0, 2]},
    "one-layer": {**_LORA, "layers_to_transform": 1, "layers_pattern": "layers"},
    "ranks": {**_ALL, "rank_pattern": {"q_proj": 9, "layers.1.self_attn.v_proj": 3}},
    "tokens": {**_LORA, "trainable_token_indices": [1, 2, 3]},
    "tokens-by-name": {**_LORA, "trainable_token_indices": {"embed_tokens": [1, 2]}},
    "miss-less-rank": {"peft_type": "MISS", "r": 8},
    "oft-blocks": {"peft_type": "OFT", "oft_block_size": 60},
    "oft-shared": {"peft_type": "OFT", "block_share": True},
    "oft-odd": {"peft_type": "OFT", "r": 7, "oft_block_size": 0},
    "boft-blocks": {"peft_type": "BOFT", "boft_block_size": 0, "boft_block_num": 16},
    "lokr-both": {"peft_type": "LOKR", "decompose_both": True, "r": 2},
    "lokr-odd": {"peft_type": "LOKR", "decompose_factor": 6},
    "glora-constant": {"peft_type": "GLORA", "config_A_B": "constant", "config_D_E": "vector"},
    "road-1": {"peft_type": "ROAD"},
    "road-4": {"peft_type": "ROAD", "variant": "road_4"},
    "psoft-plain": {"peft_type": "PSOFT", "psoft_orth": False, "psoft_mag_a": False, "r": 16},
    "peanut-deep": {"peft_type": "PEANUT", "depth": 2},
    "gralora-hybrid": {"peft_type": "GRALORA", "hybrid_r": 8},
    "hra": {"peft_type": "HRA"},
    "osf-half": {"peft_type": "OSF"},
    "osf-share": {"peft_type": "OSF", "effective_rank": 0.25, "target_modules": ["q_proj"]},
    "tiny-groups": {"peft_type": "TINYLORA", "weight_tying": 0.4, "u": 7},
    "ia3-all": {"peft_type": "IA3", "target_modules": "all-linear", "feedforward_modules": []},
    "prefix-projected": {
        "peft_type": "PREFIX_TUNING",
        "num_virtual_tokens": 5,
        "prefix_projection": True,
        "encoder_hidden_size": 7,
    },
    "p-tuning-lstm": {
        "peft_type": "P_TUNING",
        "num_virtual_tokens": 5,
        "encoder_hidden_size": 9,
        "encoder_reparameterization_type": "LSTM",
        "encoder_num_layers": 3,
    },
}
FITTED: Final = {"token_dim": 256, "num_layers": 3, "adapter_layers": 3, "num_attention_heads": 8}
"""What the published settings say of their model, said of the small one."""


def made(model: Any, adapter: dict[str, Any], task: str = "CAUSAL_LM") -> tuple[int, int]:
    """Return what peft trains, and all parameters of what it makes."""
    config = peft.PeftConfig.from_peft_type(**{"task_type": task, **adapter})
    trained, parameters = peft.get_peft_model(model, config).get_nb_trainable_parameters()
    return int(trained), int(parameters)


def counted(
    config: dict[str, Any], adapter: dict[str, Any], labels: int | None = None
) -> tuple[int, int]:
    """Return the same from here."""
    architecture = architecture_of(config, labels)
    count = adapter_count(architecture, adapter)
    return count.trainable, architecture.parameters + count.added


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_published_counts_are_met(experiment: str) -> None:
    base = architecture_of(LLAMA_3B)
    trained, parameters = PUBLISHED[experiment]
    if experiment.startswith("full"):
        assert trainable_parameters(base, None) == base.parameters == trained == parameters
        return
    frozen_a = experiment.endswith("lorafa")
    count = adapter_count(base, SETTINGS[experiment], frozen_a=frozen_a)
    assert (count.trainable, base.parameters + count.added) == (trained, parameters)


@pytest.mark.parametrize("name", [*SETTINGS, *MORE])
def test_every_method_is_counted_as_peft_makes_it(name: str) -> None:
    adapter = {**(SETTINGS.get(name) or MORE[name])}
    for key, value in FITTED.items():
        if key in adapter:
            adapter[key] = value
    if "encoder_hidden_size" in adapter:
        adapter["encoder_hidden_size"] = 64
    adapter.pop("prompt_tuning_init", None)  # it would fetch a tokenizer
    if adapter["peft_type"] == "TRAINABLE_TOKENS":
        adapter["token_indices"] = [1, 2]
    if "rank_pattern" in adapter and adapter["peft_type"] == "OSF":
        adapter["rank_pattern"] = {"q_proj": 250, "k_proj": 240, "up_proj": 200}
    if adapter["peft_type"] not in ("ADALORA", "LILY"):
        adapter |= {"r": min(adapter["r"], 64)} if adapter.get("r") else {}
    model = made_of_numbers()
    assert counted(SMALL_LLAMA, adapter) == made(model, adapter)


def made_of_numbers() -> Any:
    """Return a small Llama that has weights: some methods look at them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    values = {key: value for key, value in SMALL_LLAMA.items() if key != "model_type"}
    return LlamaForCausalLM(LlamaConfig(**values))


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize("model_type", FIRST_OF_EACH)
def test_the_modules_of_every_family_are_found(model_type: str, adapter: dict[str, Any]) -> None:
    if model_type == "gpt2" and adapter["peft_type"] == "LOHA":
        pytest.skip("peft's LoHa takes no Conv1D")
    if model_type == "distilbert":  # peft wraps `pre_classifier` twice, and fails
        adapter = {**adapter, "exclude_modules": ["pre_classifier"]}
    config = config_of(FIRST_OF_EACH[model_type])
    labels = 3 if architecture_of(config).kind == "encoder" else None
    task = "CAUSAL_LM" if labels is None else "SEQ_CLS"
    try:
        expected = made(on_meta(config, labels), adapter, task)
    except ValueError as refused:
        with pytest.raises(AdapterError):
            counted(config, adapter, labels)
        assert "found" in str(refused) or "targeted" in str(refused)
        return
    assert counted(config, adapter, labels) == expected


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "gpt2", "falcon", "deepseek_v3"])
def test_a_classification_trains_its_head_whole(model_type: str) -> None:
    config = config_of(FIRST_OF_EACH[model_type])
    for adapter in (_ALL, {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5}):
        model = on_meta(config, 3)
        assert counted(config, adapter, 3) == made(model, adapter, "SEQ_CLS")


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma2", "gpt2", "deepseek_v3", "opt"])
def test_prefixes_are_as_wide_as_the_keys(model_type: str) -> None:
    config = config_of(FIRST_OF_EACH[model_type])
    adapter = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5}
    model = on_meta(config)
    model.device_map = None
    assert counted(config, adapter) == made(model, adapter)


@pytest.mark.parametrize("model_type", sorted(FIRST_OF_EACH))
def test_layer_norm_tuning_trains_all_norms_and_nothing_else(model_type: str) -> None:
    """But those of the part that sees images."""
    model = on_meta(config_of(FIRST_OF_EACH[model_type]))
    norms = {n for n, one in model.named_modules() if "norm" in type(one).__name__.lower()}
    found = {name for name, _ in model.named_modules() if re.fullmatch(NORMS, name)}
    assert found == {name for name in norms if "vision_tower" not in name}


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "gpt2", "falcon", "bloom"])
def test_layer_norm_tuning_is_counted(model_type: str) -> None:
    config = config_of(FIRST_OF_EACH[model_type])
    adapter = {"peft_type": "LN_TUNING", "target_modules": NORMS}
    assert counted(config, adapter) == made(on_meta(config), adapter)


def test_default_targets_are_pefts_own() -> None:
    for name in ("LORA", *METHODS, "ADALORA", "IA3", "LILY", "LN_TUNING", "TINYLORA", "UNILORA"):
        word = name.replace("LN_TUNING", "LNTUNING")
        theirs = getattr(constants, f"TRANSFORMERS_MODELS_TO_{word}_TARGET_MODULES_MAPPING")
        known = {family: tuple(theirs[family]) for family in FAMILIES if family in theirs}
        assert DEFAULTS.get(name, LORA) == known, name
    forward = constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
    known = {family: tuple(forward[family]) for family in FAMILIES if family in forward}
    assert known == IA3_FEEDFORWARD


def test_lora_by_hand() -> None:
    # Four layers of queries (256 to 256) and values (256 to 128).
    llama = architecture_of(
        {
            "model_type": "llama",
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
        }
    )
    assert lora_parameters(llama, 16) == 4 * 16 * (256 + 256 + 256 + 128)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ({"peft_type": "XLORA"}, "XLORA cannot be told"),
        ({}, "without peft_type"),
        ({**_LORA, "target_modules": ["nothing"]}, "no module that is called nothing"),
        ({**_LORA, "target_modules": "("}, "is no pattern"),
        ({**_LORA, "target_modules": 7}, "write names of modules"),
        ({**_ALL, "layers_to_transform": 1}, "goes with a list"),
        ({**_LORA, "r": "many"}, "r of the adapter is"),
        ({**_LORA, "layer_replication": [[0, 2]]}, "layer_replication"),
        ({"peft_type": "PROMPT_TUNING"}, "num_virtual_tokens is missing"),
        ({"peft_type": "ADAPTION_PROMPT"}, "adapter_len is missing"),
        ({"peft_type": "ADAPTION_PROMPT", "adapter_layers": 9, "adapter_len": 1}, "3 layers"),
    ],
)
def test_what_cannot_be_counted_is_a_sentence(adapter: dict[str, Any], said: str) -> None:
    with pytest.raises(AdapterError, match=re.escape(said)):
        adapter_count(architecture_of(SMALL_LLAMA), adapter)


def test_families_without_targets_ask_for_them() -> None:
    with pytest.raises(AdapterError, match="names no modules of Phi-3"):
        lora_parameters(architecture_of({"model_type": "phi3"}), 8)


@pytest.mark.parametrize("model_type", ["mixtral", "qwen3_moe", "olmoe", "deepseek_v2"])
def test_experts_take_plain_lora_only(model_type: str) -> None:
    config = config_of(FIRST_OF_EACH[model_type])
    for refused in ({"use_dora": True}, {"lora_dropout": 0.1}, {"lora_bias": True}):
        with pytest.raises(AdapterError, match="plain LoRA only"):
            counted(config, {**_ALL, **refused})
        with pytest.raises(ValueError, match="does not work with"):
            made(on_meta(config), {**_ALL, **refused})


@pytest.mark.parametrize("model_type", ["mixtral", "qwen3_moe", "gpt_oss", "granitemoe"])
@pytest.mark.parametrize("targets", [["q_proj"], "all-linear", None])
def test_experts_by_the_names_of_their_parameters(
    model_type: str, targets: str | list[str] | None
) -> None:
    config = config_of(FIRST_OF_EACH[model_type])
    named = {"target_modules": targets, "target_parameters": ["experts.down_proj"]}
    assert counted(config, {**_LORA, **named}) == made(on_meta(config), {**_LORA, **named})


def test_half_of_a_fused_projection_is_refused() -> None:
    config = config_of(FIRST_OF_EACH["mixtral"])
    with pytest.raises(AdapterError, match="without w3"):
        counted(config, {**_LORA, "target_modules": ["w1", "q_proj"]})
