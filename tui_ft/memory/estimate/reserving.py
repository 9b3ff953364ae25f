"""What the allocator reserves above what is allocated: a step of few layers, request by request.

Reserved memory depends on the order of requests. So a model with the step's own layers, but only a
few of them, is run through the model of CUDA's allocator twice: the first step makes the optimizer's
states, the second is measured. It takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tui_ft.memory.allocator import MIB, Block, CachingAllocator
from tui_ft.memory.estimate import heads
from tui_ft.memory.estimate.heads import Loss
from tui_ft.memory.estimate.model import Model
from tui_ft.memory.estimate.moments import (
    asks_for_gradient,
    inputs_of,
    plan_of_model,
    shapes_of_pass,
)
from tui_ft.memory.estimate.objectives import Plan
from tui_ft.memory.estimate.optimizer import state_sizes
from tui_ft.memory.estimate.tape import Leaf, Node, Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Held, Weights
from tui_ft.memory.step import BYTES

LAYERS: Final = 4


def replayed_short(model: Model) -> tuple[int, int]:
    """Return (most reserved, most allocated) of the shortened model's second step, in bytes."""
    run = _Run(model)
    run.step()
    run.allocator.empty_cache()
    run.allocator.start_measuring()
    run.step()
    return run.allocator.peak_reserved, run.allocator.peak_allocated


class _Run:
    """A shortened model in training."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.plan: Plan = plan_of_model(model)
        self.allocator = CachingAllocator()
        self.layers = range(min(LAYERS, len(model.kinds)))
        step = model.step
        self.low = BYTES[step.arithmetic] if step.arithmetic else None
        held = list(self._held())
        self.trained = [one for one in held if one.trained]
        for one in held * (1 + (self.plan.references if model.adapter is None else 0)):
            self._request([one.count * one.width] * one.number)
        self._request([int(step.workspace_mib * MIB)])
        if step.accumulation:
            for one in self.trained:
                self._request([one.count * one.width] * one.number)
        self.has_states = False

    def _held(self) -> Iterator[Held]:
        yield from self.model.weights.held(None)
        for number in self.layers:
            yield from self.model.weights.held(number)

    def _request(self, sizes: list[int]) -> list[Block]:
        return [self.allocator.request(size) for size in sizes if size > 0]

    def step(self) -> None:
        """Run forward and backward pass, and the optimizer's step."""
        tape = self._tape()
        inputs = Storage(tape, inputs_of(self.model, self.plan.loss))
        if self.plan.scored:
            self._without_gradients(self.plan.loss, frozen=False)
        self._learn(tape, self.plan.loss)
        del inputs
        self._update()
        tape.gradients.clear()

    def _tape(self, *, learns: bool = True, keeps: bool = True) -> Tape:
        return Tape(low=self.low, learns=learns, keeps_casts=keeps, allocator=self.allocator)

    def _learn(self, tape: Tape, loss: Loss) -> None:
        model, weights = self.model, self.model.weights
        again = model.step.checkpointing
        shapes = shapes_of_pass(model, loss)
        x = heads.embedded(tape, weights, shapes[0], loss, learns=asks_for_gradient(model))
        chain: list[tuple[Tensor, list[Node], object, int]] = [(x, tape.nodes, x.source, -1)]
        casts = []
        for number in self.layers:
            given = Tensor(x.count, x.width, x.storage, Leaf() if x.source else None)
            tape.nodes = []
            inner = self._tape(learns=False) if again else tape
            casts.append(inner)
            windowed = number in model.architecture.windowed_layers
            layer = weights.layer(model.kinds[number])
            x = model.forward(inner, given, layer, shapes[windowed])
            chain.append((given, tape.nodes, x.source, number))
            if again:
                x = Tensor(x.count, x.width, x.storage, Leaf())
            del given, inner, layer
        given = Tensor(x.count, x.width, x.storage, Leaf())
        del x
        tape.nodes = []
        out = heads.finished(tape, given, weights, shapes[0], loss)
        if self.plan.compared:
            self._without_gradients(loss, frozen=True)
        for one in casts:
            one.forget_casts()
        casts.clear()
        source, size = out.source, out.size
        del out
        if not again:
            chain = [(Tensor(0, 0, None, x.source), nodes, made, n) for x, nodes, made, n in chain]
        leaf = given.source
        del given
        source.take(Storage(tape, size))  # type: ignore[union-attr]
        del source
        tape.backward()
        gradient = leaf.gradient if isinstance(leaf, Leaf) else None
        del leaf
        while chain and gradient is not None:
            given, nodes, made, number = chain.pop()
            if number >= 0 and again:
                gradient = self._recomputed(tape, given, number, gradient, shapes)
                continue
            leaf = given.source
            del given
            tape.nodes = nodes
            del nodes
            if made is not None:
                made.take(gradient)  # type: ignore[attr-defined]
            del gradient, made
            tape.backward()
            gradient = leaf.gradient if isinstance(leaf, Leaf) and number >= 0 else None
            del leaf

    def _recomputed(self, tape: Tape, given: Tensor, number: int, gradient: Storage, shapes):  # type: ignore[no-untyped-def]
        model = self.model
        inner = self._tape(keeps=False)
        inner.gradients = tape.gradients
        windowed = number in model.architecture.windowed_layers
        leaf = Leaf()
        x = Tensor(given.count, given.width, given.storage, leaf)
        out = model.forward(inner, x, model.weights.layer(model.kinds[number]), shapes[windowed])
        source = out.source
        del out, x
        if source is not None:
            source.take(gradient)
        del gradient, source
        inner.backward()
        return leaf.gradient

    def _without_gradients(self, loss: Loss, *, frozen: bool) -> None:
        model = self.model
        weights = model.weights
        if frozen and model.adapter is None:
            weights = Weights(model.step, model.architecture, None)
        shapes = shapes_of_pass(model, loss)
        tape = self._tape(learns=False)
        x = heads.embedded(tape, weights, shapes[0], loss, learns=False)
        for number in self.layers:
            layer = weights.layer(model.kinds[number], adapted=not frozen, trained=not frozen)
            windowed = number in model.architecture.windowed_layers
            x = model.forward(tape, x, layer, shapes[windowed])
        heads.finished(tape, x, weights, shapes[0], loss)

    def _update(self) -> None:
        """Take the optimizer's states the first time, and what its step takes each time."""
        name = self.model.step.optim
        if not self.has_states:
            self.has_states = True
            for one in self.trained:
                self._request(state_sizes(name, one) * one.number)
        sizes: list[int] = []
        if name == "adamw_torch":
            sizes = [one.count * one.width for one in self.trained for _ in range(one.number)]
        for block in self._request(sizes):
            self.allocator.release(block)
