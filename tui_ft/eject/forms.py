"""How each objective looks in a script: which trainer, which rows, which arguments of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE
from tui_ft.spec.objectives import (
    ClassificationObjective,
    DpoObjective,
    KtoObjective,
)
from tui_ft.spec.online import GroupFields, evaluation_batch

Named = Mapping[str, Any]
_MASKED: Final = "each row is the text that the model reads, put through its\nchat template, and "
_LEARNED: Final = "which characters of it are learned (`learned`, as [begin, end) pairs)."


def _nothing(_: RunSpec) -> Named:
    return {}


def _own(spec: RunSpec, *but: str) -> dict[str, Any]:
    return spec.objective.model_dump(exclude={"kind", *but})


@dataclass(frozen=True, slots=True)
class Form:
    """A row of the table.

    Attributes:
        name: of the objective, in words.
        imports: the line that imports the trainer.
        trainer: its class as the script calls it; `config` that of its configuration.
        parts: the files of `parts` that make rows and batches, in this order.
        rows: what a row of the file is, in words.
        own: arguments of the configuration that only this objective has.
        constants: values that the parts ask for.
        scores: the model has a head that scores instead of writing.
        compares: full fine-tuning holds a frozen copy to compare with.
        dataset: the rows as the trainer takes them; `{}` stands for the list.
        wraps: the trainer takes a model whose adapter is attached already.
        answers: the model answers prompts, and learns from rewards.
    """

    name: str
    imports: str
    trainer: str
    config: str
    parts: tuple[str, ...]
    rows: str = _MASKED + _LEARNED
    own: Callable[[RunSpec], Named] = _nothing
    constants: Callable[[RunSpec], Named] = _nothing
    scores: bool = False
    compares: bool = False
    dataset: str = "Dataset.from_list({})"
    handed: tuple[str, ...] = ("data_collator=collate,",)
    wraps: bool = False
    answers: bool = False

    @property
    def base(self) -> str:
        """The class of trl's or transformers' that the trainer is made of."""
        return self.config.replace("Config", "Trainer")


def _on_tokens(spec: RunSpec) -> Named:
    return {**_own(spec), "max_length": spec.training.max_length, "remove_unused_columns": False}


def _sft(spec: RunSpec) -> Named:
    return {"max_length": spec.training.max_length, "packing": spec.training.packing}


def _dpo(spec: RunSpec) -> Named:
    asked = spec.objective
    assert isinstance(asked, DpoObjective), "the table has it for dpo alone"
    return {
        **_on_tokens(spec),
        "loss_type": asked.losses,
        "reference_free": None,
        "precompute_ref_log_probs": asked.precompute_ref_log_probs or asked.reference_free,
    }


def _kto(spec: RunSpec) -> Named:
    return {**_on_tokens(spec), "train_sampling_strategy": "sequential"}


def _group(spec: RunSpec) -> Named:
    """Return the arguments of GRPO and RLOO, which load their own reference where they need one."""
    asked = spec.objective
    assert isinstance(asked, GroupFields), "the table has it for these alone"
    own = {
        **_own(spec, "rewards"),
        "reward_weights": [reward.weight for reward in asked.rewards],
        "remove_unused_columns": False,
        "per_device_eval_batch_size": evaluation_batch(asked, spec.training),
    }
    if spec.method.kind in TRAINS_BASE and asked.beta > 0:
        again = {"revision": spec.model.revision, "use_safetensors": True, **spec.model.extra}
        if spec.model.trust_remote_code:
            again["trust_remote_code"] = True
        own["model_init_kwargs"] = again
    return own


def _reference_free(spec: RunSpec) -> Named:
    return {"REFERENCE_FREE": getattr(spec.objective, "reference_free", False)}


def _with_kl(spec: RunSpec) -> Named:
    assert isinstance(spec.objective, KtoObjective), "the table has it for kto alone"
    return {"WITH_KL": spec.objective.loss_type == "kto"}


_PAIRS: Final = (
    "each row is a better and a worse answer as the model reads them, with\ntheir prompt, and "
)
_PROMPTS: Final = (
    "each row is a prompt as the model reads it\n(`text`) and as rewards are given it, with the "
    "answer of the data and columns."
)
_ANSWERS: Final[dict[str, Any]] = {
    "dataset": 'Dataset.from_dict({"row": list(lines)})',
    "handed": (),
    "answers": True,
}
_PPO_IMPORTS: Final = """from accelerate.utils import set_seed
from transformers import Trainer, TrainingArguments
from trl.trainer.utils import RepeatSampler, identity

