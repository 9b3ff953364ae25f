"""Where advice comes from, named alike everywhere: the field's guides, papers, and ftui's own.

The guides: *Complete Guide* is the LLM Fine-tuning Complete Guide (Y. Kim); *Ops Guide* the skill
llm-fine-tuning (llmops-skills); *Lesson* is Fine-Tuning LLMs, with its decision framework; *Expert
Guide* the skill fine-tuning-llm; *Part 3* the article Part 3, Fine-Tuning.
"""

from __future__ import annotations

from typing import Final

COMPLETE: Final = "Complete Guide"
OPS: Final = "Ops Guide"
LESSON: Final = "Lesson"
EXPERT: Final = "Expert Guide"
PART3: Final = "Part 3"

LORA: Final = "LoRA, arXiv:2106.09685"
QLORA: Final = "QLoRA, arXiv:2305.14314"
LIMA: Final = "LIMA, arXiv:2305.11206"
DPO: Final = "DPO, arXiv:2305.18290"
DDP: Final = "DDP, arXiv:2006.15704"
FSDP: Final = "FSDP, arXiv:2304.11277"
OFFLOAD: Final = "ZeRO-Offload, arXiv:2101.06840"
KTO: Final = "KTO, arXiv:2402.01306"
HANDBOOK: Final = "alignment-handbook, zephyr-7b-beta's DPO recipe"
FEW_TEXTS: Final = "Stability of Fine-tuning BERT, arXiv:2006.04884, section 6: 20 epochs"
DISTILBERT: Final = "arXiv:1910.01108"

GRPO: Final = "GRPO, arXiv:2402.03300"
DAPO: Final = "DAPO, arXiv:2503.14476"
R1: Final = "DeepSeek-R1, arXiv:2501.12948"
RLVR: Final = "Tulu 3 (RLVR), arXiv:2411.15124"
RLOO: Final = "Back to Basics (RLOO), arXiv:2402.14740"
DPO_OR_PPO: Final = "Is DPO Superior to PPO, arXiv:2404.10719"
PPO_DETAILS: Final = "N+ implementation details of RLHF with PPO, arXiv:2403.17031"
INSTRUCT: Final = "InstructGPT, arXiv:2203.02155"
OVEROPTIMISED: Final = "reward model overoptimisation, arXiv:2210.10760"
LENGTHS: Final = "length in RLHF, arXiv:2310.03716"
NO_REGRET: Final = "LoRA Without Regret, in trl's documentation"

OWN: Final = "ftui"
"""ftui's own judgement, where the guides are silent."""


def at(source: str, place: str) -> str:
    """Return a place in a source, in words."""
    return f"{source}, {place}"
