"""Which GPUs a run gets, chosen by what they do now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui_ft import text
from tui_ft.hardware import Gpu
from tui_ft.widgets.gpu_rows import short_name
from tui_ft.widgets.signs import sign

_LOOK_SECONDS: Final = 1.0
_WORDS: Final = (("auto", "one GPU that is free, the CPU when there is none"), ("none", "the CPU"))


class ChooseGpus(ModalScreen[str | None]):
    """Dismisses with what `hardware.gpus` is to be: `auto`, `none`, or `[0, 1]`; None to leave it.

    Args:
        gpus: tells what the machine's GPUs do now.
        chosen: the numbers that are chosen already.
    """

    DEFAULT_CSS = """
    ChooseGpus {
        align: center middle;
        & > Vertical {
            width: 78;
            max-width: 98%;
            height: auto;
            max-height: 90%;
            padding: 0 1;
            border: round $accent;
            background: $surface;
        }
        & OptionList { height: auto; max-height: 14; border: none; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="gpus.mark", tooltip="Take this GPU, or not"),
        Binding("escape", "cancel", "Cancel", id="gpus.cancel", tooltip="Leave it as it is"),
        Binding("j", "move(1)", "Down", show=False, id="gpus.down"),
        Binding("k", "move(-1)", "Up", show=False, id="gpus.up"),
    ]

    def __init__(self, gpus: Callable[[], Sequence[Gpu]], chosen: Sequence[int]) -> None:
        super().__init__()
        self._gpus = gpus
        self._chosen = set(chosen)

    def compose(self) -> ComposeResult:
        """Lay out one line for each GPU, and the two words."""
        with Vertical() as box:
            box.border_title = "hardware.gpus"
            box.border_subtitle = "space marks   enter takes it   esc cancel"
            yield OptionList()

    def on_mount(self) -> None:
        """Show them, and again every second."""
        self._show()
        options = self.query_one(OptionList)
        options.highlighted = 0
        options.focus()
        self.set_interval(_LOOK_SECONDS, self._show)

    def _show(self) -> None:
        options = self.query_one(OptionList)
        lines = [
            *((str(gpu.index), self._line(gpu)) for gpu in self._gpus()),
            *((word, Content(f"  {word}   {said}")) for word, said in _WORDS),
        ]
        if [option.id for option in options.options] != [name for name, _ in lines]:
            options.set_options(Option(line, id=name) for name, line in lines)
            return
        for name, line in lines:
            options.replace_option_prompt(name, line)

    def _line(self, gpu: Gpu) -> Content:
        mark = sign("marked").text() if gpu.index in self._chosen else " "
        holders = {process.user or "someone" for process in gpu.processes}
        held = f"held by {', '.join(sorted(holders))}" if holders else "free"
        used = f"{text.gibibytes(gpu.memory_used_bytes)}/{text.memory(gpu.memory_total_bytes)}"
        line = (
            f"{mark} {gpu.index} {short_name(gpu.name):<8} {used:>14}  "
            f"{text.percent(gpu.utilization):>6}  {held}"
        )
        return Content(text.plain(line))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take a word, or the GPUs marked, or when none is the one under the cursor."""
        name = event.option_id or "auto"
        if not name.isdigit():
            self.dismiss(name)
            return
        self.dismiss(str(sorted(self._chosen or {int(name)})))

    def action_mark(self) -> None:
        """Take the GPU under the cursor, or leave it."""
        options = self.query_one(OptionList)
        option = options.highlighted_option
        if option is not None and option.id is not None and option.id.isdigit():
            self._chosen ^= {int(option.id)}
            self._show()

    def action_cancel(self) -> None:
        """Leave it as it is."""
        self.dismiss(None)

    def action_move(self, by: int) -> None:
        """Go down or up, as in every list."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if by > 0 else options.action_cursor_up()
