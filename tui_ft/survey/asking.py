"""A survey asked for: made in a process of its own, looked at while it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.survey.folder import is_being_made, mark_used, read_summary, read_token_summary
from tui_ft.survey.request import REQUEST_FILE, Request
from tui_ft.survey.summary import Summary
from tui_ft.survey.tokens import TokenSummary

ERRNO_EXIT: Final = 100
"""The process that met a fault of the system ends with this and the fault's number."""

_LOOK_SECONDS: Final = 0.1


class Asked:
    """A survey that has been asked for. Nobody has to look: the answer is kept.

    What went wrong last time is tried again.

    Raises:
        DataError: there is no such file or model, or nowhere to write the answer.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.folder = request.folder()
        self.token_folder = request.token_folder()
        self._process: subprocess.Popen[bytes] | None = None
        if self._is_answered():
            mark_used(self.folder)
        else:
            self._start()

    def summary(self) -> Summary | None:
        """Return what is known so far; None when nothing is yet.

        If the process ended before its time, the stage is `failed` and the problem says why.
        """
        summary = read_summary(self.folder)
        if (summary is None or not summary.is_over) and self._is_dead():
            summary = read_summary(self.folder) or Summary(self.request.path, "reading")
            if not summary.is_over:
                return msgspec.structs.replace(
                    summary, stage="failed", problem=self._why_it_ended()
                )
        return summary

    def tokens(self) -> TokenSummary | None:
        """Return what is known of tokens so far; None when nothing is, or none are asked for."""
        if self.token_folder is None or self.request.tokens is None:
            return None
        tokens = read_token_summary(self.token_folder)
        if (tokens is None or not tokens.is_over) and self._is_dead():
            tokens = read_token_summary(self.token_folder)
            if tokens is None or not tokens.is_over:
                model = self.request.tokens.model
                return TokenSummary(model, "failed", problem=self._why_it_ended())
        return tokens

    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        summary = self.summary()
        if summary is None or not summary.is_over:
            return False
        if self.token_folder is None or summary.stage == "failed":
            return True
        tokens = self.tokens()
        return tokens is not None and tokens.is_over

    def follow(self) -> Iterator[Summary]:
        """Return what is known, again and again until all is; the last one is over."""
        while True:
            over = self.is_over()
            summary = self.summary()
            if summary is not None:
                yield summary
            if over:
                break
            time.sleep(_LOOK_SECONDS)
        if self._process is not None:
            self._process.wait()  # it has said its last word

    def cancel(self) -> bool:
        """End it; what was found so far stays to be looked at.

        Returns:
            whether it was at work, and begun here.
        """
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.terminate()
        self._process.wait()
        return True

    def _is_answered(self) -> bool:
        summary = read_summary(self.folder)
        if summary is None or summary.stage != "done":
            return False
        if self.token_folder is None:
            return True
        tokens = read_token_summary(self.token_folder)
        return tokens is not None and tokens.stage == "done"

    def _start(self) -> None:
        try:
            paths.make_private_dir(self.folder)
            self._forget_failures()
            asked = msgspec.structs.replace(self.request, tokens=None)
            paths.write_atomically(self.folder / REQUEST_FILE, msgspec.json.encode(asked))
            with self._log() as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tui_ft.inspection", str(self.folder)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                )
            if self._process.stdin is not None:
                self._process.stdin.write(msgspec.json.encode(self.request))
                self._process.stdin.close()
        except OSError as error:
            said = f"{self.folder} cannot be written: {error.strerror}"
            raise DataError(f"{said}; set FTUI_HOME to a folder of yours") from None

    def _forget_failures(self) -> None:
        """Remove what an attempt that did not come to its end left to be read."""
        if is_being_made(self.folder):
            return
        summary = read_summary(self.folder)
        if summary is None or summary.stage != "done":
            (self.folder / "summary.json").unlink(missing_ok=True)
        if self.token_folder is not None:
            (self.token_folder / "summary.json").unlink(missing_ok=True)

    def _log(self) -> IO[bytes]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self.folder / "log", flags, paths.PRIVATE_FILE), "ab")

    def _is_dead(self) -> bool:
        mine = self._process is not None and self._process.poll() is None
        return not mine and not is_being_made(self.folder)

    def _why_it_ended(self) -> str:
        code = self._process.returncode if self._process is not None else None
        if code is not None and code > ERRNO_EXIT:
            return f"the survey ended: {self.folder}: {os.strerror(code - ERRNO_EXIT)}"
        try:
            lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        why = lines[-1] if lines else "it was killed: by a person, or for want of memory"
        return f"the survey ended before its time: {why}"
