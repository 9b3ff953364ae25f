"""A chain's folder: what was asked, what happened, who is at work on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tui_ft import paths
from tui_ft.runs.folder import RunError, is_locked, make_unique
from tui_ft.spec.chain import Chain, dump_chain, load_chain


@dataclass(frozen=True, slots=True)
class ChainFolder:
    """The paths of one chain. Its id is the folder's name."""

    path: Path

    @property
    def id(self) -> str:
        """The chain's id, unique under one `$FTUI_HOME`."""
        return self.path.name

    @property
    def chain_file(self) -> Path:
        """The chain, frozen at its start: every field of every run."""
        return self.path / "chain.yaml"

    @property
    def events_file(self) -> Path:
        """What happened, append-only; the chain's process alone writes it."""
        return self.path / "events.jsonl"

    @property
    def control_file(self) -> Path:
        """Commands from people, append-only."""
        return self.path / "control.jsonl"

    @property
    def lock_file(self) -> Path:
        """Held with flock by the chain's process while it lives."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """What the chain's process printed: empty unless it broke."""
        return self.path / "chain.log"

    def chain(self) -> Chain:
        """Return the chain.

        Raises:
            SpecError: its file was damaged.
        """
        return load_chain(self.chain_file)

    def write(self, chain: Chain) -> None:
        """Freeze ``chain``.

        Raises:
            OSError: it cannot be written.
        """
        paths.write_atomically(self.chain_file, dump_chain(chain))

    def is_attended(self) -> bool:
        """Tell whether the chain's process lives on this host."""
        return is_locked(self.lock_file)


def chains_dir() -> Path:
    """Return the folder that holds one folder for each chain."""
    return paths.home() / "chains"


def create(chain: Chain) -> ChainFolder:
    """Make a new folder named after ``chain`` (`name`, `name-2`, …) and freeze the chain in it.

    Raises:
        RunError: it cannot be written.
    """
    try:
        root = paths.make_private_dir(chains_dir())
        folder = ChainFolder(make_unique(root, chain.name))
        folder.write(chain)
    except OSError as error:
        raise RunError(f"cannot write {chains_dir()}: {error.strerror}") from None
    return folder


def all_chains() -> list[ChainFolder]:
    """Return every chain's folder, the newest first."""
    try:
        entries = [Path(entry.path) for entry in os.scandir(chains_dir()) if entry.is_dir()]
        made = [(one.stat().st_ctime, one) for one in entries if (one / "chain.yaml").is_file()]
    except OSError:
        return []
    return [ChainFolder(path) for _, path in sorted(made, reverse=True)]


def find(name: str | None) -> ChainFolder:
    """Return the chain called ``name``, which may be a unique beginning; None for the newest.

    Raises:
        RunError: there is none, or several begin so.
    """
    chains = all_chains()
    if name is None:
        if not chains:
            raise RunError("there are no chains yet: `ftui chain new` writes one")
        return chains[0]
    exact = [one for one in chains if one.id == name]
    matching = exact or [one for one in chains if name and one.id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(sorted(one.id for one in matching))
        raise RunError(f"`{name}` could be any of: {names}")
    raise RunError(f"there is no chain `{name}` under {chains_dir()}; `ftui chain list` shows them")
