"""Delete a run, wherever it may be at work."""

from __future__ import annotations

from tui_ft.runs import folder as folders
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.registry import may_live_elsewhere, summary_of, where_seen


def delete(folder: RunFolder, *, anyway: bool = False) -> None:
    """Remove a run with all that came out of it.

    Args:
        folder: the run's.
        anyway: also one that another host may still be at work on, which does not answer.

    Raises:
        RunError: it is at work, or may be, or it cannot be removed.
    """
    refuse_at_work(folder, anyway=anyway)
    folders.delete(folder)


def refuse_at_work(folder: RunFolder, *, anyway: bool = False) -> None:
    """Let a run only be deleted that nobody is at work on; see `delete`."""
    summary = summary_of(folder)
    there = where_seen(folder, summary)
    if summary.is_live:
        told = f"stop it first (`ftui stop {folder.id}`)"
        raise RunError(f"{folder.id} is still {summary.state}{there}: {told}")
    if may_live_elsewhere(summary) and not anyway:
        raise RunError(
            f"{folder.id} ran{there} and has not said that it ended: if nothing of it is at work "
            f"there, `ftui delete {folder.id} --anyway` removes it"
        )
