"""Change a chain's file together with its journal: whatever happens between, both or neither."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tui_ft import paths
from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder
from tui_ft.runs.folder import RunError
from tui_ft.spec.chain import Chain, dump_chain


def revise(folder: ChainFolder, chain: Chain, decided: Sequence[journal.Event]) -> None:
    """Make ``chain`` the chain in ``folder``, and write down what was decided with it.

    The new file is laid beside the old one, then the journal says that it holds, then it takes the
    old one's place. One that is killed before the journal's word has changed nothing; after it,
    `settle` does the rest.

    Raises:
        RunError: it cannot be written.
    """
    written = dump_chain(chain)
    try:
        paths.write_atomically(folder.next_file, written)
        digest = hashlib.sha256(written.encode()).hexdigest()
        journal.note(folder, [*decided, journal.Revised(digest=digest)])
        folder.next_file.replace(folder.chain_file)
    except OSError as error:
        raise RunError(f"cannot write {folder.chain_file}: {error.strerror}") from None


def settle(folder: ChainFolder) -> None:
    """Bring a change that was interrupted to its end, or forget it where nobody had decided.

    Raises:
        RunError: it cannot be written.
    """
    try:
        digest = _digest(folder.next_file)
        if digest is None:
            return
        if digest == _decided(folder):
            folder.next_file.replace(folder.chain_file)
        else:
            folder.next_file.unlink()
    except OSError as error:
        raise RunError(f"cannot write {folder.chain_file}: {error.strerror}") from None


def _decided(folder: ChainFolder) -> str | None:
    said = [one.digest for one in journal.read(folder) if isinstance(one, journal.Revised)]
    return said[-1] if said else None


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
