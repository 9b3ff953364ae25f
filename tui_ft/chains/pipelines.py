"""The pipelines that the field practises, to start a chain from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tui_ft.spec import yaml_text
from tui_ft.spec.chain import PREVIOUS, STAGE


@dataclass(frozen=True, slots=True)
class PipelineStage:
    """A stage of a pipeline.

    Attributes:
        preset: what its run starts from.
        needs: which data it learns from, in words.
        model: which model it begins with; None for the one that the chain begins with.
        run: what is set over the preset.
    """

    name: str
    preset: str
    needs: str
    model: str | None = None
    run: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in their order, and when to use them."""

    name: str
    description: str
    stages: tuple[PipelineStage, ...]

    def to_yaml(self, model: str, data: Mapping[str, str], name: str | None = None) -> str:
        """Return the chain of this pipeline as YAML, short enough to be read and changed.

        Args:
            model: what it begins with.
            data: a file or id for each stage, by the stage's name.
            name: of the chain.
        """
        stages = [
            {
                "name": one.name,
                "preset": one.preset,
                "run": {
                    "model": {"name_or_path": one.model or model},
                    "data": {"train": data[one.name]},
                    **one.run,
                },
            }
            for one in self.stages
        ]
        values = {"name": name or self.name, "description": self.description, "stages": stages}
        return yaml_text.write(values)


_SFT: Final = PipelineStage("sft", "sft-lora", "chats or prompts with answers")
_PAIRS: Final = "a better and a worse answer to each prompt"
_REWARD: Final = PipelineStage("reward", "reward-lora", _PAIRS, PREVIOUS)
_BY_REWARD: Final = {
    "objective": {"rewards": [{"kind": "reward_model", "model": f"{STAGE}reward"}]}
}


def _rlhf(name: str, last: str, why: str) -> Pipeline:
    """Return SFT, a reward model, and reinforcement learning with both (arXiv:2203.02155)."""
    stage = PipelineStage(last, f"{last}-lora", "prompts", f"{STAGE}sft", _BY_REWARD)
    said = "First it learns to answer, then a reward model learns what people prefer, then "
    return Pipeline(name, f"{said}{why}", (_SFT, _REWARD, stage))


PIPELINES: Final = {
    one.name: one
    for one in (
        Pipeline(
            "sft-dpo",
            "First it learns to answer, then which of two answers is preferred. The usual way with "
            "1,000 pairs and more; the reference of DPO is the model after SFT.",
            (_SFT, PipelineStage("dpo", "dpo-lora", _PAIRS, PREVIOUS)),
        ),
        Pipeline(
            "sft-kto",
            "First it learns to answer, then from single answers that people found good or bad.",
            (_SFT, PipelineStage("kto", "kto-lora", "answers with a label each", PREVIOUS)),
        ),
        _rlhf("rlhf", "ppo", "PPO teaches it to give such answers, held near to the SFT model."),
        _rlhf("rlhf-rloo", "rloo", "RLOO does so without PPO's value model: simpler to tune."),
        _rlhf("rlhf-grpo", "grpo", "GRPO does so by comparing several answers to each prompt."),
        Pipeline(
            "pretrain-sft",
            "Domain knowledge: continued pretraining on plain texts of the domain, then SFT, which "
            "teaches the model to answer again.",
            (
                PipelineStage("pretrain", "pretrain-lora", "plain texts of the domain"),
                PipelineStage("sft", "sft-lora", "chats or prompts with answers", PREVIOUS),
            ),
        ),
    )
}
