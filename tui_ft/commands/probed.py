"""`ftui estimate --probe`: what real steps of a run took of this machine's GPU."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tui_ft.commands.output import say, say_json, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tui_ft.spec import RunSpec

_GIB: Final = 1 << 30


def say_probes(
    runs: Mapping[str, RunSpec],
    config: Mapping[str, Any],
    *,
    longest: int | None,
    supervised: float,
    as_json: bool,
) -> None:
    """Make real steps of each run and print what they took.

    Args:
        runs: by name of the method.
        config: the values of the model's config.json.
        longest: tokens of the longest row, when it is known.
        supervised: share of tokens that carry loss.
        as_json: print JSON.
    """
    from tui_ft.memory.estimating import Unknown
    from tui_ft.memory.probing import probe

    said = []
    for method, run in runs.items():
        warn(f"{method}: the model is loaded and trained for three steps …")
        found = probe(run, config, longest=longest, supervised=supervised)
        if isinstance(found, Unknown):
            said.append({"method": method, "problem": found.reason})
            if not as_json:
                warn(f"{method}: no figure: {found.reason}")
            continue
        said.append({"method": method, **msgspec.to_builtins(found)})
        if not as_json:
            parts = ", ".join(f"{term.name} {term.size / _GIB:.2f}" for term in found.terms)
            say(f"{method}: {found.expected / _GIB:.2f} GiB measured: {parts}")
    if as_json:
        say_json(said)
    if all("problem" in one for one in said):
        sys.exit(1)
