"""Chat-template styles of real models, with the special tokens and habits of their tokenizers."""

from __future__ import annotations

from tokenizers import AddedToken

from tests.data.small_tokenizer import Family, read_template


def _stripping(token: str) -> AddedToken:
    """Return a special token that swallows the white space after it, as Phi-3's do."""
    return AddedToken(token, special=True, normalized=False, rstrip=True)


_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_LLAMA = ("<unk>", "<s>", "</s>")

FAMILIES: dict[str, Family] = {
    # Padding and end of turn are one token, offsets are trimmed, BOS is the opening of a turn.
    "smollm2": Family(
        read_template("smollm2"),
        _CHATML,
        eos="<|im_end|>",
        bos="<|im_start|>",
        pad="<|im_end|>",
        trim_offsets=True,
    ),
    "qwen2_5": Family(read_template("qwen2_5"), _CHATML, eos="<|im_end|>", stop=("<|endoftext|>",)),
    "qwen3": Family(read_template("qwen3"), _CHATML, eos="<|im_end|>", stop=("<|endoftext|>",)),
    "llama3": Family(
        read_template("llama3"),
        (
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eom_id|>",
            "<|eot_id|>",
        ),
        eos="<|eot_id|>",
        bos="<|begin_of_text|>",
        adds_bos=True,
        stop=("<|end_of_text|>", "<|eom_id|>"),
    ),
    "llama2": Family(read_template("llama2"), _LLAMA, eos="</s>", bos="<s>", adds_bos=True),
    "gemma": Family(
        read_template("gemma"),
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        eos="<eos>",
        bos="<bos>",
        adds_bos=True,
    ),
    "gemma3": Family(
        read_template("gemma3"),
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        eos="<eos>",
        bos="<bos>",
        adds_bos=True,
        stop=("<end_of_turn>",),
    ),
    "mistral_v1": Family(read_template("mistral_v1"), _LLAMA, eos="</s>", bos="<s>", adds_bos=True),
    "mistral_v3": Family(
        read_template("mistral_v3"),
        (
            *_LLAMA,
            "[INST]",
            "[/INST]",
            "[TOOL_CALLS]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
        ),
        eos="</s>",
        bos="<s>",
        adds_bos=True,
    ),
    "phi3": Family(
        read_template("phi3"),
        (
            "<|endoftext|>",
            _stripping("<|end|>"),
            _stripping("<|user|>"),
            _stripping("<|system|>"),
            _stripping("<|assistant|>"),
        ),
        eos="<|endoftext|>",
        bos="<s>",
        stop=("<|end|>",),
    ),
    "phi4": Family(
        read_template("phi4"), (*_CHATML, "<|im_sep|>"), eos="<|im_end|>", bos="<|endoftext|>"
    ),
    "zephyr": Family(read_template("zephyr"), _LLAMA, eos="</s>", bos="<s>", adds_bos=True),
    "deepseek_r1": Family(
        read_template("deepseek_r1"),
        (
            "<｜begin▁of▁sentence｜>",
            "<｜end▁of▁sentence｜>",
            "<｜User｜>",
            "<｜Assistant｜>",
        ),
        eos="<｜end▁of▁sentence｜>",
        bos="<｜begin▁of▁sentence｜>",
        adds_bos=True,
    ),
    "glm4": Family(
        read_template("glm4"),
        ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        eos="<|endoftext|>",
        stop=("<|user|>",),
    ),
    "command_r7b": Family(
        read_template("command_r7b"),
        (
            "<BOS_TOKEN>",
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>",
        ),
        eos="<|END_OF_TURN_TOKEN|>",
        bos="<BOS_TOKEN>",
        adds_bos=True,
    ),
    "generation": Family(read_template("generation"), _CHATML, eos="<|im_end|>"),
    # Plain text: nothing tells where a turn ends.
    "alpaca_plain": Family(read_template("alpaca_plain"), _LLAMA, eos="</s>", bos="<s>"),
    # No generation prompt, and the prompt ends within what a tokenizer makes one token.
    "vicuna": Family(read_template("vicuna"), _LLAMA, eos="</s>", bos="<s>", adds_bos=True),
}
