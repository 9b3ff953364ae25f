"""A model folder's tokenizer and chat template, read without transformers.

For the preview and the app, which must not import transformers: `tokenizer.json` through the
`tokenizers` library, special tokens and template from the files beside it, with the precedence that
transformers 5 gives them. Text and ids are the same as transformers' for tokenizers that have a
`tokenizer.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from tui_ft import text
from tui_ft.data.chat.protocol import Encoded, Span, TemplateError
from tui_ft.data.items import Message
from tui_ft.data.problems import DataError

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import AddedToken, Encoding, Tokenizer

_NAMED: Final = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_EXTRA: Final = ("extra_special_tokens", "additional_special_tokens")


class LocalChatTokenizer:
    """A tokenizer from a local folder, as a `ChatTokenizer`."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        named_tokens: Mapping[str, str],
        templates: Mapping[str, str],
        stop_ids: Sequence[int] = (),
    ) -> None:
        """Wrap a tokenizer; `load_chat_tokenizer` reads one from a folder.

        Args:
            tokenizer: what encodes; truncation and padding are turned off.
            named_tokens: `bos_token`, `eos_token`, … to text, as templates use them.
            templates: name to source; `default`, and `tool_use` when there is one for tools.
            stop_ids: ids that end a generation beside eos.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._named = dict(named_tokens)
        self._sources = dict(templates)
        self._compiled: dict[str, Template] = {}
        self._stop_ids = tuple(stop_ids)

    @cached_property
    def special_tokens(self) -> frozenset[str]:
        """Every special token, as text."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        special = {token.content for token in added if token.special}
        return frozenset({*special, *self._named.values()} - {""})

    @property
    def eos_token(self) -> str | None:
        """The end-of-sequence token, as text."""
        return self._named.get("eos_token")

    @cached_property
    def bos_token(self) -> str | None:
        """The token that the tokenizer itself puts before a text; None when it puts none."""
        bos = self._named.get("bos_token")
        first = self._tokenizer.encode("a").ids[:1]
        return bos if bos and first == [self._tokenizer.token_to_id(bos)] else None

    @cached_property
    def stop_tokens(self) -> frozenset[str]:
        """The tokens that end a generation."""
        named = (self._tokenizer.id_to_token(number) for number in self._stop_ids)
        return frozenset(token for token in (*named, self.eos_token) if token)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Any] | None = None,
    ) -> str:
        """Return the conversation through the chat template.

        Raises:
            TemplateError: there is no template, or it refuses these messages.
        """
        from tui_ft.data.chat.template import render_template

        template = self._template(bool(tools))
        try:
            return render_template(
                template,
                messages,
                add_generation_prompt=add_generation_prompt,
                tools=tools,
                special_tokens=self._named,
            )
        except Exception as error:  # a template is a program of somebody else: anything may come
            raise TemplateError(text.one_line(str(error), 300) or type(error).__name__) from None

    def encode(self, text: str) -> Encoded:
        """Return the tokens of ``text``, with no special token added."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoded(encoding.ids, encoding.offsets)

    def spans(self, texts: Sequence[str]) -> list[LocalSpans]:
        """Return where the tokens of texts stand: sooner than `encode`, which lists them all."""
        batch = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [LocalSpans(encoding) for encoding in batch]

    def _template(self, with_tools: bool) -> Template:
        from jinja2 import TemplateSyntaxError

        from tui_ft.data.chat.template import compile_template

        name = "tool_use" if with_tools and "tool_use" in self._sources else "default"
        if name in self._compiled:
            return self._compiled[name]
        if name not in self._sources:
            raise TemplateError(
                "the tokenizer has none; use a model tuned for chat, or give one with "
                "model.chat_template"
            )
        try:
            self._compiled[name] = compile_template(self._sources[name])
        except TemplateSyntaxError as error:
            raise TemplateError(
                f"the template is not valid in line {error.lineno}: {error.message}"
            ) from None
        return self._compiled[name]


class LocalSpans:
    """Tokens of a text, as `TokenSpans`."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def __len__(self) -> int:
        """Return how many tokens there are."""
        return len(self._encoding)

    def span(self, token: int) -> Span:
        """Return the characters of a token."""
        return self._encoding.token_to_chars(token) or (0, 0)

    def at(self, character: int) -> int | None:
        """Return the first token that holds a character; None for white space in no token."""
        return self._encoding.char_to_token(character)


