"""A real Llama so small that it trains in seconds, with a tokenizer and template of its own."""

from __future__ import annotations

import json
import random
from pathlib import Path

CHATML = (
    "{%- for m in messages %}"
    "{{- '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
_NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"]
_THINGS = ["apple", "banana", "carrot", "date", "egg", "fig", "grape", "honey"]
_COLOURS = ["red", "green", "blue", "yellow", "black", "white"]


def chat_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return rows in the messages format: simple questions with answers that can be learned."""
    chance = random.Random(seed)
    rows: list[dict[str, object]] = []
    for _ in range(count):
        name, thing = chance.choice(_NAMES), chance.choice(_THINGS)
        colour = _COLOURS[(len(name) + len(thing)) % len(_COLOURS)]
        question = f"What colour is the {thing} of {name}?"
        answer = f"The {thing} of {name} is {colour}."
        rows.append(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    return rows


def pair_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return preferences: an answer that says the colour over one that knows nothing."""
    rows: list[dict[str, object]] = []
    for row in chat_rows(count, seed):
        messages = row["messages"]
        assert isinstance(messages, list)
        question, answer = messages
        no_answer = {"role": "assistant", "content": "Nobody has told me that."}
        rows.append({"prompt": [question], "chosen": [answer], "rejected": [no_answer]})
    return rows


def judged_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return the answers of `pair_rows` one by one, the good ones first and then the bad ones."""
    pairs = pair_rows(count // 2, seed)
    return [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for side in ("chosen", "rejected")
        for row in pairs
    ]


def labelled_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return sentences with a class that a word of theirs tells."""
    chance = random.Random(seed)
    classes = {"fruit": ("apple", "banana", "fig"), "vegetable": ("carrot",), "sweet": ("honey",)}
    words = [(word, name) for name, known in classes.items() for word in known]
    rows: list[dict[str, object]] = []
    for _ in range(count):
        word, name = chance.choice(words)
        text = f"{chance.choice(_NAMES)} has a {chance.choice(_COLOURS)} {word} today"
        rows.append({"text": text, "label": name})
    return rows


def text_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return plain texts of several sentences, longer than a row of 64 tokens."""
    rows = chat_rows(count * 24, seed)
    said = [row["messages"][1]["content"] for row in rows]  # type: ignore[index]
    return [{"text": " ".join(said[n * 24 : n * 24 + 24])} for n in range(count)]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as JSONL; return the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_tiny_llama(folder: Path) -> Path:
    """Make the model (2 layers, hidden size 64) and its tokenizer in ``folder``; return it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    texts = [str(message) for row in chat_rows(500) for message in [row["messages"]]]
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
    )
    fast.chat_template = CHATML
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_tiny_bert(folder: Path) -> Path:
    """Make an encoder (2 layers, hidden size 64) and its tokenizer in ``folder``; return it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([str(row["text"]) for row in labelled_rows(500)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
