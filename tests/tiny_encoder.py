"""A real encoder so small that it is made on the spot: BERT with 2 layers and a word tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def make_tiny_encoder(
    folder: Path, words: Sequence[str], synonyms: Mapping[str, str], width: int = 32
) -> Path:
    """Make the model and its tokenizer in ``folder``; return it.

    Args:
        words: the vocabulary; every other word is `[UNK]`.
        synonyms: word -> the word whose embedding it gets, so that both mean the same to it.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    model = BertModel(config)
    with torch.no_grad():
        table = model.embeddings.word_embeddings.weight
        for word, like in synonyms.items():
            table[vocabulary[word]] = table[vocabulary[like]]
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
