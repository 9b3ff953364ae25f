"""The training step that a RunSpec means, as ftui's own trainer runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tui_ft.hub.continuing import as_continued
from tui_ft.memory.states import NOT_REPLAYED, PROJECTING
from tui_ft.memory.step import AttentionKernel, Dtype, Generation, Quantization, Step, StepObjective
from tui_ft.spec import RunSpec
from tui_ft.spec.combinations.continuing import compares_with_itself
from tui_ft.spec.kernels import FLASH
from tui_ft.spec.methods import TRAINS_BASE, FullMethod, QloraMethod, learns_keys
from tui_ft.spec.objectives import CpoObjective, DpoObjective, Objective, ReferenceFields
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.optimizers import taken_apart
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.ppo import PpoObjective
from tui_ft.spec.trainer_arguments import evaluates_last
from tui_ft.spec.training import TrainingSpec

_DTYPES: Final[dict[str, Dtype]] = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
}
_OBJECTIVES: Final[dict[str, StepObjective]] = {
    "sft": "sft",
    "pretraining": "sft",
    "dpo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "cpo": "cpo",
    "reward": "reward",
    "classification": "classification",
    "grpo": "grpo",
    "rloo": "rloo",
    "ppo": "ppo",
}
_BF16_FROM: Final = (8, 0)
_HOPPER: Final = (9, 0)


def step_of(
    spec: RunSpec,
    config: Mapping[str, Any],
    *,
    capability: tuple[int, int] | None = None,
    longest: int | None = None,
    supervised: float = 1.0,
    reward_configs: Sequence[Mapping[str, Any]] = (),
) -> Step:
    """Return the step with the most memory that a run makes: its longest rows, all of a length.

    Types are chosen as `tui_ft.train.precision` chooses them on a GPU, and adapters are held in
    float32, as the trainer holds them. Of an adapter that is trained further, rank and targets are
    read from its folder.

    Args:
        spec: the run.
        config: the values of the model's config.json.
        capability: the GPU's compute capability; one that has bfloat16 when not known.
        longest: tokens of the longest row, when it is known; `training.max_length` at most.
        supervised: share of tokens that carry loss.
        reward_configs: the values of the config.json of each model that scores answers; one as
            large as the policy where they were not looked up.
    """
    spec = as_continued(spec)
    training = spec.training
    arithmetic = _arithmetic(spec, capability)
    length = _longest(spec, longest)
    method = spec.method
    return Step(
        config=dict(config),
        batch=training.per_device_train_batch_size,
        length=training.max_length if training.packing else length,
        # Rows of one batch are hardly ever of one length; packed ones are, but for the last.
        padded=training.per_device_train_batch_size > 1 and not training.packing,
        supervised=supervised,
        objective=_objective(spec.objective),
        beta=getattr(spec.objective, "beta", 0.0),
        reference_known=_knows_its_reference(spec.objective),
        reward_model=_has_reward_model(spec),
        reward_configs=tuple(dict(one) for one in reward_configs),
        adapter=peft_arguments(method),
        reference_adapter=compares_with_itself(spec),
        consolidated=isinstance(method, FullMethod) and method.ewc is not None,
        quantization=_quantization(method) if isinstance(method, QloraMethod) else None,
        weights=_weights(spec, arithmetic),
        arithmetic=None if arithmetic == "float32" else arithmetic,
        checkpointing=training.gradient_checkpointing and not learns_keys(method),
        attention=_attention(spec.model.attn_implementation),
        optim=_optimizer(training),
        optim_rank=_rank(training),
        optim_targets=_targets(training) if _rank(training) else (),
        clip=training.max_grad_norm > 0,
        accumulation=training.gradient_accumulation_steps > 1,
        generation=_rolled_out(spec, length) or _graded(spec, length),
        evaluation_batch=_evaluated(spec),
        workspace_mib=32.0 if capability is not None and capability >= _HOPPER else 8.125,
    )


def _optimizer(training: TrainingSpec) -> str:
    """Return the optimizer's name as `memory.states` has it: with moments that are asked for.

    SGD and RMSprop hold one more with `momentum`, and RMSprop another when it is `centered`.
    """
    asked, name = taken_apart(training.optim_args), training.optim
    if name not in ("sgd", "rmsprop"):
        return name
    if name == "rmsprop" and asked.get("centered", "").lower() in ("true", "1", "yes"):
        name += "_centered"
    return f"{name}_momentum" if float(asked.get("momentum", 0) or 0) else name


def _rank(training: TrainingSpec) -> int:
    """Return the rank to which GaLore and APOLLO project; transformers' own is 128."""
    if training.optim not in PROJECTING:
        return 0
    return int(taken_apart(training.optim_args).get("rank", 128))


