"""A draft as YAML that can be written in."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import TextArea

from tui_ft.spec import SpecError
from tui_ft.spec.draft import Draft


class YamlPane(Vertical):
    """Takes what is written as soon as it can be read."""

    class Written(Message):
        """What stands there is this draft now, or cannot be read."""

        def __init__(self, draft: Draft, problem: str) -> None:
            self.draft, self.problem = draft, problem
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="box")
        self.border_title = "YAML"
        self.border_subtitle = "esc back to the fields"
        self._draft = Draft({})
        self._problem = ""

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield TextArea(id="yaml", tab_behavior="focus")

    @property
    def problem(self) -> str:
        """Why what stands there cannot be read; empty when it can be."""
        return self._problem

    def open(self, draft: Draft, written: str | None = None) -> None:
        """Show a draft, to be written in.

        What was left here and could not be read comes back, unless the draft is another by now.

        Args:
            draft: the run as it stands.
            written: what was written of it elsewhere, to be mended here.
        """
        was_left = bool(self._problem) and draft.values == self._draft.values
        self._draft = draft
        self.display = True
        area = self.query_one(TextArea)
        if written is not None or not was_left:
            self._problem = ""
            area.load_text(draft.to_yaml() if written is None else written)
        area.focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Read it."""
        event.stop()
        if not self.display:
            return
        try:
            draft = self._draft.with_yaml(event.text_area.text)
        except SpecError as error:
            self._problem = str(error)
        else:
            self._problem = ""
            if draft.values != self._draft.values:
                self._draft = draft
        self.post_message(self.Written(self._draft, self._problem))
