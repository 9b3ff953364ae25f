"""What the tree knows while a path is walked: the situation, the answers so far, the estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui_ft.advise.estimator import Estimator
from tui_ft.advise.node import Answer, Node
from tui_ft.advise.situation import DataFacts, GpuFacts, How, ModelFacts, Situation, weakest

if TYPE_CHECKING:
    from tui_ft.advise.plans import Plan

_NO_DATA = DataFacts(path="")
_NO_MODEL = ModelFacts(name="")


@dataclass(slots=True)
class State:
    """A path as far as it has been walked.

    Attributes:
        nodes: of the tree, by id.
        overrides: a person's answers, by node.
        answers: given so far, in the order of the path.
        plans: of ways to train, kept so that none is estimated twice.
    """

    situation: Situation
    estimator: Estimator
    nodes: Mapping[str, Node]
    overrides: Mapping[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict)

    @property
    def data(self) -> DataFacts:
        """Return what is known of the data; nothing where there are none."""
        return self.situation.data or _NO_DATA

    @property
    def model(self) -> ModelFacts:
        """Return what is known of the model; nothing where there is none."""
        return self.situation.model or _NO_MODEL

    @property
    def gpus(self) -> tuple[GpuFacts, ...]:
        """Return the GPUs that are known."""
        return self.situation.gpus.value if self.situation.gpus is not None else ()

    @property
    def rows(self) -> int | None:
        """Return how many rows there are to learn from, where that is known."""
        return self.data.rows.value if self.data.rows is not None else None

    def answer(self, node_id: str) -> Answer:
        """Return a node's answer: as given, as a person overrides it, or as it would be found."""
        given = self.answers.get(node_id)
        if given is not None:
            return given
        node = self.nodes[node_id]
        own = node.answer(self)
        wanted = self.overrides.get(node_id)
        if wanted is None:
            return own
        if wanted == own.choice:
            # Confirming what was assumed makes it known; a measurement stays one.
            how: How = "asked" if own.how == "assumed" else own.how
            return Answer(own.choice, how, own.reason, own.source)
        return Answer(wanted, "asked", f"you chose so; else {own.choice}: {own.reason}", own.source)

    def choice(self, node_id: str) -> str:
        """Return what was chosen at a node, or would be."""
        return self.answer(node_id).choice

    def passed(self, node_id: str) -> str | None:
        """Return what was chosen at a node that the path has passed; None where it did not."""
        given = self.answers.get(node_id)
        return None if given is None else given.choice

    def how(self, *node_ids: str) -> How:
        """Return how a conclusion from these nodes is known; those not passed do not count."""
        return weakest(*(self.answers[name].how for name in node_ids if name in self.answers))
