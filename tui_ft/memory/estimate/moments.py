"""The moments of a step at which its peak may be, and what is held at each.

At a moment t the allocator holds

    weights + states + gradients(t) + saved(t) + working(t).

Saved activations grow by one layer's with each layer forward and shrink backward; gradients grow
backward; what one layer saves and works with is counted on a tape of its operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from tui_ft.memory.allocator import MIB
from tui_ft.memory.estimate import heads
from tui_ft.memory.estimate.families import mask_bytes, shapes_of
from tui_ft.memory.estimate.generation import generated, prompt_of
from tui_ft.memory.estimate.heads import Loss
from tui_ft.memory.estimate.layers import Shapes
from tui_ft.memory.estimate.model import Model, reward_models_of
from tui_ft.memory.estimate.objectives import Plan, input_bytes, plan_of
from tui_ft.memory.estimate.parts import Input, Part, Run, checkpointed, forward_only, measured
from tui_ft.memory.estimate.sharding import GATHERING, Spread, gradients_of, persistent, spread_of
from tui_ft.memory.estimate.tape import Storage, Tape, Tensor, block_of
from tui_ft.memory.estimate.weights import Weights
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.states import IN_BACKWARD
from tui_ft.memory.step import BYTES

Stage = Literal["forward", "backward", "optimizer", "generation", "evaluation"]
_PROMPTS: Final = ("prompt", "p_tuning")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a step, and what is held at it.

    Attributes:
        stage: of the step.
        what: the moment in words.
        terms: bytes by name.
    """

    stage: Stage
    what: str
    terms: dict[str, int]

    @property
    def total(self) -> int:
        """All that is allocated, in bytes."""
        return sum(self.terms.values())


@dataclass(frozen=True, slots=True)
class _Pass:
    """A forward pass over a batch: what its parts take.

    Attributes:
        held: inputs and masks.
        first: the embedding's part, with the first layer's input among what it holds.
        layers: each layer's part.
        head: the head's and the loss's part.
    """

    held: int
    first: Part
    layers: Sequence[Part]
    head: Part

    @property
    def during(self) -> int:
        """What is kept of embedding and layers until the forward pass is over."""
        return self.first.during + sum(layer.during for layer in self.layers)

    @property
    def holds(self) -> int:
        """What is kept of them until the backward pass."""
        return self.first.holds + sum(layer.holds for layer in self.layers)


def moments_of(
    model: Model, sharding: Sharding | None = None, loaded: Model | None = None
) -> list[Moment]:
    """Return the moments of a step at which its peak may be.

    Args:
        model: as it is computed.
        sharding: how it is spread over GPUs.
        loaded: the model as it is held where it is spread, if not as it is computed.
    """
    plan = plan_of_model(model)
    spread = spread_of(model, sharding) if sharding is not None else None
    held = _persistent(model, plan)
    step_takes = model.sizes.step
    if spread is not None:
        held |= {"adapters": 0, **persistent(loaded or model, model, spread.sharding)}
        if spread.sharding.kind != "ddp":
            step_takes = (
                0 if spread.sharding.offloads_states else step_takes // spread.sharding.gpus
            )
    gradients = _gradients(model, spread)
    learning = _learning(model, plan.loss)
    found = [
        *_around(model, plan, held, gradients.total if model.step.accumulation else 0),
        *_forward(model, plan, held, gradients, learning),
        *_backward(model, held, gradients, learning),
        _update(held, gradients, step_takes),
    ]
    if spread is not None:
        if spread.gathers_head:
            found += [_before_loss(one) for one in found if one.what == "the loss"]
        found = [_with_exchange(one, spread, len(model.kinds)) for one in found]
    return [replace(one, terms={k: v for k, v in one.terms.items() if v > 0}) for one in found]


def _before_loss(loss: Moment) -> Moment:
    return replace(loss, what=GATHERING, terms={**loss.terms, "logits and loss": 0})


def _with_exchange(moment: Moment, spread: Spread, layers: int) -> Moment:
    size = spread.exchange(moment.stage, moment.what, last_layer=f"layer {layers}")
    return replace(moment, terms={**moment.terms, "exchange between GPUs": size})


def plan_of_model(model: Model) -> Plan:
    """Return the passes of a step, the tokens that a prompt adds included."""
    adapter = model.adapter
    prompted = adapter is not None and adapter.kind in _PROMPTS
    return plan_of(model.step, adapter.tokens if adapter is not None and prompted else 0)


def asks_for_gradient(model: Model) -> bool:
    """Tell whether a gradient is asked for at a frozen embedding."""
    adapter = model.adapter
    return adapter is not None and (model.step.checkpointing or adapter.kind in _PROMPTS)


