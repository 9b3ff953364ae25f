"""What installed packages ask of each other, by what they say of themselves; none is imported."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement


def unmet(package: str, among: Sequence[str], extra: str = "") -> list[tuple[str, str]]:
    """Return what an installed package asks of others and does not get: asked for, and found.

    Args:
        among: the packages that are looked at.
        extra: the extra of ``package`` that is meant.
    """
    found: dict[str, tuple[str, str]] = {}
    try:
        lines = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    for line in lines:
        try:
            asked = Requirement(re.sub(r"\s+", " ", line))
        except InvalidRequirement:
            continue
        elsewhere = asked.marker is not None and not asked.marker.evaluate({"extra": extra})
        if asked.name not in among or elsewhere:
            continue
        try:
            version = importlib.metadata.version(asked.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if not asked.specifier.contains(version, prereleases=True):
            found[asked.name] = (f"{asked.name}{asked.specifier}", f"{asked.name} {version}")
    return list(found.values())
