"""A data set split into two new files: one to train on, one to examine with."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tui_ft import paths, text
from tui_ft.data import DataError
from tui_ft.screens.boxes.dialog import Dialog
from tui_ft.screens.data.surveyed import Surveyed
from tui_ft.screens.data.writing import Writing
from tui_ft.survey.new_files import beside
from tui_ft.survey.splitting import By, SplitReport, divide, share_said, split
from tui_ft.widgets.signs import sign

_MEANINGS: Final[dict[By, str]] = {
    "group": "by group: near and exact duplicates stay on one side",
    "row": "by row: each for itself",
    "label": "by label: the same share of each class",
}
_WAYS: Final = tuple(_MEANINGS)
_SEED: Final = "42"
_SHARE: Final = "5 %"
_PAUSE_SECONDS: Final = 0.15


class Wish(NamedTuple):
    """What a person typed: the share, the seed, the way."""

    share: str
    seed: str
    by: By


class SplitData(Dialog[SplitReport | None]):
    """Dismisses with what was written, if it is to be opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "write", "Write", id="split.write", tooltip="Write the two files"),
        Binding("escape", "back", "Back", id="split.back", tooltip="Stop writing; else close"),
    ]

    class Divided(Message):
        """How many rows each file would have, or why there can be none."""

        def __init__(self, wish: Wish, said: Content) -> None:
            self.wish, self.said = wish, said
            super().__init__()

    def __init__(self, data: Surveyed) -> None:
        super().__init__()
        self._data = data
        self._written: SplitReport | None = None

    def compose(self) -> ComposeResult:
        """Lay out the form."""
        with Vertical(classes="dialog") as box:
            box.border_title = Content(f"Split {text.ending(self._data.name, 50)}")
            box.border_subtitle = "tab next field  ctrl+s write  esc back"
            yield Label("held out: a share (5 %) or a number of rows (200)")
            yield Input(_SHARE, id="share")
            yield Label("seed, which decides which rows")
            yield Input(_SEED, id="seed", type="integer")
            yield OptionList(*(Option(_MEANINGS[by], id=by) for by in _WAYS), id="split-ways")
            yield Static(id="division")
            yield Label("the file to train on, and the one to examine with")
            yield Input(str(beside(self._data.name, "train")), id="train")
            yield Input(str(beside(self._data.name, "eval")), id="eval")
            yield Writing(id="writing")

    def on_mount(self) -> None:
        """Begin with groups."""
        self.query_one("#split-ways", OptionList).highlighted = 0
        self.query_one("#share").focus()

    def _wish(self) -> Wish:
        at = self.query_one("#split-ways", OptionList).highlighted or 0
        share, seed = (self.query_one(f"#{name}", Input).value for name in ("share", "seed"))
        return Wish(share.strip(), seed.strip(), _WAYS[at])

    def on_input_changed(self) -> None:
        """Say what it would come to."""
        self._divide()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Mark the way, and say what it would come to."""
        for at, by in enumerate(_WAYS):
            mark = sign("selected").text() if at == event.option_index else " "
            event.option_list.replace_option_prompt_at_index(at, f"{mark} {_MEANINGS[by]}")
        self._divide()

    def _divide(self) -> None:
        run = partial(self._find_division, self._wish())
        self.run_worker(run, thread=True, group="divide", exclusive=True, exit_on_error=False)

    def _find_division(self, wish: Wish) -> None:
        time.sleep(_PAUSE_SECONDS)  # whoever types is not done yet
        if get_current_worker().is_cancelled:
            return
        try:
            said = self._division_of(wish)
        except (DataError, OSError) as error:
            said = sign("bad").content(text.plain(str(error)))
        if not get_current_worker().is_cancelled:
            self.post_message(self.Divided(wish, said))

    def _division_of(self, wish: Wish) -> Content:
        summary = self._data.summary
        division = divide(
            self._data.folder,
            summary,
            fraction=share_said(wish.share, summary.rows),
            seed=_seed(wish.seed),
            by=wish.by,
        )
        held, rows = len(division.held), division.rows
        said = f"{rows - held:,} rows to train on, {held:,} held out ({text.percent(held / rows)})"
        if wish.by == "row":
            return Content(said)
        what = "groups and single rows" if wish.by == "group" else "classes"
        if not held:
            return sign("warning").content(f"{said}: no group is small enough; hold out more")
        return Content(f"{said}, of {division.parts:,} {what}")

    def on_split_data_divided(self, message: Divided) -> None:
        """Show it, unless something else is wished by now."""
        if message.wish == self._wish():
            self.query_one("#division", Static).update(message.said)

    def on_input_submitted(self) -> None:
        """Go on to the next field."""
        self.focus_next()

    def on_option_list_option_selected(self) -> None:
        """Go on to the names."""
        self.query_one("#train").focus()

    def on_button_pressed(self) -> None:
        """Open the file to train on."""
        self.dismiss(self._written)

    def action_write(self) -> None:
        """Write both files; once they are there, open the one to train on."""
        writing = self.query_one(Writing)
        if writing.is_over:
            self.dismiss(self._written)
            return
        wish, summary, folder = self._wish(), self._data.summary, self._data.folder
        train, evaluation = (
            paths.expand(self.query_one(f"#{name}", Input).value.strip())
            for name in ("train", "eval")
        )

        def work() -> SplitReport:
            return split(
                folder,
                summary,
                (train, evaluation),
                fraction=share_said(wish.share, summary.rows),
                seed=_seed(wish.seed),
                by=wish.by,
                tell=writing.teller(summary.rows),
            )

        writing.begin(work)

    def on_writing_done(self, message: Writing.Done) -> None:
        """Say what was written, and offer to open it."""
        report: SplitReport = message.result
        self._written = report
        said = (
            f"{report.train_rows:,} rows written to {report.train}, "
            f"{report.eval_rows:,} to {report.eval}"
        )
        self.query_one(Writing).say(sign("good").content(text.plain(said)))

    def action_back(self) -> None:
        """Stop writing; else close without opening anything."""
        if not self.query_one(Writing).stop():
            self.dismiss(None)


def _seed(said: str) -> int:
    if not said.isdecimal():
        raise DataError("a seed is a whole number, 0 or more")
    return int(said)
