"""A chain's folder: what was asked, what happened, who is at work on it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tui_ft import paths
from tui_ft.runs.folder import AttendedFolder, RunError, folders_with, new_folder, the_one

if TYPE_CHECKING:
    from tui_ft.spec.chain import Chain  # takes 0.1 s to import, and lists of runs do without it


@dataclass(frozen=True, slots=True)
class ChainFolder(AttendedFolder):
    """The paths of one chain. Its process is the conductor."""

    LOG: ClassVar[str] = "chain.log"

    @property
    def chain_file(self) -> Path:
        """The chain, frozen at its start: every field of every run."""
        return self.path / "chain.yaml"

    @property
    def next_file(self) -> Path:
        """The chain as it was changed, until the journal has it and it becomes the chain's file."""
        return self.path / "chain.next.yaml"

    def chain(self) -> Chain:
        """Return the chain.

        Raises:
            SpecError: its file was damaged.
        """
        from tui_ft.spec.chain import load_chain

        return load_chain(self.chain_file)

    def write(self, chain: Chain) -> None:
        """Freeze ``chain``.

        Raises:
            OSError: it cannot be written.
        """
        from tui_ft.spec.chain import dump_chain

        paths.write_atomically(self.chain_file, dump_chain(chain))


def chains_dir() -> Path:
    """Return the folder that holds one folder for each chain."""
    return paths.home() / "chains"


def create(chain: Chain) -> ChainFolder:
    """Make a new folder named after ``chain`` (`name`, `name-2`, …) and freeze the chain in it.

    Raises:
        RunError: it cannot be written.
    """
    with new_folder(chains_dir(), chain.name) as path:
        folder = ChainFolder(path)
        folder.write(chain)
    return folder


def all_chains() -> list[ChainFolder]:
    """Return every chain's folder, the newest first."""
    made: list[tuple[float, Path]] = []
    for path in folders_with(chains_dir(), "chain.yaml"):
        with contextlib.suppress(OSError):  # somebody deletes it just now
            made.append((path.stat().st_ctime, path))
    return [ChainFolder(path) for _, path in sorted(made, reverse=True)]


def exactly(name: str) -> ChainFolder:
    """Return the chain called just so: what is done to a chain must not hit its like.

    Raises:
        RunError: it is not there (any more).
    """
    folder = ChainFolder(chains_dir() / name)
    if not folder.chain_file.is_file():
        raise RunError(f"the chain {name} is not there any more")
    return folder


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
    none = f"there is no chain `{name}` under {chains_dir()}; `ftui chain list` shows them"
    return the_one(chains, name, none)
