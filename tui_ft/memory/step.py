"""What one training step is made of, as far as its memory goes: the question that is asked."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Dtype = Literal["float32", "bfloat16", "float16"]
StepObjective = Literal[
    "sft",
    "causal_lm",
    "dpo",
    "kto",
    "orpo",
    "cpo",
    "simpo",
    "reward",
    "classification",
    "grpo",
    "rloo",
    "ppo",
]
"""`causal_lm` is transformers' own loss over full logits; `sft` is trl's, over a fused head."""
GENERATES: Final = ("grpo", "rloo", "ppo")
"""Objectives that generate answers before they learn from them."""
PAIRED: Final = ("dpo", "orpo", "cpo", "simpo", "reward")
"""Objectives whose rows are pairs of answers, each in a row of the batch of its own."""
AttentionKernel = Literal["auto", "eager", "sdpa", "flash_attention_2"]

BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """How the frozen base is held by bitsandbytes.

    Attributes:
        bits: 4 or 8.
        quant_type: of 4 bits: nf4 or fp4; both take the same memory.
        double: quantise the constants of 4 bits as well.
    """

    bits: Literal[4, 8] = 4
    quant_type: Literal["nf4", "fp4"] = "nf4"
    double: bool = True


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that are generated with a cache of keys and values.

    Attributes:
        rows: generated together.
        prompt: tokens of the longest prompt.
        new: tokens of the longest answer.
    """

    rows: int
    prompt: int
    new: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One training step on one GPU.

    Attributes:
        config: the model's config.json.
        batch: rows in one forward pass, B; of preference pairs, pairs.
        length: tokens of the longest row, S: rows are padded to it.
        padded: whether a row of the batch is shorter, so that the attention needs a mask.
        supervised: share of tokens that carry loss, above 0 and up to 1.
        objective: the loss.
        num_labels: classes of a classification.
        adapter: arguments of the peft configuration with its `peft_type`; None trains all weights.
        quantization: of the frozen base; None holds it in `weights`.
        weights: type in which the base is loaded.
        adapter_dtype: type in which the adapter is held.
        arithmetic: type of the arithmetic by autocast; None computes in the types of the tensors.
        checkpointing: recompute each layer's activations in the backward pass.
        attention: the kernel; `auto` is what transformers takes for the model.
        optim: transformers' name of the optimizer.
        optim_rank: to which the optimizer projects gradients (GaLore, APOLLO); 0 for none.
        optim_targets: of which layers: `all-linear`, a pattern, or parts of their names, as in
            `training.optim_target_modules`.
        clip: whether gradients are clipped by their norm.
        accumulation: whether gradients of an earlier pass are there already (more than one pass
            before an optimizer step).
        reference_model: a frozen second copy of the model; without an adapter, DPO and KTO always
            have it, and so has PPO; GRPO and RLOO only with a beta above 0.
        reference_adapter: the adapter is held a second time, frozen, as the reference: one that is
            trained further is compared with itself as it was.
        reward_model: a frozen model scores generated answers; one of the policy's own architecture,
            held as its base is, where no other is known.
        reward_configs: the config.json of each such model, where they are known: of the type of
            the arithmetic, and not quantised.
        reference_known: the reference's log-probabilities are in the batch: it was asked before
            training, and is not held.
        beta: of a preference loss; 0 asks for no reference at all where the loss allows it.
        consolidated: EWC: beside the trained weights their old values are held, and how much each
            of them matters.
        holds_outputs: the training loop keeps the model's outputs, logits and all, until the next
            forward pass is done. Trainers of transformers and trl do not.
        holds_gradients: the loop keeps gradients until the next step's batch is there; trainers let
            go of them as soon as the optimizer has used them.
        cache: the model makes a cache of keys and values in its forward pass and hands it out with
            its outputs (`config.use_cache`). trl's trainers turn that off; a plain loop does not.
        generation: answers generated before each step of an objective that learns from them, or
            after the last step, as an evaluation does.
        evaluation_batch: rows of an evaluation's forward pass, without gradients, after the last
            step; 0 for none.
        workspace_mib: cuBLAS's workspace, taken from the allocator: 8.125 MiB, and 32 MiB on
            compute capability 9.0 (torch/csrc, `parseChosenWorkspaceSize`).
    """

    config: dict[str, Any]
    batch: int
    length: int
    padded: bool = False
    supervised: float = 1.0
    objective: StepObjective = "sft"
    num_labels: int = 2
    adapter: dict[str, Any] | None = None
    quantization: Quantization | None = None
    weights: Dtype = "bfloat16"
    adapter_dtype: Dtype = "float32"
    arithmetic: Dtype | None = None
    checkpointing: bool = False
    attention: AttentionKernel = "auto"
    optim: str = "adamw_torch"
    optim_rank: int = 0
    optim_targets: tuple[str, ...] = ()
    clip: bool = True
    accumulation: bool = False
    reference_model: bool = False
    reference_adapter: bool = False
    reward_model: bool = False
    reward_configs: tuple[dict[str, Any], ...] = ()
    reference_known: bool = False
    beta: float = 0.1
    consolidated: bool = False
    holds_outputs: bool = False
    holds_gradients: bool = False
    cache: bool = False
    generation: Generation | None = None
    evaluation_batch: int = 0
    workspace_mib: float = 8.125

    @property
    def holds_reference(self) -> bool:
        """Whether a frozen copy is held: an adapter can be switched off instead."""
        if self.reference_model:
            return True
        if self.adapter is not None or self.reference_known:
            return False
        compares = self.objective in ("grpo", "rloo") and self.beta > 0
        return compares or self.objective in ("dpo", "kto", "ppo")

    @property
    def holds_all_as_adapter(self) -> bool:
        """Whether copies and biases of the base that are trained are held in `adapter_dtype` too.

        ftui's trainer does so wherever tensors of two types are brought together, by autocast or
        over a quantised base.
        """
        wide = self.arithmetic is not None and self.adapter_dtype == "float32"
        return self.adapter is not None and (wide or self.quantization is not None)

    @property
    def share_with_loss(self) -> float:
        """The share of tokens that carry loss: PPO learns from its answers alone."""
        answers = min(self.answer, self.length - 1) / self.length
        return answers if self.objective == "ppo" else self.supervised

    @property
    def answer(self) -> int:
        """Tokens of a row's answer where answers are generated: half of it when not said."""
        return self.generation.new if self.generation is not None else self.length // 2
