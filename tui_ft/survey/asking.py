"""A survey asked for: started in a process of its own, looked at while it goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.survey.folder import is_being_made, read_summary, read_token_summary
from tui_ft.survey.request import Request
from tui_ft.survey.summary import Summary
from tui_ft.survey.tokens import TokenSummary

_LOOK_SECONDS: Final = 0.1


class Asked:
    """A survey that has been asked for. Nobody has to look; the answer is kept."""

    def __init__(self, request: Request) -> None:
        """Find the answer of the same question, or have it found.

        Raises:
            DataError: there is no such file, or nowhere to write the answer.
        """
        self.request = request
        self.folder = request.folder()
        self._tokens = request.token_folder()
        self._process: subprocess.Popen[bytes] | None = None
        if not self.is_over():
            self._start()

    def summary(self) -> Summary | None:
        """Return what is known so far; None when nothing is yet."""
        return read_summary(self.folder)

    def tokens(self) -> TokenSummary | None:
        """Return what is known of tokens so far; None when nothing is, or none are asked for."""
        return None if self._tokens is None else read_token_summary(self._tokens)

    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        summary = self.summary()
        if summary is None or not summary.is_over:
            return False
        tokens = self.tokens()
        wanted = self._tokens is not None and summary.stage == "done"
        return not wanted or (tokens is not None and tokens.is_over)

    def follow(self) -> Iterator[Summary | None]:
        """Return what is known, again and again until all is.

        Raises:
            DataError: the process ended without an answer.
        """
        while not self.is_over():
            if not self._is_alive() and not self.is_over():
                raise DataError(f"the survey ended before its time: {self._last_words()}")
            yield self.summary()
            time.sleep(_LOOK_SECONDS)
        yield self.summary()

    def cancel(self) -> None:
        """End it; what was found so far stays to be looked at."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _start(self) -> None:
        try:
            paths.make_private_dir(self.folder)
            request = msgspec.json.encode(self.request)
            paths.write_atomically(self.folder / "request.json", request)
            with (self.folder / "log").open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tui_ft.inspection", str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}") from None

    def _is_alive(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return True
        return is_being_made(self.folder)

    def _last_words(self) -> str:
        log: Path = self.folder / "log"
        try:
            lines = log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it left no log"
        return lines[-1] if lines else f"it was killed; see {log}"
