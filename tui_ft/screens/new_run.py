"""Start a run from a preset or a YAML file, with a few fields filled in."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from tui_ft import paths, text
from tui_ft.hardware import take_snapshot
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.runs.memory_check import memory_of
from tui_ft.screens.shell import Filled
from tui_ft.screens.starting import problem, start_run
from tui_ft.spec import SpecError, find_presets, resolve_spec


class NewRunScreen(ModalScreen[RunFolder | None]):
    """Dismisses with the run that was started, or with None.

    Args:
        filled: what the fields begin with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "Start", id="new.start", tooltip="Check it, and start it"),
        Binding(
            "ctrl+g", "memory", "Memory", id="new.memory", tooltip="Say what it takes of a GPU"
        ),
        Binding("escape", "cancel", "Cancel", id="new.cancel", tooltip="Start nothing"),
    ]

    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-tall")]  # noqa: RUF012 - Textual's own form

    class Answered(Message):
        """The run was started, or this is why not."""

        def __init__(self, folder: RunFolder | None, problems: list[Content]) -> None:
            self.folder, self.problems = folder, problems
            super().__init__()

    class Estimated(Message):
        """What the run takes of a GPU, in words."""

        def __init__(self, lines: list[Content]) -> None:
            self.lines = lines
            super().__init__()

    def __init__(self, filled: Filled | None = None) -> None:
        super().__init__()
        self._filled = filled or Filled()
        self._starting = False

    def compose(self) -> ComposeResult:
        """Lay the form out."""
        with VerticalScroll(id="form", can_focus=False) as form:
            form.border_title = "New run"
            form.border_subtitle = "ctrl+s start   ctrl+g memory   esc cancel"
            presets = find_presets()
            yield OptionList(
                *(Option(Content(name), id=name) for name in sorted(presets)), id="presets"
            )
            yield Static(id="when")
            yield Label("preset or YAML file")
            yield Input("sft-lora", id="spec")
            yield Label("model: a folder, or an id on the Hub")
            yield Input(self._filled.model, id="model", placeholder="as the file says")
            yield Label("training data: .jsonl, .json, .csv, also .gz")
            yield Input(self._filled.data, id="data", placeholder="as the file says")
            yield Label("anything else, one `key=value` a line")
            yield TextArea("\n".join(self._filled.more), id="more", tab_behavior="focus")
            yield Static(id="problems")
            with Horizontal():
                yield Button("Start", id="start", variant="primary")
                yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        """Begin with the default preset."""
        options = self.query_one("#presets", OptionList)
        names = sorted(find_presets())
        options.highlighted = names.index("sft-lora") if "sft-lora" in names else 0
        options.focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Take the preset, and say when to use it."""
        preset = find_presets().get(event.option_id or "")
        if preset is not None:
            self.query_one("#spec", Input).value = preset.name
            self.query_one("#when", Static).update(Content(text.plain(preset.description)))

    def on_option_list_option_selected(self) -> None:
        """Go on to the model."""
        self.query_one("#model").focus()

    def on_input_submitted(self) -> None:
        """Go on to the next field."""
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Start or cancel."""
        self.action_start() if event.button.id == "start" else self.action_cancel()

    def action_cancel(self) -> None:
        """Start nothing; a run that is being started is waited for."""
        if not self._starting:
            self.dismiss(None)

    def action_start(self) -> None:
        """Check and start, off the screen's thread, once however often the key is pressed."""
        if self._starting:
            return
        self._starting = True
        self.query_one("#start", Button).disabled = True
        self._say([Content("checks it and starts it …")])
        spec = self.query_one("#spec", Input).value.strip()
        overrides = self._overrides()
        self.run_worker(
            lambda: self.post_message(self.Answered(*start(spec, overrides))),
            thread=True,
            exit_on_error=False,
        )

    def action_memory(self) -> None:
        """Say what the run takes of a GPU, off the screen's thread: a step of it is replayed."""
        if self._starting:
            return
        self._say([Content("replays a step of it; a large model takes some seconds …")])
        spec = self.query_one("#spec", Input).value.strip()
        overrides = self._overrides()
        self.run_worker(
            lambda: self.post_message(self.Estimated(estimate(spec, overrides))),
            thread=True,
            exit_on_error=False,
            group="memory",
            exclusive=True,
        )

    def on_new_run_screen_estimated(self, message: Estimated) -> None:
        """Show it, unless the run is being started by now."""
        if not self._starting:
            self._say(message.lines)

    def on_new_run_screen_answered(self, message: Answered) -> None:
        """Leave with the run, or say in place what is wrong."""
        self._starting = False
        self.query_one("#start", Button).disabled = False
        if message.folder is not None:
            self.dismiss(message.folder)
        else:
            self._say(message.problems)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw, too."""
        if event.state is WorkerState.ERROR:
            self.post_message(self.Answered(None, [problem(repr(event.worker.error))]))

    def _say(self, lines: list[Content]) -> None:
        self.query_one("#problems", Static).update(Content("\n").join(lines))
        self.query_one("#form").scroll_end(animate=False)

    def _overrides(self) -> list[str]:
        model, data = (
            self.query_one(f"#{name}", Input).value.strip() for name in ("model", "data")
        )
        lines = self.query_one("#more", TextArea).text.splitlines()
        return [
            *([f"model.name_or_path={model}"] if model else []),
            *([f"data.train={data}"] if data else []),
            *(line.strip() for line in lines if line.strip()),
        ]


def start(reference: str, overrides: list[str]) -> tuple[RunFolder | None, list[Content]]:
    """Return the run that was started, or what stands against it."""
    try:
        spec = resolve_spec(reference, overrides)
    except SpecError as error:
        return None, [problem(str(fault)) for fault in error.problems]
    return start_run(spec)


def estimate(reference: str, overrides: list[str]) -> list[Content]:
    """Return what a run takes of a GPU's memory, in words."""
    try:
        spec = with_absolute_paths(resolve_spec(reference, overrides), Path.cwd())
    except SpecError as error:
        return [problem(str(fault)) for fault in error.problems]
    found = memory_of(spec, take_snapshot(paths.home()).gpus)
    words = f"{found.text}{f' ({found.advice})' if found.advice else ''}"
    if found.severity == "bad":
        return [problem(words)]
    return [Content(text.plain(words))]
