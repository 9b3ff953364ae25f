"""The order in which prompts are answered: another one in each epoch, the same after a resume."""

from __future__ import annotations

from trl.trainer.utils import RepeatSampler


class PromptOrder(RepeatSampler):  # type: ignore[misc]  # trl is untyped here
    """Prompts of a batch of answers, repeated as trl asks; each epoch in an order of its own.

    The order follows from seed and epoch alone, so that a resumed run goes on with its prompts:
    trl's own would begin again with the first epoch's.
    """

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, unless all are as the file is."""
        if self.shuffle:
            self.generator.manual_seed(self.seed + epoch)
