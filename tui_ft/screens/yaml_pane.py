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

    def open(self, draft: Draft) -> None:
        """Show a draft, to be written in."""
        self._draft, self._problem = draft, ""
        self.display = True
        area = self.query_one(TextArea)
        area.load_text(draft.to_yaml())
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
