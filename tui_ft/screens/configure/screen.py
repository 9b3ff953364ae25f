"""The Configure screen: every field of a run, and what the run comes to, before it is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from tui_ft import paths, text
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.chain_actions import start_chain
from tui_ft.screens.configure import text as configure_text
from tui_ft.screens.configure.draft_files import begun_with, in_editor, write_draft
from tui_ft.screens.configure.field_box import box_for, with_answer
from tui_ft.screens.configure.outlook_line import OutlookLine
from tui_ft.screens.configure.yaml_pane import YamlPane
from tui_ft.screens.starting import Start, check_run, problem, start_run
from tui_ft.screens.top_line import TopLine
from tui_ft.spec import RunSpec, SpecError, find_presets
from tui_ft.spec.draft import FIRST_PRESET, Draft
from tui_ft.spec.fields import SpecField
from tui_ft.spec.loading import read_yaml
from tui_ft.widgets.choose import Choice, Choose
from tui_ft.widgets.confirm import Confirm
from tui_ft.widgets.row_table import RowTable
from tui_ft.widgets.signs import sign
from tui_ft.widgets.typed_line import TypedLine

_LOOK_SECONDS: Final = 1.0
_MOST_UNDONE: Final = 100
Asking = Literal["field", "filter", "file", "open", "preset"]


class ConfigureScreen(FtuiScreen):
    """A draft of a run. It is kept while one looks at other screens."""

    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-short"), (20, "-low"), (34, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "edit", "Edit", id="configure.edit", tooltip="Give the field a value"),
        Binding("ctrl+s", "start", "Start", id="configure.start", tooltip="Check it and start it"),
        Binding("b", "basic", "All", id="configure.all", tooltip="All fields, or the basic ones"),
        Binding(
            "d", "default", "Default", show=False, id="configure.default",
            tooltip="The default again",
        ),
        Binding("u", "undo", "Undo", id="configure.undo", tooltip="As it was before"),
        Binding("o", "open", "Open", show=False, id="configure.open", tooltip="Open a YAML file"),
        Binding(
            "ctrl+g", "memory", "Check", show=False, id="configure.memory",
            tooltip="Check it without starting, and replay a step: what it takes of a GPU, exactly",
        ),
        Binding(
            "m", "replays", "Dry runs", show=False, id="configure.replays",
            tooltip="Replay a step behind what is written, or leave that",
        ),
        Binding("p", "preset", "Preset", id="configure.preset", tooltip="Begin with a preset"),
        Binding(
            "c", "compare", "Compare", show=False, id="configure.compare",
            tooltip="Count changes from a preset",
        ),
        Binding("y", "yaml", "YAML", id="configure.yaml", tooltip="Write it as YAML"),
        Binding("e", "editor", "Editor", show=False, id="configure.editor", tooltip="In $EDITOR"),
        Binding("w", "write", "Write", id="configure.write", tooltip="Write it to a file"),
        Binding(
            "P", "save_preset", "Save preset", show=False, id="configure.save_preset",
            tooltip="Keep it as a preset of your own",
        ),
        Binding(
            "slash", "filter", "Filter", key_display="/", show=False, id="configure.filter",
            tooltip="Fields whose name or meaning holds a text",
        ),
        Binding("escape", "back", "Back", show=False, id="configure.back", tooltip="Leave this"),
        Binding("q", "app.home", "Back", id="configure.quit", tooltip="Back to Home"),
        HELP,
    ]  # fmt: skip

    class Started(Message):
        """The run was started, or this is why not."""

        def __init__(self, start: Start, spec: RunSpec) -> None:
            self.start, self.spec = start, spec
            super().__init__()

    class Measured(Message):
        """What stands against the run, and what a replayed step takes of a GPU, in words."""

        def __init__(self, lines: list[Content]) -> None:
            self.lines = lines
            super().__init__()

    def __init__(self, draft: Draft | None = None) -> None:
        super().__init__()
        self._draft = draft or Draft.from_preset(FIRST_PRESET)
        self._before: list[Draft] = []
        self._fields: tuple[SpecField, ...] = ()
        self._everything = False
        self._sought = ""
        self._asking: Asking | None = None
        self._edited: SpecField | None = None
        self._starting = False

    def compose_content(self) -> ComposeResult:
        """Lay out fields, what is said of one, what the run comes to."""
        yield Static(id="headline")
        yield OutlookLine(id="outlook")
        with Horizontal(id="configure-panes"):
            with Vertical(id="fields-box", classes="box") as box:
                box.border_title = "Fields"
                yield RowTable(self._line, id="fields")
            yield YamlPane(id="yaml-box")
            with VerticalScroll(id="notes-box", classes="box") as box:
                box.border_title = "Faults and changes"
                yield Static(id="notes")
        yield Static(id="about-field")
        yield Static(id="answer")
        yield TypedLine(id="typed")

    def on_mount(self) -> None:
        """Show the draft."""
        for later in ("#yaml-box", "#typed"):
            self.query_one(later).display = False
        self.query_one("#fields").focus()
        self.set_interval(_LOOK_SECONDS, self._look)
        self._look()
        self._show()
        self._go_to_fault()

    def begin(self, draft: Draft) -> None:
        """Take another draft in the place of this one, which `u` brings back."""
        if self.is_attached:
            self._take(draft)
        else:
            self._draft = draft

    def _look(self) -> None:
        if self.is_current:
            self.query_one(TopLine).show(self.shell.hardware.latest(), self.shell.live_runs())

    # What is shown

    @property
    def _field(self) -> SpecField | None:
        """The field under the cursor."""
        at = self.query_one(RowTable).cursor
        return self._fields[at] if 0 <= at < len(self._fields) else None

    def _line(self, index: int, width: int) -> str:
        return configure_text.field_line(self._draft, self._fields[index], width)

    def _take(self, draft: Draft) -> None:
        """Take an edited draft; `u` brings the present one back."""
        if draft is self._draft:
            return
        self._before = [*self._before[-_MOST_UNDONE:], self._draft]
        self._draft = draft
        if not self._starting:
            self._answer([])  # it was said of another run
        self._show()

    def _show(self) -> None:
        under = self._field
        self._fields = configure_text.matching(
            self._draft.fields, self._draft, self._sought, everything=self._everything
        )
        shown = "all" if self._everything else "basic"
        title = f"Fields · {self._sought or shown}"
        self.query_one("#fields-box").border_title = Content(text.plain(title))
        table = self.query_one(RowTable)
        table.show(len(self._fields))
        keys = [one.key for one in self._fields]
        if under is not None and under.key in keys:
            table.cursor = keys.index(under.key)  # the same field, wherever it stands now
        table.refresh()
        self.query_one("#headline", Static).update(configure_text.headline(self._draft))
        lacking = self.query_one(OutlookLine).lacking
        self.query_one("#notes", Static).update(configure_text.notes(self._draft, lacking))
        self._show_about(self._draft)
        self._show_outlook(self._draft)

    def _go_to_fault(self) -> None:
        """Stand on the first field that something is wrong with: most often it has to be given."""
        wrong = (n for n, f in enumerate(self._fields) if self._draft.problem_of(f.key))
        self.query_one(RowTable).cursor = next(wrong, 0)

    def _show_outlook(self, draft: Draft) -> None:
        self.query_one(OutlookLine).show(draft, self.shell.hardware.latest())

    def on_outlook_line_looked_up(self) -> None:
        """Show what the run comes to, and what is not known."""
        self._show()

    def on_outlook_line_replayed(self) -> None:
        """Show what a dry run found, of what is being typed too."""
        typed = self.query_one("#typed", Input).value
        edits = self._asking == "field" and self._edited is not None
        self._show_outlook(
            self._draft.with_text(self._edited, typed) if edits and self._edited else self._draft
        )

    def _show_about(self, draft: Draft) -> None:
        one, pane = self._edited or self._field, self.query_one(YamlPane)
        if pane.display:
            about = configure_text.about_yaml(draft, pane.problem)
        else:
            about = configure_text.about_field(draft, one) if one else Content("no such field")
        self.query_one("#about-field", Static).update(about)

    def on_row_table_moved(self) -> None:
        """Say what the field under the cursor means."""
        self._show_about(self._draft)

    # Editing a field

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where YAML is written, enter begins a line and edits no field."""
        return action != "edit" or not any(pane.display for pane in self.query(YamlPane))

    def action_edit(self) -> None:
        """Give the field under the cursor a value: flags turn, choices are chosen, texts typed."""
        one = self._field
        if one is None or self._asking is not None:
            return
        now = self._draft.text_of(one)
        box = box_for(self._draft, one, self.shell.hardware.latest)
        if box is not None:
            self.app.push_screen(box, lambda said: self._take(with_answer(self._draft, one, said)))
        elif one.kind == "flag":
            self._take(self._draft.with_text(one, "false" if now == "true" else "true"))
        else:
            self._edited = one
            self._ask("field", now, text.one_line(one.help, 70))

    def _ask(self, what: Asking, value: str, placeholder: str) -> None:
        self._asking = what
        field = self.query_one("#typed", Input)
        field.placeholder = placeholder
        field.value = value
        field.display = True
        field.focus()

    def _end_asking(self) -> None:
        self._asking = self._edited = None
        self.query_one("#typed").display = False
        self.query_one("#fields").focus()
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what is wrong with what is being typed; filter as one types."""
        if self._asking == "filter":
            self._sought = event.value.strip()
            self._show()
        elif self._asking == "field" and self._edited is not None:
            draft = self._draft.with_text(self._edited, event.value)
            self._show_about(draft)
            self._show_outlook(draft)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed, unless it is wrong."""
        typed = event.value.strip()
        match self._asking:
            case "field" if self._edited is not None:
                draft = self._draft.with_text(self._edited, typed)
                wrong = draft.problem_of(self._edited.key)
                if wrong is not None and typed:
                    self._show_about(draft)
                    return
                self._take(draft)
            case "open" | "file" | "preset" as asked:
                if typed:
                    self._read_or_write(asked, typed)
                return  # what was typed stays until it is done
        self._end_asking()

    def _read_or_write(self, asked: Asking, typed: str) -> None:
        if asked == "open":
            self._open(typed)
        elif asked == "file":
            write_draft(self.app, self._draft, paths.expand(typed), self._end_asking)
        elif "/" in typed:
            self.notify("a preset's name holds no `/`", severity="error", markup=False)
        else:
            file = paths.config_dir() / "presets" / f"{typed}.yaml"
            write_draft(self.app, self._draft, file, self._end_asking)

    def action_back(self) -> None:
        """Leave what is being typed, then the YAML, what was said, the filter."""
        if self.query_one("#yaml-box").display:
            self._close_yaml()
        elif self._asking is not None:
            if self._asking == "filter":
                self._sought = ""
            self._end_asking()
        elif self.has_class("-answered"):
            self._answer([])
        elif self._sought:
            self._sought = ""
            self._show()

    def action_basic(self) -> None:
        """Show all fields, or the basic ones again."""
        self._everything = not self._everything
        self._show()

    def action_filter(self) -> None:
        """Type a part of a field's name or meaning."""
        self._ask("filter", self._sought, "a part of a field's name or meaning")

    def action_default(self) -> None:
        """Give the field under the cursor its default again."""
        if self._field is not None:
            self._take(self._draft.without(self._field.key))

    def action_undo(self) -> None:
        """Go back by one change."""
        if self._before:
            self._draft = self._before.pop()
            self._show()

    # Presets

    def action_preset(self) -> None:
        """Begin with a preset; model and data are kept."""
        self._choose_preset("begin with", self._begin_with)

    def action_compare(self) -> None:
        """Count changes from a preset."""
        self._choose_preset("compare with", self._compare_with)

    def _choose_preset(self, title: str, then: Callable[[str | None], None]) -> None:
        presets = find_presets()
        choices = [Choice(name, presets[name].description) for name in sorted(presets)]
        self.app.push_screen(Choose(title, choices, self._draft.origin), then)

    def _begin_with(self, name: str | None) -> None:
        if name is not None:
            self._take(begun_with(name, self._draft))

    def _compare_with(self, name: str | None) -> None:
        if name is not None:
            self._take(replace(self._draft, began_as=find_presets()[name].values, origin=name))

    # YAML

    def action_yaml(self) -> None:
        """Write the run as YAML; what is written there is the run."""
        self._open_yaml()

    def _open_yaml(self, written: str | None = None) -> None:
        self.query_one("#fields-box").display = False
        self.query_one(YamlPane).open(self._draft, written)
        self.refresh_bindings()
        self._show_about(self._draft)

    def on_yaml_pane_written(self, message: YamlPane.Written) -> None:
        """Take what is written, and say what is wrong with it."""
        if message.draft.values != self._draft.values:
            self._take(message.draft)
        self._show_about(message.draft)

    def _close_yaml(self) -> None:
        pane = self.query_one(YamlPane)
        if pane.problem:
            said = f"kept as it could be read last: {pane.problem}; `y` shows what was written"
            self.notify(said, severity="warning", markup=False)
        pane.display = False
        self.refresh_bindings()
        self.query_one("#fields-box").display = True
        self.query_one("#fields").focus()
        self._show()

    def action_editor(self) -> None:
        """Write the run as YAML in `$EDITOR`."""
        written = in_editor(self.app, self._draft)
        if written is None:
            return
        try:
            edited = self._draft.with_yaml(written, "run.yaml")
        except SpecError:
            self._open_yaml(written)  # which says why it cannot be read; nothing is lost
        else:
            if edited.values != self._draft.values:
                self._take(edited)

    # Files

    def action_write(self) -> None:
        """Write what has been said to a file, for `ftui train`."""
        name = next((self._draft.text_of(f) for f in self._draft.fields if f.key == "name"), "run")
        self._ask("file", f"{name}.yaml", "a file; enter writes it")

    def action_open(self) -> None:
        """Go on with a run that is written in a file."""
        self._ask("open", "", "a YAML file of a run; enter opens it")

    def _open(self, name: str) -> None:
        try:
            values, _ = read_yaml(paths.expand(name))
        except SpecError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._end_asking()
        if "stages" in values:  # it is a chain, which is started as it stands
            start_chain(self, file=name)
        else:
            self._take(Draft.begin(values, Path(name).name))

    def action_save_preset(self) -> None:
        """Keep it as a preset of your own."""
        if not self._draft.is_set("description"):
            self.notify("give it a `description` first: a preset says when to use it")
            return
        self._ask("preset", "", "the name of the preset; enter writes it")

    # Memory, and starting

    def action_memory(self) -> None:
        """Check it and replay a step off the screen's thread, and say what was found."""
        spec = self._draft.spec
        if spec is None:
            self.action_start()  # which says what is wrong
            return
        self._answer([Content("checks it, replays a step; a large model takes some seconds …")])
        snapshot = self.shell.hardware.latest()

        def work() -> None:
            self.post_message(self.Measured(check_run(spec, snapshot)))

        self.run_worker(work, thread=True, group="memory", exclusive=True, exit_on_error=False)

    def action_replays(self) -> None:
        """Let dry runs follow what is written, or leave them."""
        line = self.query_one(OutlookLine)
        line.replays = not line.replays
        self._show_outlook(self._draft)

    def on_configure_screen_measured(self, message: Measured) -> None:
        """Say what was found, unless the run is being started by now."""
        if not self._starting:
            self._answer(message.lines)

    def action_start(self) -> None:
        """Check and start, off the screen's thread, once however often the key is pressed."""
        if self._starting:
            return
        if self._asking == "field":
            self.notify("`enter` takes what is typed, `ctrl+s` starts the run then", markup=False)
            return
        spec = self._draft.spec
        if spec is None:
            faults = [configure_text.problem_line(one) for one in self._draft.problems]
            self._answer(faults)
            return
        self._start(spec)

    def _start(self, spec: RunSpec, *, anyway: bool = False) -> None:
        self._starting = True
        self._answer([Content("checks it and starts it …")])

        def work() -> None:
            self.post_message(self.Started(start_run(spec, anyway=anyway), spec))

        self.run_worker(work, thread=True, group="start", exit_on_error=False)

    def on_configure_screen_started(self, message: Started) -> None:
        """Go to the run, or say in place what stands against it; ask where something warns."""
        self._starting = False
        start, spec = message.start, message.spec
        warned = [sign("warning").content(one) for one in start.warnings]
        self._answer([*start.problems, *warned])
        if start.folder is not None:
            self.shell.open_run(start.folder.id)
        elif warned:
            said = "\n".join(one.plain for one in warned)
            box = Confirm(f"Start {spec.name} all the same?", said, "Start", destructive=False)
            self.app.push_screen(box, lambda yes: self._start(spec, anyway=True) if yes else None)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what nobody foresaw, too."""
        super().on_worker_state_changed(event)
        if event.state is not WorkerState.ERROR:
            return
        if event.worker.group == "start":
            self._starting = False
            self._answer([problem(repr(event.worker.error))])
        elif event.worker.group == "memory":
            self.post_message(self.Measured([problem(repr(event.worker.error))]))

    def _answer(self, lines: Sequence[Content]) -> None:
        self.set_class(bool(lines), "-answered")
        self.query_one("#answer", Static).update(Content("\n").join(lines))