def load_chat_tokenizer(folder: Path, chat_template: Path | None = None) -> LocalChatTokenizer:
    """Read the tokenizer and the chat template of a model folder.

    Args:
        folder: holds `tokenizer.json`, and beside it `tokenizer_config.json`,
            `special_tokens_map.json`, `chat_template.jinja`, `generation_config.json`, if at all.
        chat_template: a Jinja file that replaces the folder's own template.

    Raises:
        DataError: there is no `tokenizer.json`, or a file cannot be read.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise DataError(
            f"{folder} has no tokenizer.json, so its tokens cannot be shown. transformers writes "
            "one: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises Exception itself
        raise DataError(f"{file} cannot be read: {error}") from None
    config = _load_object(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in config:
        config |= _load_object(folder / "special_tokens_map.json")
    named = {name: _content(config[name]) for name in _NAMED if config.get(name)}
    _add_missing_tokens(tokenizer, config, named)
    generation = _load_object(folder / "generation_config.json").get("eos_token_id")
    stop_ids = generation if isinstance(generation, list) else [generation]
    return LocalChatTokenizer(
        tokenizer,
        named,
        _read_templates(folder, config, chat_template),
        [number for number in stop_ids if isinstance(number, int)],
    )


def _load_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one when there is no file."""
    try:
        value = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    return value if isinstance(value, dict) else {}


def _content(token: object) -> str:
    """Return a token's text; configurations hold it bare, or as an object with its properties."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _add_missing_tokens(
    tokenizer: Tokenizer, config: Mapping[str, Any], named: Mapping[str, str]
) -> None:
    """Make known to ``tokenizer`` what only the configuration declares to be a token."""
    from tokenizers import AddedToken

    held = tokenizer.get_added_tokens_decoder()
    declared = config.get("added_tokens_decoder") or {}
    for number, properties in sorted(declared.items(), key=lambda item: int(item[0])):
        token = AddedToken(**{k: v for k, v in properties.items() if k != "__type"})
        if int(number) not in held or not _same(held[int(number)], token):
            tokenizer.add_tokens([token])
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    extra = [value for name in _EXTRA for value in _values(config.get(name))]
    missing = [t for t in dict.fromkeys((*named.values(), *map(_content, extra))) if t not in known]
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in missing])


def _same(one: AddedToken, other: AddedToken) -> bool:
    return repr(one) == repr(other)


def _values(tokens: object) -> list[Any]:
    if isinstance(tokens, dict):
        return list(tokens.values())
    return list(tokens) if isinstance(tokens, list) else []


def _read_templates(
    folder: Path, config: Mapping[str, Any], replacement: Path | None
) -> dict[str, str]:
    """Return the templates by name. Files win over the configuration, as in transformers."""
    if replacement is not None:
        return {"default": _read_text(replacement)}
    files = {"default": folder / "chat_template.jinja"}
    extra = folder / "additional_chat_templates"
    if extra.is_dir():
        files |= {file.stem: file for file in sorted(extra.glob("*.jinja"))}
    found = {name: _read_text(file) for name, file in files.items() if file.is_file()}
    if found:
        return found
    inline = config.get("chat_template")
    if isinstance(inline, str):
        return {"default": inline}
    named = [entry for entry in inline or () if isinstance(entry, dict)]
    return {str(entry.get("name")): str(entry.get("template")) for entry in named}


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the chat template {file} cannot be read: {error}") from None
