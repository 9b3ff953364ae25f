"""How much a run does: passes, steps, tokens of a row with its padding."""

from __future__ import annotations

import math
from typing import Final

from tui_ft.advise.objective import is_supervised
from tui_ft.advise.online import GROUPS, is_online
from tui_ft.advise.plans import Plan, longest_option
from tui_ft.advise.state import State

HELD_OUT: Final = {"tenth": 0.1, "twentieth": 0.05, "none": 0.0, "file": 0.0}
"""The share of rows that is held out, by the answer at `evaluation`."""
HELD_OUT_PROMPTS: Final = 64
"""How many held-out prompts are answered at each look, and how often they are, below."""
ANSWERING_LOOKS: Final = 5
PPO_EPOCHS: Final = 4
"""How often PPO learns from its answers."""
_MUCH_PADDING: Final = 2.0


def total_steps(state: State, plan: Plan) -> int | None:
    """Return the optimizer steps of the whole run; None where rows are not known."""
    passes = total_passes(state, plan)
    return None if passes is None else math.ceil(passes / plan.accumulation)


def total_answers(state: State, plan: Plan) -> int | None:
    """Return the answers that each GPU generates over the whole run; 0 where none are.

    Held-out prompts are answered in smaller batches than those of training: each counts for the
    answers that would be generated in the same time.
    """
    passes = total_passes(state, plan)
    if passes is None or not is_online(state.choice("objective")):
        return None if passes is None else 0
    again = 1 if state.choice("objective") in GROUPS else PPO_EPOCHS
    looks = ANSWERING_LOOKS if HELD_OUT[state.choice("evaluation")] or state.data.eval else 0
    held_out = (state.rows or 0) * HELD_OUT[state.choice("evaluation")]
    prompts = HELD_OUT_PROMPTS if state.data.eval else min(HELD_OUT_PROMPTS, held_out)
    batches = math.ceil(prompts / (plan.batch * plan.gpus))
    return max(1, passes * plan.batch // again) + looks * batches * plan.at_once


def total_passes(state: State, plan: Plan) -> int | None:
    """Return the forward and backward passes of each GPU over all epochs."""
    rows = state.rows
    if rows is None:
        return None
    option = longest_option(state.data, plan.max_length)
    packed = state.choice("packing") == "yes" and option is not None
    sequences = option.sequences if packed and option is not None else rows
    kept = sequences * (1 - HELD_OUT[state.choice("evaluation")])
    objective = state.choice("objective")
    if objective in GROUPS:
        kept *= int(state.choice("group"))
    elif is_online(objective):
        kept *= PPO_EPOCHS
    each = math.ceil(max(1.0, kept) / (plan.batch * plan.gpus))
    return max(1, math.ceil(each * float(state.choice("epochs"))))


def groups_by_length(state: State, plan: Plan) -> bool:
    """Tell whether rows of like length are put together, as far as padding would cost much."""
    if plan.batch == 1 or state.choice("packing") == "yes":
        return False
    return is_supervised(state.choice("objective")) and longest_to_mean(state) > _MUCH_PADDING


def mean_padded_length(state: State, plan: Plan) -> int:
    """Return the tokens of a row with its padding, in the mean.

    Rows alone are not padded, packed ones are full; of rows in a batch it is in the middle between
    their mean and the longest, and a tenth above the mean where like lengths go together.
    """
    tokens, rows = state.data.tokens, state.rows
    if is_online(state.choice("objective")):
        return plan.max_length  # answers run up to their limit, at first at least
    if tokens is None or not rows or state.choice("packing") == "yes":
        return plan.max_length
    mean = min(plan.max_length, max(1, tokens.value // rows))
    if plan.batch == 1:
        return mean
    if groups_by_length(state, plan):
        return min(plan.max_length, mean * 11 // 10)
    longest = state.data.longest
    return (mean + min(plan.max_length, longest.value if longest else plan.max_length)) // 2


def longest_to_mean(state: State) -> float:
    """Return how many times the mean the longest row is; 1 where tokens were not counted."""
    tokens, rows, longest = state.data.tokens, state.rows, state.data.longest
    if tokens is None or not tokens.value or not rows or longest is None:
        return 1.0
    return longest.value * rows / tokens.value
