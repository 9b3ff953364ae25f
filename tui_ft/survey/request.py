"""What is to be found out about which data set, and where the answer is kept.

An answer is kept for as long as the files it was read from stay as they are, so that a data set is
read once, however often it is looked at.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.hub import locate_model
from tui_ft.hub.outputs import folder_of
from tui_ft.spec.chat_templates import template_file
from tui_ft.survey.folder import surveys_dir
from tui_ft.survey.helpers import Extra, encoder_folder, require
from tui_ft.vocabulary import FormatName, LossOn

FORMAT_OF_ANSWERS: Final = 3
"""Raised when the files of an answer change: older ones are then made anew."""

REQUEST_FILE: Final = "request.json"
"""Beside an answer: what was asked, without the tokens."""

_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class TokenRequest(msgspec.Struct, frozen=True):
    """Count tokens as a model sees them.

    Attributes:
        model: a local folder, or the id of a model that is in the Hub's cache.
        chat_template: in place of the tokenizer's own, as a run says it.
        loss_on: which tokens carry loss.
    """

    model: str
    chat_template: str | None = None
    loss_on: LossOn = "assistant"

    def folder(self) -> Path:
        """Return the folder with the model's tokenizer.

        Raises:
            DataError: there is none on this machine.
        """
        found = locate_model(self.model)
        # An adapter's own comes before its base's: the chat template may be another.
        if found.adapter is not None and (found.adapter.folder / _TOKENIZER_FILES[0]).is_file():
            return found.adapter.folder
        if found.path is None or not (found.path / _TOKENIZER_FILES[0]).is_file():
            # The tokenizer alone will do: weights need not be there.
            local = folder_of(self.model)
            if (local / _TOKENIZER_FILES[0]).is_file():
                return local
            raise DataError(_no_tokenizer(self.model, local))
        return found.path


class Request(msgspec.Struct, frozen=True):
    """Survey a data set.

    Attributes:
        path: a file, or a folder of files.
        format: how a row is read; `auto` finds it.
        columns: which column plays which part.
        eval: a file to compare with, for overlap.
        near: look for near duplicates as well.
        tokens: count tokens as well.
        embed: an encoder's folder or id in the Hub's cache, to find what means the same.
        pii: look for personal data with presidio.
        toxicity: look for offensive language with profanity-check.
    """

    path: str
    format: Literal["auto", FormatName] = "auto"
    columns: dict[str, str] = {}
    eval: str | None = None
    near: bool = True
    tokens: TokenRequest | None = None
    embed: str | None = None
    pii: bool = False
    toxicity: bool = False

    @property
    def extras(self) -> tuple[Extra, ...]:
        """The libraries of extras that are asked for."""
        asked: tuple[tuple[Extra, bool], ...] = (("pii", self.pii), ("toxicity", self.toxicity))
        return tuple(extra for extra, wanted in asked if wanted)

    def encoder(self) -> Path | None:
        """Return the encoder's folder; None if none is asked for.

        Raises:
            DataError: there is no such encoder on this machine.
        """
        return None if self.embed is None else encoder_folder(self.embed)

    def folder(self) -> Path:
        """Return the folder of the answer: the same for the same question about the same bytes.

        Raises:
            DataError: there is no such file or encoder, or a library is not installed.
        """
        for extra in self.extras:
            require(extra)
        encoder = self.encoder()
        asked = (FORMAT_OF_ANSWERS, self.format, sorted(self.columns.items()), self.near)
        return surveys_dir() / _digest(
            asked,
            _stamps(self.path),
            self.eval and _stamps(self.eval),
            encoder and _stamps(str(encoder)),
            self.extras,
        )

    def token_folder(self) -> Path | None:
        """Return the folder of the tokens' answer, inside the other; None if not asked for.

        Raises:
            DataError: there is no such model, or no such file.
        """
        if self.tokens is None:
            return None
        model = self.tokens.folder()
        stamps = [_stamp(model / name) for name in _TOKENIZER_FILES if (model / name).exists()]
        template = self.tokens.chat_template and _stamp(template_file(self.tokens.chat_template))
        key = _digest(FORMAT_OF_ANSWERS, stamps, template, self.tokens.loss_on)
        return self.folder() / f"tokens-{key}"


def read_request(folder: Path) -> Request | None:
    """Return what was asked of the survey in ``folder``; None where nobody wrote it down."""
    try:
        return msgspec.json.decode((folder / REQUEST_FILE).read_bytes(), type=Request)
    except (OSError, msgspec.MsgspecError):
        return None


def _no_tokenizer(model: str, local: Path) -> str:
    if not local.is_dir():
        return (
            f"there is no folder {model}, and no model of that name in the Hub's cache; "
            "training fetches models, or give the folder of one"
        )
    return (
        f"{model} has no tokenizer.json, so its tokens cannot be shown. transformers writes one: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
    )


def _stamps(path: str) -> list[tuple[str, int, int]]:
    whole = paths.expand(path)
    if whole.is_dir():
        return [_stamp(file) for file in sorted(whole.rglob("*")) if file.is_file()]
    return [_stamp(whole)]


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    return str(file.resolve()), status.st_size, status.st_mtime_ns


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
