"""Well-known models as facts, so that they can be counted without the Hub.

A JSON file a family: the ids that share a configuration, with what each is (`base`, or `chat`: it
was trained to answer, and has a chat template), licence, how access is granted, and the values of
config.json that say what the model is. `parameters` is the published count, where one is known.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Final, Literal

import msgspec

_HERE: Final = resources.files(__name__)


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ids: dict[str, Literal["base", "chat"]]
    licence: str
    gated: Literal["auto", "manual", False] | None
    parameters: int | None
    config: dict[str, Any]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: list[_Model]


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A well-known model.

    Attributes:
        id: its name on the Hub.
        chat: it has a chat template.
        licence: as its page on the Hub names it.
        gated: how access is granted: False is freely, None is not known.
        parameters: the count that its makers publish, None where it is not known here.
        config: values of its config.json, as far as they say what it is.
        family: the file that it stands in.
    """

    id: str
    chat: bool
    licence: str
    gated: Literal["auto", "manual", False] | None
    parameters: int | None
    config: dict[str, Any]
    family: str

    @property
    def source(self) -> str:
        """The page that the values are from."""
        return f"https://huggingface.co/{self.id}/blob/main/config.json"


def catalogue_entry(name: str) -> CatalogueEntry | None:
    """Return what is known of a model with this id, whatever its case; None if nothing is."""
    return catalogue().get(name.casefold())


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Return all entries, by their ids in lower case. Takes some milliseconds, once."""
    entries = {}
    for file in sorted(_HERE.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".json"):
            continue
        for model in msgspec.json.decode(file.read_bytes(), type=_File).models:
            for name, kind in model.ids.items():
                entries[name.casefold()] = CatalogueEntry(
                    id=name,
                    chat=kind == "chat",
                    licence=model.licence,
                    gated=model.gated,
                    parameters=model.parameters,
                    config=model.config,
                    family=file.name.removesuffix(".json"),
                )
    return entries
