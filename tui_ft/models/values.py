"""The values of a config.json as transformers reads them: other names, defaults, types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui_ft import text


class ArchitectureError(ValueError):
    """A configuration from which no architecture can be told; the message is for people."""


class Values:
    """Values by transformers' own names.

    A key that is missing has its family's default; one that is null has none, and whoever reads it
    says what then holds.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        defaults: Mapping[str, Any],
        aliases: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.model_type = str(config.get("model_type", ""))
        self._config = config
        self._defaults = defaults
        self._aliases = aliases

    def raw(self, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
        """Return a value; None where it is null or unknown."""
        keys = (name, *self._aliases.get(name, ()))
        for known in (self._config, self._defaults):
            for key in keys:
                if key in known:
                    return known[key]
        return None

    def size(self, name: str) -> int:
        """Return a positive whole number.

        Raises:
            ArchitectureError: it is missing, or none.
        """
        found = self.optional_size(name)
        if found is None:
            known = " or ".join(f"`{key}`" for key in (name, *self._aliases.get(name, ())))
            raise ArchitectureError(
                f"the configuration of this {self.model_type} model lacks {known}: "
                "without it its parameters cannot be counted"
            )
        return found

    def optional_size(self, name: str) -> int | None:
        """Return a positive whole number; None where it is null or 0, or missing without default.

        Raises:
            ArchitectureError: it is no such number.
        """
        value = self.raw(name)
        if value is None or value is False or value == 0:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            shown = text.one_line(repr(value), 40)
            raise ArchitectureError(f"`{name}` of the configuration is {shown}, and no number")
        return value

    def flag(self, name: str) -> bool:
        """Return a yes or no; null is no."""
        return bool(self.raw(name))

    def word(self, name: str, otherwise: str = "") -> str:
        """Return a text, such as the name of an activation."""
        value = self.raw(name)
        return text.one_line(value, 40) if isinstance(value, str) else otherwise

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers, empty where there is none."""
        value = self.raw(name)
        if not isinstance(value, list | tuple):
            return ()
        return tuple(number for number in value if isinstance(number, int))
