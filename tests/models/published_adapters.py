"""Parameters of Llama-3.2-3B with adapters, as peft's own benchmark publishes them.

huggingface/peft@5d602fdbff04, method_comparison/MetaMathQA/results: trained, and all of the model.
"""

from __future__ import annotations

from typing import Final

PUBLISHED: Final[dict[str, tuple[int, int]]] = {
    "adalora/llama-3.2-3B-rank32": (18353664, 3231103544),
    "adaptionprompt/llama-3.2-3B-lr_0.0005": (8601628, 3221351452),
    "beft/llama-3.2-3B-target-v_proj": (28672, 3212778496),
    "c3a/llama-3.2-3B-default": (5505024, 3218254848),
    "deft/llama-3.2-3B-rank32": (9175040, 3221924864),
    "fourierft/llama-3.2-3B-default": (56000, 3212805824),
    "frod/llama-3.2-3B-default": (5456808, 3218206632),
    "full-finetuning/llama-3.2-3B-lr_0.00001": (3212749824, 3212749824),
    "glora/llama-3.2-3B-vector-paths": (229376, 3212979200),
    "hira/llama-3.2-3B-rank32-lr4.5e-3": (9175040, 3221924864),
    "ia3/llama-3.2-3B-default": (286720, 3213036544),
    "lily/llama-3.2-3B-rank140-mlp-a2-b2-s8.0": (9485280, 3222235104),
    "ln_tuning/llama-3.2-3B-default": (175104, 3212924928),
    "lokr/llama-3.2-3B-rank32-factor4-lr0.003": (2294656, 3215044480),
    "lora/llama-3.2-3B-rank14-target-mlp-bdlora": (8429568, 3221179392),
    "lora/llama-3.2-3B-rank32-lorafa": (3670016, 3221924864),
    "lora/llama-3.2-3B-rank32": (9175040, 3221924864),
    "lora/llama-3.2-3B-rank64": (18350080, 3231099904),
    "miss/llama-3.2-3B-default": (7340032, 3220089856),
    "oft/llama-3.2-3B-rank32": (8171520, 3220921344),
    "peanut/llama-3.2-3B-rank1-relu-depth0-s32.0": (229376, 3212979200),
    "prefixtuning/llama-3.2-3B-lr_0.001": (11468800, 3224218624),
    "prefixtuning/llama-3.2-3B-tokens50-init_prefix-lr_0.005": (2867200, 3215617024),
    "prompt_tuning/llama-3.2-3B-lr_0.001": (614400, 3213364224),
    "psoft/llama-3.2-3B-default": (1856512, 3214606336),
    "ptuning/llama-3.2-3B-default": (28382208, 3241132032),
    "pvera/llama-3.2-3B-rank64": (121856, 3212871680),
    "road/llama-3.2-3B-lr_0.001": (229376, 3212979200),
    "tinylora/llama-3.2-3B-default": (3584, 3212753408),
    "trainable_tokens/llama-3.2-3B-sos+eos": (6144, 3212755968),
    "vblora/llama-3.2-3B-default": (1212416, 3213962240),
    "waveft/llama-3.2-3B-n_frequency-5000": (280000, 3213029824),
}