from ppo.advantages import (
    UsualSpread,
    generalised_advantages,
    penalise_missing_end,
    token_rewards,
    whiten,
)
from ppo.figures import Figures
from ppo.kl import KlController, token_kl
from ppo.losses import policy_loss, value_loss
from ppo.passes import Passes
from ppo.policy import Judged, Policy
from ppo.rollout import Rollout, Rows, lay_out
from ppo.value_head import load_head, save_head"""
FORMS: Final = {
    "sft": Form(
        "supervised fine-tuning",
        "from trl import SFTConfig, SFTTrainer",
        *("SFTTrainer", "SFTConfig"),
        ("masked", "answers"),
        own=_sft,
        handed=(),
    ),
    "pretraining": Form(
        "continued pretraining",
        "from trl import SFTConfig, SFTTrainer",
        *("SFTTrainer", "SFTConfig"),
        ("texts",),
        rows="each row is a whole text; all of it is learned.",
        own=_sft,
        handed=(),
    ),
    "dpo": Form(
        "DPO",
        "from trl import DPOConfig, DPOTrainer",
        *("OnTokens", "DPOConfig"),
        ("masked", "batches", "pairs", "stacked"),
        rows=_PAIRS + _LEARNED,
        own=_dpo,
        constants=_reference_free,
        compares=True,
    ),
    "kto": Form(
        "KTO",
        "from trl import KTOConfig, KTOTrainer",
        *("OnTokens", "KTOConfig"),
        ("masked", "batches", "judged"),
        rows="each row is one answer or two as the model reads them, whether they are\ngood, and "
        + _LEARNED,
        own=_kto,
        constants=_with_kl,
        compares=True,
    ),
    "orpo": Form(
        "ORPO",
        "from trl.experimental.orpo import ORPOConfig, ORPOTrainer",
        *("ORPOTrainer", "ORPOConfig"),
        ("masked", "batches", "pairs", "side_by_side"),
        rows=_PAIRS + _LEARNED,
        own=_on_tokens,
        dataset="Tokens(Dataset.from_list({}))",
    ),
    "cpo": Form(
        "CPO",
        "from trl.experimental.cpo import CPOConfig, CPOTrainer",
        *("CPOTrainer", "CPOConfig"),
        ("masked", "batches", "pairs", "side_by_side"),
        rows=_PAIRS + _LEARNED,
        own=_on_tokens,
        dataset="Tokens(Dataset.from_list({}))",
    ),
    "reward": Form(
        "a reward model",
        "from trl import RewardConfig, RewardTrainer",
        *("OnTokens", "RewardConfig"),
        ("masked", "batches", "pairs", "scored"),
        rows="each row is a better and a worse answer as the model reads them.",
        own=_on_tokens,
        scores=True,
    ),
    "grpo": Form(
        "GRPO",
        "from trl import GRPOConfig, GRPOTrainer",
        *("OnText", "GRPOConfig"),
        ("dropout", "as_asked", "positions", "prompted"),
        rows=_PROMPTS,
        own=_group,
        **_ANSWERS,
    ),
    "rloo": Form(
        "RLOO",
        "from trl import RLOOConfig, RLOOTrainer",
        *("OnText", "RLOOConfig"),
        ("dropout", "as_asked", "positions", "prompted"),
        rows=_PROMPTS,
        own=_group,
        **_ANSWERS,
    ),
    "ppo": Form(
        "PPO",
        _PPO_IMPORTS,
        *("PpoTrainer", "TrainingArguments"),
        ("dropout", "as_asked", "ppo"),
        rows=_PROMPTS,
        own=lambda _: {"remove_unused_columns": False},
        wraps=True,
        dataset=_ANSWERS["dataset"],
        answers=True,
        handed=("policy=policy,",),
    ),
    "classification": Form(
        "sequence classification",
        "from transformers import Trainer, TrainingArguments",
        *("Classifier", "TrainingArguments"),
        ("batches", "labelled"),
        rows="each row is a text and its class.",
        own=lambda _: {"remove_unused_columns": False, "label_names": ["labels"]},
        scores=True,
        wraps=True,
        handed=("data_collator=collate,", "compute_metrics=scores,"),
    ),
}
"""The kind of an objective in a RunSpec -> its form."""


def form_of(spec: RunSpec) -> Form:
    """Return the form of a run's objective."""
    return FORMS[spec.objective.kind]


def class_weights(objective: object, classes: Mapping[str, int]) -> list[float] | None:
    """Return the weight of each class in the order of the outputs; rows weigh 1 on average.

    `balanced` gives n / (k n_c) for a class with n_c of n rows and k classes.
    """
    assert isinstance(objective, ClassificationObjective), "only asked of classifications"
    asked = objective.class_weights
    if asked is None:
        return None
    if asked == "balanced":
        whole = sum(classes.values())
        there = sum(rows > 0 for rows in classes.values())
        return [whole / (there * rows) if rows else 1.0 for rows in classes.values()]
    weights = [asked.get(name, 1.0) for name in classes]
    rows_weigh = sum(w * rows for w, rows in zip(weights, classes.values(), strict=True))
    return [weight * sum(classes.values()) / rows_weigh for weight in weights]