def _targets(training: TrainingSpec) -> tuple[str, ...]:
    asked = training.optim_target_modules or ()
    return (asked,) if isinstance(asked, str) else tuple(asked)


def _attention(asked: str) -> AttentionKernel:
    """Return the kernel whose memory is meant: versions of FlashAttention keep the same tensors."""
    known: AttentionKernel = "flash_attention_2" if asked in FLASH else asked  # type: ignore[assignment]
    return known


def _objective(objective: Objective) -> StepObjective:
    simple = isinstance(objective, CpoObjective) and objective.loss_type == "simpo"
    return "simpo" if simple else _OBJECTIVES[objective.kind]


def _knows_its_reference(objective: Objective) -> bool:
    """Tell whether the reference was asked before training, or is none."""
    free = isinstance(objective, DpoObjective) and objective.reference_free
    return free or (isinstance(objective, ReferenceFields) and objective.precompute_ref_log_probs)


def _has_reward_model(spec: RunSpec) -> bool:
    rewards = spec.objective.rewards if isinstance(spec.objective, OnlineFields) else ()
    return any(reward.kind == "reward_model" for reward in rewards)


def not_modelled(spec: RunSpec, *, rewards_known: bool = False) -> tuple[str, ...]:
    """Return what of a run no figure knows of, each a sentence for people.

    Args:
        spec: the run.
        rewards_known: the sizes of its reward models were looked up.
    """
    asked = {name for name, value in spec.training.extra.items() if value}
    if spec.model.backend == "unsloth":
        asked.add("unsloth")
    if isinstance(spec.objective, OnlineFields):
        asked |= {reward.kind for reward in spec.objective.rewards}
        if rewards_known:
            asked.discard("reward_model")
    asked |= {name for name in _NOT_MODELLED if getattr(spec.training, name, None)}
    asked |= {name for name in _NOT_MODELLED if getattr(spec.model, name, None)}
    spread = spec.hardware.distributed
    asked |= {
        name for name in _NOT_MODELLED if getattr(spread, name, None) not in (None, False, "none")
    }
    found = [sentence for name, sentence in _NOT_MODELLED.items() if name in asked]
    if spec.training.optim in NOT_REPLAYED:
        found.append(
            f"the step of {spec.training.optim} is not modelled by dry runs: its memory is read in "
            "its sources, and the band is wider"
        )
    return tuple(found)