def shapes_of_pass(model: Model, loss: Loss) -> tuple[Shapes, Shapes]:
    """Return what the layers' operations are told in a pass over a loss's rows."""
    adapter = model.adapter
    prefix = adapter.tokens if adapter is not None and adapter.kind == "prefix" else 0
    return shapes_of(model.step, model.architecture, loss.rows, loss.length, prefix)


def inputs_of(model: Model, loss: Loss) -> int:
    """Return the bytes of token ids, masks, and cosine and sine."""
    return _inputs(model, loss, shapes_of_pass(model, loss))


def _persistent(model: Model, plan: Plan) -> dict[str, int]:
    """Return what is held all the time, by name."""
    sizes = model.sizes
    copies = plan.references * (sizes.weights + sizes.constants) + reward_models_of(model.step)
    if model.step.reference_adapter:
        copies += sizes.adapters
    return {
        "weights": sizes.weights,
        "quantisation constants": sizes.constants,
        "adapters": sizes.adapters,
        "optimizer states": sizes.states,
        "frozen copies": copies,
        "cuBLAS workspace": int(model.step.workspace_mib * MIB),
    }


@dataclass(frozen=True, slots=True)
class _Gradients:
    """Bytes of gradients: of all, of the head, and of each layer."""

    total: int
    head: int
    layers: tuple[int, ...]


def _gradients(model: Model, spread: Spread | None) -> _Gradients:
    """Return the gradients; those of an earlier pass are all there already."""
    sizes = model.sizes

    def share(size: int) -> int:
        return size if spread is None else gradients_of(size, spread)

    total = share(sizes.trained)
    if model.step.optim in IN_BACKWARD:  # one is there while the next is made
        two = 2 * share(sizes.largest_trained)
        return _Gradients(two, min(two, share(sizes.largest_trained)), (0,) * len(model.kinds))
    if model.step.accumulation:
        return _Gradients(total, total, (0,) * len(model.kinds))
    output = model.architecture.output
    head = 0
    matrix = model.weights.matrix(output)
    if matrix.source is not None:
        head = block_of(output.weights * matrix.width)
    layers = tuple(share(sizes.by_kind[kind]) for kind in model.kinds)
    return _Gradients(total, share(head), layers)


def _learning(model: Model, loss: Loss) -> _Pass:
    """Return the pass that keeps what its backward pass reads."""
    step, weights = model.step, model.weights
    shapes = shapes_of_pass(model, loss)
    low = BYTES[step.arithmetic] if step.arithmetic else None
    first, x = _embedding(model, loss, shapes[0], low)
    measure = checkpointed if step.checkpointing else measured
    known: dict[tuple[int, bool, bool], Part] = {}
    layers = []
    for number, kind in enumerate(model.kinds):
        windowed = number in model.architecture.windowed_layers
        key = (kind, windowed, x.learns or number > 0)
        if key not in known:
            run = _layer_run(model, weights, kind, shapes[windowed])
            known[key] = measure(run, replace(x, learns=key[2]), low)
        layers.append(known[key])
    head = measured(
        lambda tape, y: heads.finished(tape, y, weights, shapes[0], loss),
        replace(x, learns=True),
        low,
    )
    return _Pass(_inputs(model, loss, shapes), first, layers, head)


def _layer_run(
    model: Model, weights: Weights, kind: int, shapes: Shapes, *, frozen: bool = False
) -> Run:
    """Return a layer's forward pass: of the trained model, or of a frozen base."""

    def run(tape: Tape, x: Tensor) -> Tensor:
        layer = weights.layer(kind, adapted=not frozen, trained=not frozen)
        return model.forward(tape, x, layer, shapes)

    return run


def _inputs(model: Model, loss: Loss, shapes: tuple[Shapes, Shapes]) -> int:
    """Return token ids, masks, and cosine and sine."""
    step, architecture = model.step, model.architecture
    angles = 0
    if architecture.positions == "rotary":
        angles = 2 * loss.length * architecture.head_dim * shapes[0].rotary_width
    return input_bytes(step, loss) + angles + mask_bytes(step, shapes)


def _embedding(model: Model, loss: Loss, shapes: Shapes, low: int | None) -> tuple[Part, Input]:
    """Return the embedding's part, and what the first layer gets."""
    tape = Tape(low=low)
    x = heads.embedded(tape, model.weights, shapes, loss, learns=asks_for_gradient(model))
    given = Input(x.count, x.width, x.source is not None)
    size, source, peak = x.size, x.source, tape.peak
    del x
    tape.forget_casts()
    kept = tape.live + block_of(size)
    tape.peak = tape.live
    if tape.nodes and source is not None:
        source.take(Storage(tape, size))
        del source
        tape.peak = tape.live
        tape.backward()
    return Part(peak, kept, kept, tape.peak), given


