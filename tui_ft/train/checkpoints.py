"""Checkpoints within a disk that has an end: what goes first, and what is never given up.

The best checkpoint and the last whole one stay whatever happens: the one is what the run is for,
from the other it goes on. All others may go, the oldest first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tui_ft import text
from tui_ft.runs.checkpoint_sizes import budget_bytes
from tui_ft.runs.folder import RunFolder
from tui_ft.spec.trainer_arguments import Note
from tui_ft.train.callback import folder_bytes
from tui_ft.train.failures import is_about_disk_space


class CheckpointKeeper:
    """Makes room for checkpoints, on a full disk and within a budget.

    Args:
        folder: the run's.
        budget: as `output.checkpoint_budget`; None for no bound but the disk's.
        note: called with what was removed, and why.
    """

    def __init__(self, folder: RunFolder, budget: float | None, note: Note) -> None:
        self._folder, self._budget, self._note = folder, budget, note
        self._told = False

    def save(self, step: int, write: Callable[[], None], best: Callable[[], str | None]) -> None:
        """Write the checkpoint of ``step``; on a full disk make room and try again.

        Args:
            write: writes it, into a folder of its own.
            best: returns the path of the best checkpoint so far.

        Raises:
            OSError: the disk is full and nothing more can go; whatever `write` raises beside that.
                What it had begun to write is removed.
        """
        while True:
            try:
                write()
            except Exception as error:
                if not is_about_disk_space(error):
                    raise
                torn = self._folder.checkpoints_dir / f"checkpoint-{step}"
                if not (torn / "trainer_state.json").is_file():
                    shutil.rmtree(torn, ignore_errors=True)
                if not self._remove_oldest(best(), "the disk is full"):
                    raise
            else:
                break
        self.keep_within_budget(best())

    def keep_within_budget(self, best: str | None) -> None:
        """Remove the oldest checkpoints until the others are within the budget.

        Args:
            best: the path of the best one so far.
        """
        if self._budget is None:
            return
        taken = folder_bytes(self._folder.checkpoints_dir)
        allowed = budget_bytes(self._budget, self._folder.checkpoints_dir, taken)
        while taken > allowed:
            why = f"checkpoints took {text.size(taken)} of the {text.size(allowed)} they may"
            if not self._remove_oldest(best, why):
                self._say_once(
                    f"the best and the last checkpoint take {text.size(taken)} alone, of the "
                    f"{text.size(allowed)} that output.checkpoint_budget allows: both are kept"
                )
                return
            taken = folder_bytes(self._folder.checkpoints_dir)

    def _remove_oldest(self, best: str | None, why: str) -> bool:
        """Remove the oldest checkpoint that is not needed; return whether there was one."""
        whole = self._folder.checkpoints()
        kept = {path.name for _, path in whole[-1:]} | ({Path(best).name} if best else set())
        spare = next(((step, path) for step, path in whole if path.name not in kept), None)
        if spare is None:
            return False
        shutil.rmtree(spare[1], ignore_errors=True)
        self._note(f"{why}: the checkpoint of step {spare[0]} is removed")
        return not spare[1].exists()

    def _say_once(self, words: str) -> None:
        if not self._told:
            self._note(words)
        self._told = True
