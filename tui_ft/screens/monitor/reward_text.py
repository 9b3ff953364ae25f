"""What the monitor says of a run whose answers are rewarded, beside its charts."""

from __future__ import annotations

import re
from typing import Final

from tui_ft import text
from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory

_OWN_MEAN: Final = re.compile(r"rewards/(?P<name>[^/]+)/mean")
_FEW: Final = 2
"""Of a single reward its own mean is the reward, and need not be said again."""


def rows_text(plan: ev.Plan) -> str:
    """Return how much there is to learn from; of prompts what is learned is made in training."""
    counted = f"{text.count(plan.train_rows)} rows, {text.count(plan.train_tokens)} tokens"
    if not plan.supervised_tokens:
        return f"{text.count(plan.train_rows)} prompts, {text.count(plan.train_tokens)} tokens"
    learned = text.percent(plan.supervised_tokens / max(1, plan.train_tokens))
    return f"{counted}, {learned} learned"


def reward_lines(history: RunHistory) -> list[str]:
    """Return the newest of each reward's mean, and how answers and updates are cut or alike."""
    if history.leading != "reward":
        return []
    means = [
        (found["name"], series.last())
        for name, series in history.metrics.items()
        if (found := _OWN_MEAN.fullmatch(name))
    ]
    lines = [
        f"{text.plain(name.replace('_', ' '))} {text.significant(mean)}"
        for name, mean in means
        if mean is not None and len(means) >= _FEW
    ]
    for name, said in _FIGURES.items():
        value = history.series(name).last()
        if value is not None:
            shown = text.percent(value) if said.endswith("%") else text.significant(value)
            lines.append(said.removesuffix("%").format(shown))
    return lines


_FIGURES: Final = {
    "kl": "KL {} from the model before",
    "objective/kl": "KL {} of whole answers",
    "kl_coef": "weight of the KL {}",
    "completions/mean_length": "answers of {} tokens",
    "completions/clipped_ratio": "{} of answers cut%",
    "frac_reward_zero_std": "{} of prompts with answers all alike%",
    "clip_ratio/region_mean": "{} of updates clipped%",
}
"""Figures by trl's names, and how they are said; those that end with % are shares."""