def _without_gradients(model: Model, loss: Loss, *, frozen: bool) -> _Pass:
    """Return a pass under `torch.no_grad`, by the policy or by its bare base."""
    step, weights = model.step, model.weights
    if frozen and model.adapter is None:
        weights = Weights(step, model.architecture, None)
    shapes = shapes_of_pass(model, loss)
    low = BYTES[step.arithmetic] if step.arithmetic else None
    width = BYTES[step.weights]
    x = Input(loss.rows * loss.length * model.architecture.hidden_size, width, False)
    kinds = dict.fromkeys(
        (kind, number in model.architecture.windowed_layers)
        for number, kind in enumerate(model.kinds)
    )
    layers = [
        forward_only(_layer_run(model, weights, kind, shapes[windowed], frozen=frozen), x, low)
        for kind, windowed in kinds
    ]
    head = forward_only(lambda tape, y: heads.finished(tape, y, weights, shapes[0], loss), x, low)
    entered = block_of(x.count * x.width)
    first = Part(entered, entered, 0, 0)
    return _Pass(_inputs(model, loss, shapes), first, layers, head)


def _most(one: _Pass) -> int:
    """Return the most that a pass without gradients takes: each layer's is gone with the next."""
    parts = max(*(layer.forward for layer in one.layers), one.head.forward)
    return one.first.during + parts


def _around(model: Model, plan: Plan, held: dict[str, int], gradients: int) -> Iterator[Moment]:
    """Yield what comes before the pass that learns, and after the step."""
    before = {**held, "gradients": gradients}
    if plan.generation is not None:
        passed = _without_gradients(model, prompt_of(plan.generation), frozen=False)
        part = max(passed.layers, key=lambda layer: layer.forward)
        terms = generated(model, plan.generation, part)
        yield Moment("generation", "generating answers", {**before, **terms})
    if plan.judged is not None:
        scoring = _without_gradients(model, plan.judged, frozen=False)
        terms = {"inputs": scoring.held, "temporaries": _most(scoring)}
        yield Moment("generation", "scoring answers", {**before, **terms})
    if plan.scored:
        scoring = _without_gradients(model, plan.loss, frozen=False)
        terms = {"inputs": scoring.held, "temporaries": _most(scoring)}
        yield Moment("forward", "scoring other answers", {**before, **terms})
    if plan.evaluation is not None:
        passed = _without_gradients(model, plan.evaluation, frozen=False)
        terms = {"inputs": passed.held, "temporaries": _most(passed)}
        yield Moment("evaluation", "evaluation", {**held, **terms})


def _forward(
    model: Model, plan: Plan, held: dict[str, int], gradients: _Gradients, one: _Pass
) -> Iterator[Moment]:
    """Yield the moments of the forward pass: its last layer, the loss, a reference's pass."""
    there = gradients.total if model.step.accumulation else 0
    before = {**held, "gradients": there, "inputs": one.held}
    until = one.during - one.layers[-1].during
    last = {"saved activations": until, "temporaries": one.layers[-1].forward}
    yield Moment("forward", f"layer {len(one.layers)}", {**before, **last})
    loss = {"saved activations": one.during, "logits and loss": one.head.forward}
    yield Moment("forward", "the loss", {**before, **loss})
    if plan.compared:
        bare = not model.step.reference_adapter
        reference = _without_gradients(model, plan.loss, frozen=bare)
        most = _most(reference)
        compared = {
            "saved activations": one.during,
            "logits and loss": one.head.during,
            "temporaries": most,
        }
        yield Moment("forward", "the reference's pass", {**before, **compared})


def _backward(
    model: Model, held: dict[str, int], gradients: _Gradients, one: _Pass
) -> Iterator[Moment]:
    """Yield the moments of the backward pass: the head's, each layer's, the embedding's."""
    there = gradients.total if model.step.accumulation else 0
    before = {**held, "inputs": one.held}
    saved, got = one.holds, there
    head = {"gradients": got, "saved activations": saved, "logits and loss": one.head.backward}
    yield Moment("backward", "the loss's gradient", {**before, **head})
    if not model.step.accumulation:
        got = gradients.head
    for number in range(len(one.layers) - 1, -1, -1):
        part = one.layers[number]
        saved -= part.holds
        own = min(part.holds, part.backward)
        terms = {"gradients": got, "saved activations": saved + own}
        terms["temporaries"] = part.backward - own
        yield Moment("backward", f"layer {number + 1}", {**before, **terms})
        got += gradients.layers[number]
    last = {"gradients": got, "temporaries": one.first.backward}
    yield Moment("backward", "the embedding", {**before, **last})


def _update(held: dict[str, int], gradients: _Gradients, takes: int) -> Moment:
    terms = {"gradients": gradients.total, "optimizer step": takes}
    return Moment("optimizer", "the optimizer's step", {**held, **terms})
