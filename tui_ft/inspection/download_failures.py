"""Why a data set could not be had, out of whatever `datasets` and huggingface_hub raise."""

from __future__ import annotations

import ast
import errno
import re
from collections.abc import Iterator
from typing import Final

from tui_ft import text
from tui_ft.data.files.hub_download import Failed, Wanted
from tui_ft.hub.client import Answer, complaint
from tui_ft.hub.dataset_info import PARQUET_BRANCH, page_of

_LONGEST: Final = 300
_MOST_NAMES: Final = 20
_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_NAMES: Final = re.compile(r"[Aa]vailable[^:\n]*: (\[[^\n]*\])")
_NETWORK: Final = re.compile(
    r"ConnectError|ConnectTimeout|ReadError|ReadTimeout|WriteError|RemoteProtocolError|NetworkError"
    r"|ProxyError|IncompleteRead|LocalEntryNotFoundError|ConnectionError|ConnectionResetError"
    r"|ConnectionRefusedError|TimeoutError|FileMetadataError"
)


class Refused(Exception):
    """There will be no rows, for a reason that is known."""

    def __init__(self, reason: str, advice: str = "") -> None:
        self.failed = Failed(reason=reason, advice=advice)
        super().__init__(reason)


def explain(error: BaseException, wanted: Wanted) -> Failed:
    """Return why, and what to do; the token stands in none of it."""
    if isinstance(error, Refused):
        return error.failed
    chain = list(_chain(error))
    return (
        _no_room(chain)
        or _by_name(chain, wanted)
        or _about_config(chain, wanted)
        or _by_status(chain, wanted)
        or _connection(chain, wanted)
        or _damaged(chain, wanted)
    )


def listed(names: list[str]) -> str:
    """Return names in words: harmless to show, and not more than a person reads."""
    shown = [text.one_line(name, 60) for name in names[:_MOST_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def needs_permission(wanted: Wanted) -> Failed:
    """Return the refusal of a data set that is gated."""
    return Failed(
        reason=f"{wanted.id} is gated: its owner decides who may read it",
        advice=f"ask for access on {page_of(wanted.id)}, then log in with the same account "
        "(`hf auth login`) or set HF_TOKEN",
    )


def script_found(wanted: Wanted, script: str, *, has_parquet: bool | None) -> Failed:
    """Return the refusal of a data set that is a program."""
    way = f"try the Hub's own conversion: revision {PARQUET_BRANCH}"
    if has_parquet is False:
        way = "look for a copy as Parquet (`ftui datasets WORDS`), or ask its owner for one"
    return Failed(
        reason=f"{wanted.id} is made by a script ({script}), which `datasets` no longer runs, for "
        "it would be a stranger's program on this machine",
        advice=way,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _no_room(chain: list[BaseException]) -> Failed | None:
    for error in chain:
        said = str(error)
        number = error.errno if isinstance(error, OSError) else None
        if number in _NO_ROOM or "Not enough disk space" in said or "No space left" in said:
            place = error.filename if isinstance(error, OSError) and error.filename else ""
            where = f" at {text.one_line(str(place), 160)}" if place else ""
            needed = f" ({_line(error)})" if "Needed" in said else ""
            return Failed(
                reason=f"the disk is full{where}{needed}",
                advice="make room, or set HF_HOME (the cache) and FTUI_HOME (the rows) to a larger "
                "disk; nothing half-written was left",
            )
    return None


def _by_name(chain: list[BaseException], wanted: Wanted) -> Failed | None:
    names = {kind.__name__ for error in chain for kind in type(error).__mro__}
    first = str(chain[0])
    script = re.search(r"Dataset scripts are no longer supported, but found (\S+)", first)
    if script:
        return script_found(wanted, text.one_line(script[1], 80), has_parquet=None)
    if "GatedRepoError" in names or "is a gated dataset" in first:
        return needs_permission(wanted)
    if "RevisionNotFoundError" in names:
        return Failed(
            reason=f"{wanted.id} has no revision `{text.one_line(str(wanted.revision), 80)}`",
            advice=f"its branches and tags are on {page_of(wanted.id)}/tree/main",
        )
    if {"DatasetNotFoundError", "RepositoryNotFoundError"} & names:
        return Failed(
            reason=f"there is no data set {wanted.id} on the Hub, or it is private",
            advice="check its name (`ftui datasets WORDS` finds what there is); for a private one "
            "log in (`hf auth login`) or set HF_TOKEN",
        )
    if {"EmptyDatasetError", "DataFilesNotFoundError"} & names:
        return Failed(
            reason=f"{wanted.id} holds no data files that `datasets` reads",
            advice=f"see what it holds on {page_of(wanted.id)}/tree/main",
        )
    return None


def _about_config(chain: list[BaseException], wanted: Wanted) -> Failed | None:
    said = str(chain[0])
    if not isinstance(chain[0], ValueError):
        return None
    several = re.search(r"configurations in the cache: ([^\n]*)", said)
    found = _NAMES.search(said)
    if several:
        names = several[1].split(", ")
    elif found and ("onfig" in said):
        try:
            names = [str(name) for name in ast.literal_eval(found[1])]
        except (ValueError, SyntaxError):
            return None
    else:
        return None
    if wanted.config is None:
        reason = f"{wanted.id} has several configs and none of them is the default"
    else:
        reason = f"{wanted.id} has no config `{text.one_line(wanted.config, 60)}`"
    return Failed(reason=f"{reason}; it has {listed(names)}", advice="choose one with --config")


def _by_status(chain: list[BaseException], wanted: Wanted) -> Failed | None:
    for error in chain:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            return needs_permission(wanted)
        if isinstance(status, int):
            return Failed(reason=complaint(Answer(status)))
    return None


def _connection(chain: list[BaseException], wanted: Wanted) -> Failed | None:
    for error in chain:
        if any(_NETWORK.fullmatch(kind.__name__) for kind in type(error).__mro__):
            return Failed(
                reason=f"the connection to the Hub was lost while fetching {wanted.id} "
                f"({type(chain[-1]).__name__})",
                advice="start it again: files that are here whole are not fetched twice",
            )
    return None


def _damaged(chain: list[BaseException], wanted: Wanted) -> Failed:
    names = {type(error).__name__ for error in chain}
    cause = next((it for it in chain if not type(it).__name__.startswith("DatasetGen")), chain[0])
    if "DatasetGenerationCastError" in names or str(cause).startswith("Schema at index"):
        return Failed(
            reason=f"the files of {wanted.id} do not have the same columns: {_line(cause)}",
            advice="take one config, or download one of the files and give its path",
        )
    if "DatasetGenerationError" in names:
        return Failed(
            reason=f"the files of {wanted.id} cannot be read: {_line(cause)}",
            advice=f"look at them on {page_of(wanted.id)}/tree/main; another revision may be whole",
        )
    return Failed(reason=f"{type(chain[0]).__name__}: {_line(chain[0])}")


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return text.one_line(" ".join(lines[:2]), _LONGEST) if lines else type(error).__name__
