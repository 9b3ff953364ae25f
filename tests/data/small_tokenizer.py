"""A byte-level BPE tokenizer small enough to know by heart, and model folders made of it.

It knows the words below whole, with and without a space before them; everything else falls apart
into bytes. So the tokens that a test expects can be written down by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer

TEMPLATES = Path(__file__).parent / "templates"

# fmt: off
_WORDS = (
    "Hello", "there", "Hi", "More", "please", "Sure", "Be", "brief",
    "yes", "no", "user", "assistant", "system", "model", "named", "You",
    "are", "a", "helpful", "Instruction", "Response", "USER", "ASSISTANT", "INST",
    "SYS", "think", "well", "hmm", "final", "answer", "is", "the",
)
# fmt: on
_JOINED = ("\n\n", "###", "<<", ">>", "</", "]", "ab")


@dataclass(frozen=True)
class Family:
    """What sets the tokenizers and templates of a model family apart, for a mask."""

    template: str
    special: Sequence[str | AddedToken]
    eos: str
    bos: str | None = None
    adds_bos: bool = False
    stop: Sequence[str] = ()
    pad: str | None = None
    trim_offsets: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def build_tokenizer(family: Family) -> Tokenizer:
    """Return the tokenizer of a family."""
    vocabulary = {symbol: n for n, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in (*_JOINED, *(f" {word}" for word in _WORDS), *_WORDS):
        _learn(word, vocabulary, merges)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([_special(token) for token in family.special])
    level = processors.ByteLevel(trim_offsets=family.trim_offsets)
    if family.adds_bos and family.bos is not None:
        number = tokenizer.token_to_id(family.bos)
        single = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, number)]
        )
        tokenizer.post_processor = processors.Sequence([level, single])
    else:
        tokenizer.post_processor = level
    return tokenizer


def _special(token: str | AddedToken) -> AddedToken:
    if isinstance(token, AddedToken):
        return token
    return AddedToken(token, special=True, normalized=False)


def _learn(word: str, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """Add the merges that make one token of ``word``, from left to right."""
    whole_word = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    symbols = whole_word.pre_tokenize_str(word)[0][0]
    so_far = symbols[0]
    for symbol in symbols[1:]:
        if (so_far, symbol) not in merges:
            merges.append((so_far, symbol))
        so_far += symbol
        vocabulary.setdefault(so_far, len(vocabulary))


def write_model_folder(folder: Path, family: Family) -> Path:
    """Write the files of a model that a tokenizer is read from, as transformers saves them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(family)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": family.eos, "bos_token": family.bos, "pad_token": family.pad}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{name: token for name, token in named.items() if token is not None},
        **family.extra,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(family.template, encoding="utf-8")
    stop = [tokenizer.token_to_id(token) for token in (family.eos, *family.stop)]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stop}))
    return folder


def load_family(folder: Path, family: Family) -> LocalChatTokenizer:
    """Write and read back a family's tokenizer."""
    return load_chat_tokenizer(write_model_folder(folder, family))


def read_template(name: str) -> str:
    """Return a template as the model has it."""
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
