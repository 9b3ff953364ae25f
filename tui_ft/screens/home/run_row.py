"""A run, or a chain, as a row of a list in columns that do not move, and in the lines below."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.chains.glance import ChainGlance
from tui_ft.runs.registry import RunSummary
from tui_ft.widgets.bars import bar_string
from tui_ft.widgets.signs import ascii_only, sign, state_content

_STATE_WIDTH: Final = 12
_FIGURE_WIDTH: Final = 7
_AGE_WIDTH: Final = 4
_METHOD_WIDTH: Final = 6
_USER_WIDTH: Final = 10
_SHORTEST_NAME: Final = 7
_LONGEST_NAME: Final = 40
_SHORTEST_BAR: Final = 3
_USUAL_NAME: Final = 24
_LEAST_PROGRESS: Final = 12
_PROGRESS: Final = 18
_MORE_PROGRESS: Final = 40
_WITH_LEFT: Final = 62
_WITH_AGE: Final = 73
_WITH_MORE: Final = 114


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide a list's columns are, in cells.

    Attributes:
        left: whether there is room for the time that is left.
        age: whether there is room for it.
        more: whether there is room for evaluation loss, method and user.
    """

    name: int
    progress: int
    left: bool
    age: bool
    more: bool

    @classmethod
    def within(cls, width: int, padding: int) -> Columns:
        """Return columns for ``width`` cells, ``padding`` around each: the name gives way first."""
        progress = _PROGRESS if width >= _WITH_AGE else _LEAST_PROGRESS
        has = (width >= least for least in (_WITH_LEFT, _WITH_AGE, _WITH_MORE))
        nameless = cls(0, progress, *has)
        left = width - sum(cells + 2 * padding for _, _, cells in nameless.table())
        name = max(_SHORTEST_NAME, min(_USUAL_NAME, left))
        more = max(0, min(_MORE_PROGRESS, left - name))
        name = max(name, min(_LONGEST_NAME, left - more))
        return replace(nameless, name=name, progress=progress + more)

    def table(self) -> list[tuple[str, str, int]]:
        """Return key, label and width of each column."""
        figure = _FIGURE_WIDTH
        age = [("age", "age".rjust(_AGE_WIDTH), _AGE_WIDTH)] if self.age else []
        left = [("left", "left".rjust(figure), figure)] if self.left else []
        evaluation = [("eval", "eval".rjust(figure), figure)] if self.more else []
        who = [("method", "method", _METHOD_WIDTH), ("user", "by", _USER_WIDTH)]
        return [
            ("mark", "", 1),
            ("state", "state", _STATE_WIDTH),
            ("run", "run", self.name),
            ("progress", "progress", self.progress),
            ("loss", "loss".rjust(figure), figure),
            *evaluation,
            *left,
            *age,
            *(who if self.more else []),
        ]


def run_cells(
    run: RunSummary, columns: Columns, now: float, *, marked: bool, is_stage: bool = False
) -> list[Content]:
    """Return the cells of ``run``, one for each of ``columns``; a stage stands under its chain."""
    since = run.ended or run.created
    under = ("- " if ascii_only() else "└ ") if is_stage else ""
    cells = {
        "mark": sign("marked").content() if marked else Content(" "),
        "state": state_content(run.state),
        "run": Content(under + short_name(run.id, columns.name - len(under))),
        "progress": Content(progress_text(run, columns.progress)),
        "loss": _figure(None if run.loss is None else text.significant(run.loss)),
        "eval": _figure(None if run.eval_loss is None else text.significant(run.eval_loss)),
        "left": _figure(None if run.eta_s is None else text.duration(run.eta_s)),
        "age": Content(f"{'' if since is None else text.age(now - since):>{_AGE_WIDTH}}"),
        "method": Content(text.one_line(run.method, _METHOD_WIDTH)),
        "user": Content(text.one_line(run.user, _USER_WIDTH)),
    }
    return [cells[key] for key, _, _ in columns.table()]


def chain_cells(chain: ChainGlance, columns: Columns, now: float) -> list[Content]:
    """Return the cells of ``chain``: where the steps of a run would be, its stage."""
    since = chain.verdict.ended or chain.created
    cells = {
        "state": state_content(chain.verdict.state),
        "run": Content.styled(short_name(chain.id, columns.name), "bold"),
        "progress": Content(stage_text(chain, columns.progress)),
        "age": Content(f"{'' if since is None else text.age(now - since):>{_AGE_WIDTH}}"),
        "method": Content("chain"),
    }
    return [cells.get(key, Content("")) for key, _, _ in columns.table()]


def stage_text(chain: ChainGlance, width: int) -> str:
    """Return the stage that a chain is at, or was at last: `stage 2/3 reward`."""
    if chain.place is None:
        return "begins" if chain.is_live else "no run"
    of = chain.place.of
    if chain.verdict.state == "finished":
        return f"{of}/{of} stages"
    return text.one_line(f"stage {chain.place.number}/{of} {chain.place.stage}", width)


def progress_text(run: RunSummary, width: int) -> str:
    """Return bar and steps of a run, or in their place why it waits or what went wrong."""
    fraction = run.fraction
    if run.state in ("queued", "failed", "crashed") or fraction is None:
        return text.one_line(run.reason, width)
    steps = f"{run.step}/{run.total_steps}"
    if len(steps) > width:
        return text.percent(fraction)
    bar = min(width // 2, width - len(steps) - 1)
    return steps if bar < _SHORTEST_BAR else f"{bar_string(fraction, bar)} {steps}"


def short_name(name: str, width: int) -> str:
    """Return ``name`` in ``width`` cells; its middle goes, as names often differ at the end."""
    shown = text.plain(name)
    if len(shown) <= width:
        return shown
    head = (width - 1) // 2
    return f"{shown[:head]}…{shown[len(shown) - (width - 1 - head) :]}"


def detail_of(run: RunSummary) -> Content:
    """Return what a person should know of the run selected: its reason, and what to do."""
    stage = f"  chain {text.plain(run.place)}" if run.place else ""
    first = Content.assemble((text.plain(run.id), "bold"), f"{stage}  {text.plain(run.reason)}")
    return Content("\n").join([first, *(Content(f"→ {text.plain(a)}") for a in run.advice)])


def chain_detail(chain: ChainGlance) -> Content:
    """Return what a person should know of the chain selected."""
    reason = f"  chain, {chain.verdict.state}  {text.plain(chain.verdict.reason)}"
    first = Content.assemble((text.plain(chain.id), "bold"), reason)
    lines = [Content(f"→ {text.plain(one)}") for one in chain.verdict.advice]
    return Content("\n").join([first, *lines])


def _figure(shown: str | None) -> Content:
    return Content(f"{shown or '':>{_FIGURE_WIDTH}}")
