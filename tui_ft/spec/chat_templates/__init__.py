"""Chat templates that ftui ships, and where the one of a run lies."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tui_ft import paths

_HERE: Final = Path(__file__).parent
SHIPPED: Final = {
    "plain": "roles in plain words (`### Instruction:`), for base models: no new token",
    "chatml": "`<|im_start|>role … <|im_end|>`, for models whose tokenizer has these tokens",
}
"""The names that `model.chat_template` takes beside a file, and when to use each."""
_AT_FIRST: Final = ("advise", "templates", "plain.jinja")
"""Where `plain` lay in the package, as runs of that time name it."""


def template_file(said: str) -> Path:
    """Return the Jinja file that a run's `model.chat_template` means; it may not be there.

    A name that ftui ships is found in whichever place ftui is installed.
    """
    if said in SHIPPED:
        return _HERE / f"{said}.jinja"
    file = paths.expand(said)
    if file.parts[-3:] == _AT_FIRST and not file.exists():
        return _HERE / "plain.jinja"
    return file


def template_problem(said: str) -> str | None:
    """Return why a chat template cannot be used; None where it can be read."""
    file = template_file(said)
    try:
        file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        names = ", ".join(sorted(SHIPPED))
        return f"model.chat_template: {file}: {why}; a file, or one that ftui ships: {names}"
    return None
