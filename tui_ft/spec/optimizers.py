"""The optimizers and learning-rate schedules that transformers offers, and what each needs.

Facts of transformers 5.23, kept here because the app does not load it; a test holds them against
its own lists.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Needs:
    """What an optimizer needs beside torch.

    Attributes:
        module: the module that has to be importable; empty for none.
        package: what is installed to have it.
        targets: whether `optim_target_modules` has to say which layers it projects.
        layerwise: whether it steps in the backward pass, and so cannot accumulate gradients, nor
            wait for those of other processes, nor know how long all of them together are.
        cuda: whether it runs on NVIDIA GPUs alone.
        forgets: whether its states are not in checkpoints, so that a resumed run goes on without
            them (layerwise ones: with the schedule from its beginning, too).
        broken: why it cannot be made at all with today's transformers; empty where it can.
    """

    module: str = ""
    package: str = ""
    targets: bool = False
    layerwise: bool = False
    cuda: bool = False
    forgets: bool = False
    broken: str = ""


_TORCH: Final = Needs()
_BITSANDBYTES: Final = Needs("bitsandbytes", "bitsandbytes")
_TORCHAO: Final = Needs("torchao", "torchao")
_GALORE: Final = Needs("galore_torch", "galore-torch", targets=True)
_GALORE_LAYERWISE: Final = replace(_GALORE, layerwise=True, forgets=True)
_LOMO: Final = Needs("lomo_optim", "lomo-optim", layerwise=True)
_APOLLO: Final = Needs("apollo_torch", "apollo-torch", targets=True)
_FREE: Final = Needs("schedulefree", "schedulefree")

OPTIMIZERS: Final[dict[str, Needs]] = {
    "adamw_torch": _TORCH,
    "adamw_torch_fused": _TORCH,
    "adamw_torch_xla": Needs("torch_xla", "torch_xla"),
    "adamw_torch_npu_fused": Needs("torch_npu", "torch_npu"),
    "adafactor": _TORCH,
    "adamw_anyprecision": Needs("torchdistx", "torchdistx, from its repository"),
    "adamw_torch_4bit": _TORCHAO,
    "adamw_torch_8bit": _TORCHAO,
    "ademamix": _BITSANDBYTES,
    "sgd": _TORCH,
    "adagrad": _TORCH,
    "adamw_bnb_8bit": _BITSANDBYTES,
    "adamw_8bit": _BITSANDBYTES,
    "ademamix_8bit": _BITSANDBYTES,
    "lion_8bit": _BITSANDBYTES,
    "lion_32bit": _BITSANDBYTES,
    "paged_adamw_32bit": _BITSANDBYTES,
    "paged_adamw_8bit": _BITSANDBYTES,
    "paged_ademamix_32bit": _BITSANDBYTES,
    "paged_ademamix_8bit": _BITSANDBYTES,
    "paged_lion_32bit": _BITSANDBYTES,
    "paged_lion_8bit": _BITSANDBYTES,
    "rmsprop": _TORCH,
    "rmsprop_bnb": _BITSANDBYTES,
    "rmsprop_bnb_8bit": _BITSANDBYTES,
    "rmsprop_bnb_32bit": _BITSANDBYTES,
    "galore_adamw": _GALORE,
    "galore_adamw_8bit": replace(_GALORE, cuda=True),
    "galore_adafactor": _GALORE,
    "galore_adamw_layerwise": _GALORE_LAYERWISE,
    "galore_adamw_8bit_layerwise": replace(_GALORE_LAYERWISE, cuda=True),
    "galore_adafactor_layerwise": replace(
        _GALORE_LAYERWISE,
        # Only the other form is given scale_parameter and relative_step (trainer_optimizer.py).
        broken="transformers makes galore_adafactor_layerwise with a rate and relative steps at "
        "once, which GaLore refuses",
    ),
    "lomo": _LOMO,
    "adalomo": replace(_LOMO, cuda=True, forgets=True),
    "grokadamw": Needs("grokadamw", "grokadamw", forgets=True),
    "schedule_free_radam": _FREE,
    "schedule_free_adamw": _FREE,
    "schedule_free_sgd": _FREE,
    "apollo_adamw": _APOLLO,
    "apollo_adamw_layerwise": replace(_APOLLO, layerwise=True, forgets=True),
    "stable_adamw": Needs("optimi", "torch-optimi"),
}

SCHEDULE_FREE: Final = tuple(name for name, needs in OPTIMIZERS.items() if needs is _FREE)
"""They average their weights in place of a falling rate (arXiv:2405.15682)."""
_ARGUMENTS: Final = re.compile(r"\s*\w+\s*=[^,=]+(,\s*\w+\s*=[^,=]+)*")
_COSINE: Final = ("num_cycles",)
_MIN_LR: Final = ("num_cycles", "min_lr", "min_lr_rate")
SCHEDULES: Final[dict[str, tuple[str, ...]]] = {
    "linear": (),
    "cosine": _COSINE,
    "cosine_with_restarts": _COSINE,
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "reduce_lr_on_plateau": (
        "mode",
        "factor",
        "patience",
        "threshold",
        "threshold_mode",
        "cooldown",
        "min_lr",
        "eps",
    ),
    "cosine_with_min_lr": _MIN_LR,
    "cosine_warmup_with_min_lr": (*_MIN_LR, "warmup_lr_rate"),
    "warmup_stable_decay": (
        "num_decay_steps",
        "num_stable_steps",
        "warmup_type",
        "decay_type",
        "min_lr_ratio",
        "num_cycles",
    ),
    "greedy": (
        "mode",
        "factor",
        "patience",
        "threshold",
        "threshold_mode",
        "cooldown",
        "warmup",
        "min_lr",
        "max_lr",
        "eps",
        "smooth",
        "window_size",
        "reset_start",
        "verbose",
    ),
}
"""The name of a schedule -> the names that its `lr_scheduler_kwargs` may have."""
FOLLOWS_EVALUATION: Final = ("reduce_lr_on_plateau", "greedy")
"""Schedules that look at the evaluation loss."""
_WITHOUT_WARMUP: Final = ("constant", *FOLLOWS_EVALUATION)
"""Schedules that pass over `warmup_steps`."""
_ONE_OF: Final[dict[str, tuple[str, ...]]] = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}


def known_optimizer(name: str) -> str:
    """Return ``name``.

    Raises:
        ValueError: transformers has no optimizer of that name.
    """
    return _known(name, OPTIMIZERS)


def known_schedule(name: str) -> str:
    """Return ``name``.

    Raises:
        ValueError: transformers has no schedule of that name.
    """
    return _known(name, SCHEDULES)


def optimizer_arguments(given: str | None) -> str | None:
    """Return ``given``, once it is of the form that transformers takes apart.

    Raises:
        ValueError: it is not.
    """
    if given is not None and not _ARGUMENTS.fullmatch(given):
        raise ValueError(f"{given!r} does not read `name=value, name=value`")
    return given


def taken_apart(given: str | None) -> dict[str, str]:
    """Return the arguments of `optim_args` by name, as transformers takes them apart."""
    pairs = (one.partition("=") for one in (given or "").replace(" ", "").split(",") if one)
    return {name: value for name, _, value in pairs}


def schedule_fault(name: str, given: Iterable[str]) -> str | None:
    """Return what is wrong with the arguments given to a schedule, or None."""
    names, takes = tuple(given), SCHEDULES[name]
    unknown = [one for one in names if one not in takes]
    if unknown:
        near = difflib.get_close_matches(unknown[0], takes, n=1)
        there = f"it takes {', '.join(takes)}" if takes else "it takes none"
        hint = f"did you mean `{near[0]}`?" if near else there
        return f"lr_scheduler_kwargs: {name} takes no `{unknown[0]}`; {hint}"
    return None


def passes_over_warmup(schedule: str, optimizer: str) -> bool:
    """Tell whether `warmup_steps` do nothing; a schedule-free optimizer warms up by itself."""
    return schedule in _WITHOUT_WARMUP and optimizer not in SCHEDULE_FREE


def lacks_its_argument(name: str, given: Iterable[str]) -> bool:
    """Tell whether a schedule has not been given an argument that it cannot do without."""
    needed = _ONE_OF.get(name)
    return needed is not None and not set(needed) & set(given)


def _known(name: str, names: Iterable[str]) -> str:
    names = tuple(names)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(names)}"
    raise ValueError(f"{name} is not known to transformers; {hint}")
