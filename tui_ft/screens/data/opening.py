"""A data set on its way to the screen: fetched, its first rows shown, its survey asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from tui_ft import text
from tui_ft.data import DataError
from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer
from tui_ft.data.files.hub_download import Progress, fetch_dataset
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.survey.asking import Asked
from tui_ft.survey.browsing import Preview
from tui_ft.survey.request import Request

GROUP = "open"
"""The group of its worker."""


class Opening:
    """Opens data sets for a screen, one at a time, and tells it by messages how far it is."""

    class Fetching(Message):
        """A data set comes from the Hub."""

        def __init__(self, name: str, progress: Progress) -> None:
            self.name, self.progress = name, progress
            super().__init__()

    class Previewed(Message):
        """The first rows are there, before anything is known of the others."""

        def __init__(self, preview: Preview) -> None:
            self.preview = preview
            super().__init__()

    class Opened(Message):
        """A survey has been asked for."""

        def __init__(self, asked: Asked, tokenizer: LocalChatTokenizer | None) -> None:
            self.asked, self.tokenizer = asked, tokenizer
            super().__init__()

    class Refused(Message):
        """It cannot be opened, and why."""

        def __init__(self, problem: str) -> None:
            self.problem = problem
            super().__init__()

    def __init__(self, screen: Screen[Any]) -> None:
        self._screen = screen

    def open(self, request: Request) -> None:
        """Open what is asked for; what is being opened by then is given up."""
        begin = partial(self._begin, request)
        self._screen.run_worker(
            begin, thread=True, group=GROUP, exclusive=True, exit_on_error=False
        )

    def _begin(self, request: Request) -> None:
        try:
            tokenizer = _tokenizer_of(request)
            asked = Asked(self._fetched(request))  # reads on while the first rows are looked at
            self._tell(self.Previewed(Preview(asked.request)))
        except DataError as error:
            self._tell(self.Refused(str(error)))
        except OSError as error:  # a folder on the way is closed, or the name too long
            self._tell(self.Refused(text.of_system(error)))
        else:
            self._tell(self.Opened(asked, tokenizer))

    def _tell(self, message: Message) -> None:
        """Post a message, unless something else is being opened by now."""
        if not get_current_worker().is_cancelled:
            self._screen.post_message(message)

    def _fetched(self, request: Request) -> Request:
        """Return the request for a local file, a data set on the Hub having been fetched."""
        name = request.path
        if not is_dataset_id(name):
            return request
        worker = get_current_worker()
        rows = fetch_dataset(
            name,
            progress=lambda progress: self._tell(self.Fetching(name, progress)),
            cancelled=lambda: worker.is_cancelled,
        )
        return msgspec.structs.replace(request, path=str(rows))


def _tokenizer_of(request: Request) -> LocalChatTokenizer | None:
    return None if request.tokens is None else load_chat_tokenizer(request.tokens.folder())
