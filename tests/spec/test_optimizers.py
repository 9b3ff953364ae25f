"""What is said of optimizers and schedules is what transformers has; a wrong name is told."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from transformers import optimization
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from tui_ft.spec import SpecError, build_spec
from tui_ft.spec.fields import fields_of
from tui_ft.spec.optimizers import OPTIMIZERS, SCHEDULES
from tui_ft.spec.training import TrainingSpec

LEAST: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}
_OF_THE_TRAINER = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "kwargs"}
_OF_CLASSES = {
    "reduce_lr_on_plateau": torch.optim.lr_scheduler.ReduceLROnPlateau,
    "greedy": optimization.GreedyLR,
}


def test_the_optimizers_are_those_of_transformers() -> None:
    assert set(OPTIMIZERS) == {one.value for one in OptimizerNames}


def test_the_schedules_are_those_of_transformers_with_what_each_takes() -> None:
    assert set(SCHEDULES) == {one.value for one in SchedulerType}
    for name, function in optimization.TYPE_TO_SCHEDULER_FUNCTION.items():
        taken = inspect.signature(_OF_CLASSES.get(name.value, function)).parameters
        assert set(SCHEDULES[name.value]) == set(taken) - _OF_THE_TRAINER, name


def test_libraries_are_asked_for_where_transformers_asks_for_them() -> None:
    from transformers import trainer_optimizer as known

    families = {
        "bitsandbytes": known._BITSANDBYTES_OPTIMIZERS,
        "galore_torch": known._GALORE_OPTIMIZERS,
        "apollo_torch": known._APOLLO_OPTIMIZERS,
        "torchao": known._TORCHAO_OPTIMIZERS,
        "schedulefree": known._SCHEDULE_FREE_OPTIMIZERS,
    }
    for module, names in families.items():
        ours = {name for name, needs in OPTIMIZERS.items() if needs.module == module}
        # transformers' own list has an alias more than its enumeration.
        assert ours == {name.value for name in names}, module
    targeted = {name for name, needs in OPTIMIZERS.items() if needs.targets}
    assert targeted == {n.value for n in known._GALORE_OPTIMIZERS + known._APOLLO_OPTIMIZERS}
    layerwise = {name for name, needs in OPTIMIZERS.items() if needs.layerwise}
    # LOMO and AdaLOMO have no such name, and step in the backward pass (accelerate, lomo_backward).
    named = {one.value for one in OptimizerNames if "layerwise" in one.value}
    assert layerwise == named | {"lomo", "adalomo"}


def _fault(**training: Any) -> str:
    with pytest.raises(SpecError) as error:
        build_spec({**LEAST, "training": training})
    (problem,) = error.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"optim": "adamw_torch_fuesd"}, "did you mean `adamw_torch_fused`?"),
        ({"lr_scheduler_type": "cosin"}, "did you mean `cosine`?"),
        ({"optim_args": "rank 64"}, "does not read `name=value, name=value`"),
        ({"lr_scheduler_kwargs": {"num_cycle": 2}}, "did you mean `num_cycles`?"),
        ({"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"power": 2}}, "it takes none"),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest(training: dict[str, Any], said: str) -> None:
    assert said in _fault(**training)


def test_the_form_offers_them_to_choose_from() -> None:
    used = {"packing": True, "optim": "galore_adamw"}
    fields = {field.key: field for field in fields_of({**LEAST, "training": used})}
    assert fields["training.optim"].kind == "choice"
    assert "paged_adamw_8bit" in fields["training.optim"].choices
    assert fields["training.lr_scheduler_type"].choices == tuple(SCHEDULES)
    keys = [f"training.{name}" for name in TrainingSpec.model_fields]
    assert [key for key in keys if key not in fields or not fields[key].help] == []


def test_what_has_a_field_by_now_is_taken_out_of_extra() -> None:
    extra = {"neftune_noise_alpha": 5, "dataloader_prefetch_factor": 2}
    training = build_spec({**LEAST, "training": {"extra": extra}}).training
    assert training.neftune_noise_alpha == 5
    assert training.extra == {"dataloader_prefetch_factor": 2}
    twice = {"neftune_noise_alpha": 7, "extra": {"neftune_noise_alpha": 5}}
    training = build_spec({**LEAST, "training": twice}).training
    assert (training.neftune_noise_alpha, training.extra) == (7, {"neftune_noise_alpha": 5})
