"""What the allocator reserves above what is allocated: a shortened step, request by request.

Reserved memory depends on the order of requests. So the step's own layers, but only the first few
of them, go through the model of CUDA's allocator twice: the first step makes the optimizer's
states, the second is measured, as a dry run does it. It takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tui_ft.memory.allocator import MIB, Block, CachingAllocator
from tui_ft.memory.estimate import heads
from tui_ft.memory.estimate.generation import cache_bytes, prompt_of
from tui_ft.memory.estimate.heads import Loss
from tui_ft.memory.estimate.layers import Shapes
from tui_ft.memory.estimate.model import Model, reward_models_of
from tui_ft.memory.estimate.moments import (
    asks_for_gradient,
    inputs_of,
    plan_of_model,
    shapes_of_pass,
)
from tui_ft.memory.estimate.optimizer import moments_of_step, state_sizes
from tui_ft.memory.estimate.tape import Leaf, Node, Sink, Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Held, Weights
from tui_ft.memory.step import BYTES, Generation

LAYERS: Final = 4
"""Layers that are run: with more of them what is lost between tensors hardly changes."""


def replayed_short(model: Model) -> tuple[int, int]:
    """Return (most reserved, most allocated) of the shortened model's second step, in bytes."""
    run = _Run(model)
    run.step()
    run.allocator.empty_cache()
    run.allocator.start_measuring()
    run.step()
    return run.allocator.peak_reserved, run.allocator.peak_allocated


@dataclass(slots=True)
class _Link:
    """A part that has been run: what is needed to go back through it.

    Attributes:
        into: what its input's gradient flows to.
        nodes: its operations; none where they are made again.
        out: what its output's gradient flows to.
        given: its input, where it is made again.
        number: of the layer; none for the embedding.
    """

    into: Sink | None
    nodes: list[Node]
    out: Sink | None
    given: Tensor | None = None
    number: int | None = None


class _Run:
    """A shortened model in training."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.plan = plan_of_model(model)
        self.allocator = CachingAllocator()
        self.layers = range(min(LAYERS, len(model.kinds)))
        step = model.step
        self.low = BYTES[step.arithmetic] if step.arithmetic else None
        held = list(self._held())
        self.trained = [one for one in held if one.trained]
        frozen = [one for one in held if one.kind != "adapters"] * self.plan.references
        if step.reference_adapter:
            frozen += [one for one in held if one.kind == "adapters"]
        for one in (*held, *frozen, *(self.trained if step.accumulation else ())):
            self._request([one.count * one.width] * one.number)
        self._request([reward_models_of(step)])
        self._request([int(step.workspace_mib * MIB)])
        self.has_states = False

    def _held(self) -> Iterator[Held]:
        yield from self.model.weights.held(None)
        for number in self.layers:
            yield from self.model.weights.held(number)

    def _request(self, sizes: list[int]) -> list[Block]:
        return [self.allocator.request(size) for size in sizes if size > 0]

    def step(self) -> None:
        """Run forward and backward pass, and the optimizer's step."""
        plan, tape = self.plan, self._tape()
        if plan.generation is not None:
            self._generate(plan.generation)
        inputs = Storage(tape, inputs_of(self.model, plan.loss))
        if plan.judged is not None:
            self._without_gradients(plan.judged, frozen=False)
        elif plan.scored:
            self._without_gradients(plan.loss, frozen=False)
        self._learn(tape, plan.loss)
        del inputs
        self._update()
        tape.gradients.clear()
        if plan.evaluation is not None:
            self._without_gradients(plan.evaluation, frozen=False)

    def _generate(self, plan: Generation) -> None:
        """Run the prompt, and take the cache of keys and values at its longest."""
        self._without_gradients(prompt_of(plan), frozen=False)
        whole = cache_bytes(self.model, plan.rows, plan.prompt + plan.new)
        one = whole // (2 * len(self.model.kinds))
        for block in self._request([one] * (2 * len(self.layers) + 2)):
            self.allocator.release(block)

    def _tape(self, *, learns: bool = True, keeps: bool = True) -> Tape:
        return Tape(low=self.low, learns=learns, keeps_casts=keeps, allocator=self.allocator)

    def _learn(self, tape: Tape, loss: Loss) -> None:
        """Run the pass that learns, forward and back."""
        shapes = shapes_of_pass(self.model, loss)
        chain, casting = self._forward(tape, loss, shapes)
        if self.plan.compared:
            self._without_gradients(loss, frozen=not self.model.step.reference_adapter)
        for one in (tape, *casting):
            one.forget_casts()
        casting.clear()
        last = chain.pop()
        gradient = self._back(tape, last, Storage(tape, 1))
        del last
        while chain and gradient is not None:
            link = chain.pop()
            if link.given is not None:
                gradient = self._again(tape, link, gradient, shapes)
            else:
                gradient = self._back(tape, link, gradient)
            del link

    def _forward(
        self, tape: Tape, loss: Loss, shapes: tuple[Shapes, Shapes]
    ) -> tuple[list[_Link], list[Tape]]:
        """Return the parts that have been run, and the tapes that hold autocast's copies."""
        model, weights = self.model, self.model.weights
        again = model.step.checkpointing
        x = heads.embedded(tape, weights, shapes[0], loss, learns=asks_for_gradient(model))
        chain = [_Link(None, tape.nodes, x.source)]
        casting = []
        for number in self.layers:
            given = Tensor(x.count, x.width, x.storage, Leaf() if x.source or again else None)
            tape.nodes = []
            inner = self._tape(learns=False) if again else tape
            casting.append(inner)
            windowed = number in model.architecture.windowed_layers
            layer = weights.layer(model.kinds[number])
            x = model.forward(inner, given, layer, shapes[windowed])
            made_again = given if again else None
            chain.append(_Link(given.source, tape.nodes, x.source, made_again, number))
            del given, inner, layer, made_again
        given = Tensor(x.count, x.width, x.storage, Leaf())
        del x
        tape.nodes = []
        out = heads.finished(tape, given, weights, shapes[0], loss)
        chain.append(_Link(given.source, tape.nodes, out.source))
        return chain, casting

    def _back(self, tape: Tape, link: _Link, gradient: Storage) -> Storage | None:
        """Go back through a part; return its input's gradient."""
        tape.nodes = link.nodes
        if link.out is not None:
            link.out.take(gradient)
        link.out = None
        del gradient
        tape.backward()
        return link.into.gradient if isinstance(link.into, Leaf) else None

    def _again(
        self, tape: Tape, link: _Link, gradient: Storage, shapes: tuple[Shapes, Shapes]
    ) -> Storage | None:
        """Make a layer's tensors again, and go back through it."""
        model, number, given = self.model, link.number or 0, link.given
        if given is None:
            return None
        inner = self._tape(keeps=False)
        inner.gradients = tape.gradients
        windowed = number in model.architecture.windowed_layers
        x = Tensor(given.count, given.width, given.storage, link.into)
        layer = model.weights.layer(model.kinds[number])
        out = model.forward(inner, x, layer, shapes[windowed])
        made = _Link(link.into, inner.nodes, out.source)
        del out, x, layer, given
        return self._back(inner, made, gradient)

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
        for sizes in moments_of_step(name, self.trained):
            for block in self._request(sizes):
                self.allocator.release(block)
