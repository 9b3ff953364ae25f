"""What the configurations of peft's other methods take: names and types, known without peft.

The facts stand in `peft_configs.json`, written by
`python -m tui_ft.train.methods.peft_signatures` from the installed peft; a test holds them equal to
its classes.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

PeftTypeName = Literal[
    "ADAMSS",
    "ADAPTION_PROMPT",
    "BEFT",
    "BOFT",
    "C3A",
    "CARTRIDGE",
    "DEFT",
    "DELORA",
    "FOURIERFT",
    "FROD",
    "GLORA",
    "GRALORA",
    "HIRA",
    "HRA",
    "LILY",
    "LOHA",
    "LOKR",
    "MISS",
    "OFT",
    "OSF",
    "PEANUT",
    "PSOFT",
    "PVERA",
    "RANDLORA",
    "ROAD",
    "SHIRA",
    "SUPERTUNING",
    "TINYLORA",
    "TRAINABLE_TOKENS",
    "UNILORA",
    "VBLORA",
    "VERA",
    "WAVEFT",
]
OWN_KIND: Final = {
    "LORA": "lora",
    "ADALORA": "adalora",
    "IA3": "ia3",
    "LN_TUNING": "ln_tuning",
    "PROMPT_TUNING": "prompt_tuning",
    "PREFIX_TUNING": "prefix_tuning",
    "P_TUNING": "p_tuning",
}
"""peft's types that are methods of their own here."""
_TASKS: Final = "it asks for the number of a task with every row, which a run's rows do not have"
CANNOT: Final = {
    "MULTITASK_PROMPT_TUNING": _TASKS,
    "POLY": _TASKS,
    "XLORA": "it mixes LoRA adapters that are trained already, and asks for a key-value cache",
    "CPT": "it asks for a mask of the parts of every row, which a run's rows do not have",
    "SHADOW": "it adds a loss of its own where a model computes the loss; the trainers here do so "
    "themselves, and would leave it out",
}
"""peft's types that no trainer here can train, and why."""
NEEDED: Final = {
    "ADAPTION_PROMPT": ("adapter_len", "how many tokens its prompt has, such as 10"),
    "CARTRIDGE": ("num_virtual_tokens", "how many positions are learned, such as 32"),
    "TRAINABLE_TOKENS": ("token_indices", "the numbers of the tokens that are trained"),
}
"""Arguments that a method cannot do without though peft has a default for them."""
RESERVED: Final = frozenset(
    (
        *("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path"),
        *("revision", "inference_mode"),
    )
)
"""Arguments that say what a configuration is, and are set by who makes it."""

Facts = Mapping[str, tuple[str, ...]]
"""Of each argument the kinds of its values: bool, int, float, str, list, map, none, any, or `=x`
for the value x."""


@cache
def shipped() -> Mapping[str, Facts]:
    """Return the facts of peft 0.21, by type."""
    read = json.loads(Path(__file__).with_name("peft_configs.json").read_text())
    return {
        peft_type: {name: tuple(kinds) for name, kinds in facts.items()}
        for peft_type, facts in read.items()
    }


def type_fault(peft_type: str) -> str | None:
    """Return why a type of peft's cannot be passed on; None for one that can, or is unknown."""
    if peft_type in OWN_KIND:
        kind = OWN_KIND[peft_type]
        return f"{peft_type} is method.kind {kind} here; what it has no field for goes into extra"
    if peft_type in CANNOT:
        return f"{peft_type} cannot be trained here: {CANNOT[peft_type]}"
    return None


def argument_fault(peft_type: str, facts: Facts, arguments: Mapping[str, Any]) -> str | None:
    """Return the first thing that is wrong with the arguments of a configuration, or None."""
    for name, value in arguments.items():
        if name in RESERVED:
            return f"`{name}` is set by ftui itself: leave it out"
        if name not in facts:
            near = difflib.get_close_matches(name, facts, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(sorted(facts))}"
            return f"{peft_type} has no argument `{name}`; {hint}"
        if not any(_is(value, kind) for kind in facts[name]):
            return f"`{name}` of {peft_type} is {value!r}; allowed: {_in_words(facts[name])}"
    needed = NEEDED.get(peft_type)
    if needed is not None and arguments.get(needed[0]) is None:
        return f"{peft_type} needs `{needed[0]}`: {needed[1]}"
    return None


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "list": (list, tuple),
    "map": (dict,),
    "none": (type(None),),
    "any": (object,),
}


def _is(value: object, kind: str) -> bool:
    if kind.startswith("="):
        return str(value) == kind[1:]
    if isinstance(value, bool) and kind not in ("bool", "any"):
        return False
    return isinstance(value, _TYPES[kind])


def _in_words(kinds: tuple[str, ...]) -> str:
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
    words |= {"list": "a list", "map": "keys and values"}
    return ", ".join(words.get(kind, kind.removeprefix("=")) for kind in kinds)
