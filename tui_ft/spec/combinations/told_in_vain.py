"""What is passed on to a trainer (`training.extra`) that ftui has done before, or does elsewhere.

These are arguments that trl or transformers really takes, and that would do nothing here, or go
around what the run promises. Arguments that are not there at all are another matter, for
`spec.passed_on`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tui_ft.spec.combinations.combination import Combination
from tui_ft.spec.run_spec import RunSpec

MASKS: Final = ("assistant_only_loss", "completion_only_loss")
ROWS: Final = (
    "chat_template_path",
    "chat_template_kwargs",
    "dataset_kwargs",
    "dataset_num_proc",
    "dataset_text_field",
    "eos_token",
    "eval_packing",
    "is_encoder_decoder",
    "max_completion_length",
    "pad_token",
    "padding_value",
    "truncation_mode",
)
LOADING: Final = ("model_init_kwargs", "trust_remote_code")
TRACKERS: Final = ("report_to",)


def _passes_on(*names: str) -> Callable[[RunSpec], bool]:
    return lambda spec: any(name in spec.training.extra for name in names)


TOLD_IN_VAIN: Final = (
    Combination(
        "what carries loss, said to the trainer",
        _passes_on(*MASKS),
        f"training.extra has {' or '.join(MASKS)}, and the trainer is not asked: which tokens "
        "carry loss is settled before it gets them",
        "leave it out; objective.loss_on of sft says which tokens carry loss",
    ),
    Combination(
        "how rows become tokens, said to the trainer",
        _passes_on(*ROWS),
        "training.extra has an argument on how rows become tokens, and the trainer gets tokens, to "
        f"which it would do nothing: {', '.join(ROWS)}",
        "leave it out; model.chat_template, data.columns, training.max_length and packing say it",
    ),
    Combination(
        "how a model is loaded, said to the trainer",
        _passes_on(*LOADING),
        f"training.extra has {' or '.join(LOADING)}, and the trainer is given a model that is "
        "loaded already",
        "put it into model.extra, or set model.trust_remote_code",
    ),
    Combination(
        "a tracker in the training process",
        _passes_on(*TRACKERS),
        "training.extra.report_to would put a tracker into the training process, where it could "
        "slow the run down or end it",
        "set tracking.report_to instead: each tracker there has a process of its own",
    ),
)
