"""The place of a run in a chain: it stands in the run's folder before that is a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from tui_ft import paths

_FILE: Final = "chain.json"
_WORDS: Final = re.compile(r"(\S+) (\d+)/(\d+) (\S+)")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which stage of which chain a run is.

    Attributes:
        chain: the chain's id.
        stage: the stage's name.
        number: its place, the first being 1.
        of: how many stages there are.
    """

    chain: str
    stage: str
    number: int
    of: int

    def __str__(self) -> str:
        """Return the place in words: `rlhf 2/3 reward`."""
        return f"{self.chain} {self.number}/{self.of} {self.stage}"

    @property
    def sentence(self) -> str:
        """The place as one says it: `stage 2/3 reward of chain rlhf`."""
        return f"stage {self.number}/{self.of} {self.stage} of chain {self.chain}"

    @classmethod
    def parse(cls, words: str) -> Place | None:
        """Return the place that was put into words; None for a run that stands alone."""
        match = _WORDS.fullmatch(words)
        if match is None:
            return None
        chain, number, of, stage = match.groups()
        return cls(chain=chain, stage=stage, number=int(number), of=int(of))


def write_place(run_dir: Path, place: Place) -> None:
    """Write the place of the run in ``run_dir``.

    Raises:
        OSError: it cannot be written.
    """
    paths.write_atomically(run_dir / _FILE, msgspec.json.encode(place))


def read_place(run_dir: Path) -> Place | None:
    """Return the place of the run in ``run_dir``; None for a run that stands alone."""
    try:
        return msgspec.json.decode((run_dir / _FILE).read_bytes(), type=Place)
    except (OSError, msgspec.DecodeError):
        return None


def placed_at(run_dir: Path) -> float:
    """Return when the run in ``run_dir`` got its place, in Unix seconds: as it was made.

    Its other files may be written again, this one is not. 0 where the folder has just gone.
    """
    try:
        return (run_dir / _FILE).stat().st_mtime
    except OSError:
        return 0.0