_OFFLOAD: Final = "is taken off the GPU by formula alone, compared with no run"
_NOT_MODELLED: Final = {
    "cpu_offload": f"hardware.distributed.cpu_offload {_OFFLOAD}",
    "offload_optimizer_device": f"hardware.distributed.offload_optimizer_device {_OFFLOAD}",
    "offload_param_device": f"hardware.distributed.offload_param_device {_OFFLOAD}",
    "min_num_params": "hardware.distributed.min_num_params is not modelled: layers are taken to be "
    "gathered one after the other",
    "zero_stage": "what DeepSpeed shares out is by formula, compared with no run",
    "reward_model": "the reward model is taken to be as large as the model that is trained, and of "
    "its kind: its own size is not looked up",
    "torch_compile": "torch.compile is not modelled: fused kernels hold less than the figure says, "
    "compiling may hold more for a while",
    "use_liger_kernel": "Liger's kernels are not modelled: they hold less than the figure says",
    "unsloth": "Unsloth's kernels are not modelled: they hold less than the figure says",
    "use_kernels": "kernels of the Hub are not modelled: they hold less than the figure says",
    "label_smoothing_factor": "label smoothing is not modelled: it takes the logits of all tokens, "
    "rows x max_length x vocabulary, several times in float32, and a second forward pass",
    "neftune_noise_alpha": "NEFTune's noise is not modelled: one more copy of the embedded rows",
    "padding_free": "leaving padding out is not modelled: rows of many lengths take less than the "
    "figure says",
    "torch_empty_cache_steps": "giving memory back is not modelled: what is reserved may be less "
    "than the figure says",
    "deepspeed": "DeepSpeed is not modelled: the figure is of one GPU that holds everything",
    "fsdp": "FSDP is not modelled: the figure is of one GPU that holds everything",
}


def _evaluated(spec: RunSpec) -> int:
    """Return the rows of an evaluation's forward pass where it may take more than training does.

    Of as many rows as a training step has it takes less: nothing is kept for a backward pass.
    """
    training = spec.training
    rows = training.per_device_eval_batch_size or 0
    held_out = spec.data.eval is not None or spec.data.eval_fraction > 0
    evaluates = held_out and (training.eval_steps is not None or evaluates_last(spec))
    return rows if evaluates and rows > training.per_device_train_batch_size else 0


def _rolled_out(spec: RunSpec, length: int) -> Generation | None:
    """Return the answers that are generated together, after the longest prompt.

    GRPO and RLOO generate all of a step's, or of as many batches as are asked for, at once; PPO a
    rollout's, in parts.
    """
    asked, training = spec.objective, spec.training
    if not isinstance(asked, OnlineFields):
        return None
    batches = training.gradient_accumulation_steps
    rows = training.per_device_train_batch_size
    if isinstance(asked, PpoObjective):
        all_rows = rows * batches * asked.num_mini_batches
        rows = min(all_rows, asked.local_rollout_forward_batch_size)
    else:
        rows *= getattr(asked, "steps_per_generation", None) or batches
    new = min(asked.max_completion_length, length - 1)
    return Generation(rows=rows, prompt=length - new, new=new)


def _longest(spec: RunSpec, longest: int | None) -> int:
    """Return the tokens of the longest row; where answers are generated it is a prompt's."""
    most = spec.training.max_length
    if longest is None:
        return most
    asked = spec.objective
    return min(most, longest + getattr(asked, "max_completion_length", 0))


def _graded(spec: RunSpec, longest: int) -> Generation | None:
    """Return the answers that are generated to be graded; their prompts are taken for the longest.

    Those that are only shown are few, and take less than a training step.
    """
    score = spec.evaluation.score
    if score is None:
        return None
    return Generation(
        rows=min(score.batch_size, score.rows), prompt=longest, new=score.max_new_tokens
    )


def _arithmetic(spec: RunSpec, capability: tuple[int, int] | None) -> Dtype:
    asked = spec.training.precision
    if asked != "auto":
        return _DTYPES[asked]
    return "bfloat16" if capability is None or capability >= _BF16_FROM else "float16"


def _weights(spec: RunSpec, arithmetic: Dtype) -> Dtype:
    if spec.model.dtype != "auto":
        return spec.model.dtype
    return "float32" if spec.method.kind in TRAINS_BASE else arithmetic


def _quantization(method: QloraMethod) -> Quantization:
    return Quantization(
        bits=method.bits,
        quant_type=method.bnb_4bit_quant_type,
        double=method.bnb_4bit_use_double_quant,
    )
