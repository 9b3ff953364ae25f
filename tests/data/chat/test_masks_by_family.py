"""Masks token by token, written out by hand, for the chat templates of real model families."""

from __future__ import annotations

import pytest

from tests.data.chats import (
    Tokenizers,
    assistant,
    chat,
    given,
    learned,
    masked,
    refused,
    system,
    tokens,
    user,
)
from tui_ft.data import Conversation

ONE = chat(user("Hi"), assistant("Hello there"))
TWO = chat(user("Hi"), assistant("Hello"), user("More please"), assistant("Sure"))
TOLD = chat(
    system("Be brief"), user("Hi"), assistant("Hello"), user("More please"), assistant("Sure")
)

_DEEPSEEK = "<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"
_BEGIN, _USER, _ASSISTANT, _END = _DEEPSEEK

CASES: dict[str, tuple[str, Conversation, list[tuple[str, bool]]]] = {
    "ChatML, one turn with system": (
        "smollm2",
        chat(system("Be brief"), user("Hi"), assistant("Hello there")),
        given("<|im_start|>", "system", "\n", "Be", " brief", "<|im_end|>", "\n")
        + given("<|im_start|>", "user", "\n", "Hi", "<|im_end|>", "\n")
        + given("<|im_start|>", "assistant", "\n")
        + learned("Hello", " there", "<|im_end|>")
        + given("\n"),
    ),
    "ChatML, two turns": (
        "generation",
        TWO,
        given("<|im_start|>", "user", "\n", "Hi", "<|im_end|>", "\n")
        + given("<|im_start|>", "assistant", "\n")
        + learned("Hello", "<|im_end|>")
        + given("\n", "<|im_start|>", "user", "\n", "More", " please", "<|im_end|>", "\n")
        + given("<|im_start|>", "assistant", "\n")
        + learned("Sure", "<|im_end|>")
        + given("\n"),
    ),
    "Llama 3, one turn": (
        "llama3",
        ONE,
        given("<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>")
        + given("\n", "\n", "Hi", "<|eot_id|>")
        + given("<|start_header_id|>", "assistant", "<|end_header_id|>", "\n", "\n")
        + learned("Hello", " there", "<|eot_id|>"),
    ),
    "Llama 3, two turns with system": (
        "llama3",
        TOLD,
        given("<|begin_of_text|>", "<|start_header_id|>", "system", "<|end_header_id|>")
        + given("\n", "\n", "Be", " brief", "<|eot_id|>")
        + given("<|start_header_id|>", "user", "<|end_header_id|>", "\n", "\n", "Hi", "<|eot_id|>")
        + given("<|start_header_id|>", "assistant", "<|end_header_id|>", "\n", "\n")
        + learned("Hello", "<|eot_id|>")
        + given("<|start_header_id|>", "user", "<|end_header_id|>")
        + given("\n", "\n", "More", " please", "<|eot_id|>")
        + given("<|start_header_id|>", "assistant", "<|end_header_id|>", "\n", "\n")
        + learned("Sure", "<|eot_id|>"),
    ),
    # There is no generation prompt: the model writes the space after [/INST], and the one before
    # its end.
    "Llama 2, one turn": (
        "llama2",
        ONE,
        given("<s>", "[", "INST", "]", " Hi", " ", "[", "/", "INST", "]")
        + learned(" Hello", " there", " ", "</s>"),
    ),
    "Llama 2, two turns with system": (
        "llama2",
        TOLD,
        given("<s>", "[", "INST", "]", " ", "<<", "SYS", ">>", "\n", "Be", " brief", "\n")
        + given("<<", "/", "SYS", ">>", "\n", "\n", "Hi", " ", "[", "/", "INST", "]")
        + learned(" Hello", " ", "</s>")
        + given("<s>", "[", "INST", "]", " More", " please", " ", "[", "/", "INST", "]")
        + learned(" Sure", " ", "</s>"),
    ),
    "Gemma, two turns": (
        "gemma",
        TWO,
        given("<bos>", "<start_of_turn>", "user", "\n", "Hi", "<end_of_turn>", "\n")
        + given("<start_of_turn>", "model", "\n")
        + learned("Hello", "<end_of_turn>")
        + given("\n", "<start_of_turn>", "user", "\n", "More", " please", "<end_of_turn>", "\n")
        + given("<start_of_turn>", "model", "\n")
        + learned("Sure", "<end_of_turn>")
        + given("\n"),
    ),
    "Gemma 3, the system message goes into the user's": (
        "gemma3",
        TOLD,
        given("<bos>", "<start_of_turn>", "user", "\n", "Be", " brief", "\n", "\n", "Hi")
        + given("<end_of_turn>", "\n", "<start_of_turn>", "model", "\n")
        + learned("Hello", "<end_of_turn>")
        + given("\n", "<start_of_turn>", "user", "\n", "More", " please", "<end_of_turn>", "\n")
        + given("<start_of_turn>", "model", "\n")
        + learned("Sure", "<end_of_turn>")
        + given("\n"),
    ),
    # The space after </s> belongs to nobody.
    "Mistral v1, two turns": (
        "mistral_v1",
        TWO,
        given("<s>", "[", "INST", "]", " Hi", " ", "[", "/", "INST", "]")
        + learned("Hello", "</s>")
        + given(" ", "[", "INST", "]", " More", " please", " ", "[", "/", "INST", "]")
        + learned("Sure", "</s>")
        + given(" "),
    ),
    "Mistral v3, the model writes the space": (
        "mistral_v3",
        TWO,
        given("<s>", "[INST]", " Hi", "[/INST]")
        + learned(" Hello", "</s>")
        + given("[INST]", " More", " please", "[/INST]")
        + learned(" Sure", "</s>"),
    ),
    # Phi-3's tokens swallow the line break after them. It stops at <|end|>; eos stands once, at the
    # very end, and is never generated.
    "Phi-3, two turns with system": (
        "phi3",
        TOLD,
        given("<|system|>", "Be", " brief", "<|end|>", "<|user|>", "Hi", "<|end|>")
        + given("<|assistant|>")
        + learned("Hello", "<|end|>")
        + given("<|user|>", "More", " please", "<|end|>", "<|assistant|>")
        + learned("Sure", "<|end|>")
        + given("<|endoftext|>"),
    ),
    "Phi-4, two turns with system": (
        "phi4",
        TOLD,
        given("<|im_start|>", "system", "<|im_sep|>", "Be", " brief", "<|im_end|>")
        + given("<|im_start|>", "user", "<|im_sep|>", "Hi", "<|im_end|>")
        + given("<|im_start|>", "assistant", "<|im_sep|>")
        + learned("Hello", "<|im_end|>")
        + given("<|im_start|>", "user", "<|im_sep|>", "More", " please", "<|im_end|>")
        + given("<|im_start|>", "assistant", "<|im_sep|>")
        + learned("Sure", "<|im_end|>"),
    ),
    # The model opens the block of thoughts itself, so an empty one is learned with the last answer;
    # past answers are shown without.
    "Qwen3, two turns with system": (
        "qwen3",
        TOLD,
        given("<|im_start|>", "system", "\n", "Be", " brief", "<|im_end|>", "\n")
        + given("<|im_start|>", "user", "\n", "Hi", "<|im_end|>", "\n")
        + given("<|im_start|>", "assistant", "\n")
        + learned("Hello", "<|im_end|>")
        + given("\n", "<|im_start|>", "user", "\n", "More", " please", "<|im_end|>", "\n")
        + given("<|im_start|>", "assistant", "\n")
        + learned("<", "think", ">", "\n", "\n", "</", "think", ">", "\n", "\n")
        + learned("Sure", "<|im_end|>")
        + given("\n"),
    ),
    "Zephyr, two turns with system": (
        "zephyr",
        TOLD,
        given("<", "|", "system", "|", ">", "\n", "Be", " brief", "</s>", "\n")
        + given("<", "|", "user", "|", ">", "\n", "Hi", "</s>", "\n")
        + given("<", "|", "assistant", "|", ">", "\n")
        + learned("Hello", "</s>")
        + given("\n", "<", "|", "user", "|", ">", "\n", "More", " please", "</s>", "\n")
        + given("<", "|", "assistant", "|", ">", "\n")
        + learned("Sure", "</s>")
        + given("\n"),
    ),
    # At inference the prompt ends with <think>; in the text of the template it does not.
    "DeepSeek R1, two turns with system": (
        "deepseek_r1",
        TOLD,
        given(_BEGIN, "Be", " brief", _USER, "Hi", _ASSISTANT)
        + learned("Hello", _END)
        + given(_USER, "More", " please", _ASSISTANT)
        + learned("Sure", _END),
    ),
    # <|user|> is what ends an answer of GLM-4, when another message follows it.
    "GLM-4, two turns with system": (
        "glm4",
        TOLD,
        given("[gMASK]", "<sop>", "<|system|>", "\n", "Be", " brief")
        + given("<|user|>", "\n", "Hi", "<|assistant|>")
        + learned("\n", "Hello", "<|user|>")
        + given("\n", "More", " please", "<|assistant|>")
        + learned("\n", "Sure"),
    ),
    "Command R7B, two tokens end a turn": (
        "command_r7b",
        ONE,
        given("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "Hi")
        + given("<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>")
        + learned("<|START_RESPONSE|>", "Hello", " there")
        + learned("<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>"),
    ),
    "Alpaca's plain text, no special token": (
        "alpaca_plain",
        TWO,
        given("###", " Instruction", ":", "\n", "Hi", "\n", "\n", "###", " Response", ":", "\n")
        + learned("Hello")
        + given("\n", "\n", "###", " Instruction", ":", "\n", "More", " please", "\n", "\n")
        + given("###", " Response", ":", "\n")
        + learned("Sure")
        + given("\n\n"),
    ),
    # " Hello" begins with the prompt's last space; it is learned, or nothing of a one-word answer
    # would be.
    "Vicuna, no generation prompt, one token over the border": (
        "vicuna",
        ONE,
        given("USER", ":", " Hi", " ASSISTANT", ":") + learned(" Hello", " there", "</s>"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_mask_token_by_token(name: str, tokenizers: Tokenizers) -> None:
    family, conversation, expected = CASES[name]
    tokenizer = tokenizers[family]
    assert tokens(masked(conversation, tokenizer), tokenizer) == expected


@pytest.mark.parametrize("family", ["smollm2", "qwen2_5"])
def test_a_default_system_message_is_not_learned(family: str, tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers[family]
    row = masked(ONE, tokenizer)
    assert row.text.startswith("<|im_start|>system\nYou are ")
    expected = learned("Hello", " there", "<|im_end|>") + given("\n")
    assert tokens(row, tokenizer)[-4:] == expected
    assert row.supervised_count == 3


@pytest.mark.parametrize(
    ("family", "conversation", "reason"),
    [
        ("gemma", TOLD, "System role not supported"),
        ("mistral_v1", TOLD, "Conversation roles must alternate"),
        ("llama2", chat(user("Hi"), user("Hi"), assistant("yes")), "Conversation roles must"),
        ("gemma3", chat(assistant("yes")), "Conversation roles must alternate"),
    ],
)
def test_a_template_that_refuses_is_quoted(
    family: str, conversation: Conversation, reason: str, tokenizers: Tokenizers
) -> None:
    said = refused(conversation, tokenizers[family])
    assert said.startswith(f"the chat template refuses it: {reason}")


@pytest.mark.parametrize(
    ("family", "end"),
    [
        ("smollm2", "<|im_end|>"),
        ("llama3", "<|eot_id|>"),
        ("llama2", "</s>"),
        ("gemma", "<end_of_turn>"),
        ("mistral_v3", "</s>"),
        ("phi3", "<|end|>"),
        ("phi4", "<|im_end|>"),
        ("zephyr", "</s>"),
        ("command_r7b", "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
        ("glm4", ""),
        ("alpaca_plain", ""),
    ],
)
def test_the_end_of_turn_is_reported(family: str, end: str, tokenizers: Tokenizers) -> None:
    row = masked(ONE, tokenizers[family])
    assert [turn.end_of_turn for turn in row.turns] == [end]
    assert row.ends_turn is bool(end)
    assert row.unended == (0 if end else 1)


def test_padding_that_is_the_end_of_turn_is_still_learned(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["smollm2"]
    row = masked(ONE, tokenizer)
    end = tokenizer.encode("<|im_end|>").ids[0]
    places = [n for n, number in enumerate(row.input_ids) if number == end]
    assert [row.supervised[n] for n in places] == [False, False, True]
