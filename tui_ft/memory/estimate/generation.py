"""What generating answers takes: the prompt's forward pass, the cache, and the last token's."""

from __future__ import annotations

from tui_ft.memory.estimate.heads import Loss
from tui_ft.memory.estimate.model import Model
from tui_ft.memory.estimate.parts import Part
from tui_ft.memory.estimate.tape import FLOAT32, block_of
from tui_ft.memory.step import BYTES, Generation

_LONG = 8
_SCORES = 2


def cache_bytes(model: Model, rows: int, tokens: int) -> int:
    """Return keys and values of all layers, in the type of the arithmetic."""
    step = model.step
    width = BYTES[step.arithmetic or step.weights]
    return rows * model.architecture.kv_cache_bytes(tokens, width)


def prompt_of(plan: Generation) -> Loss:
    """Return the pass over the prompts: of the last position alone there are scores."""
    return Loss("last", plan.rows, plan.prompt, 1)


def generated(model: Model, plan: Generation, prompt: Part) -> dict[str, int]:
    """Return what is held at the worst moment of generating, by name.

    The prompt goes through all layers at once, and leaves keys and values. Each token then joins
    its own to a layer's by writing them out anew (transformers, `DynamicLayer.update`): so the
    cache is held, and one layer's keys and values a second time. Of the last position the logits
    are held in the model's type, in float32, and as their softmax.

    Args:
        model: the policy.
        plan: rows and tokens.
        prompt: a layer's forward pass over the prompt.
    """
    width = BYTES[model.step.arithmetic or model.step.weights]
    words = plan.rows * model.architecture.vocab_size
    scores = words * width + _SCORES * block_of(words * FLOAT32)
    tokens = plan.prompt + plan.new
    whole = cache_bytes(model, plan.rows, tokens)
    layer = whole // model.architecture.layers
    first = cache_bytes(model, plan.rows, plan.prompt)
    hidden = block_of(plan.rows * plan.prompt * model.architecture.hidden_size * width)
    at_first = {"key and value cache": first, "temporaries": hidden + prompt.forward}
    at_last = {
        "key and value cache": whole,
        "temporaries": layer + scores + plan.rows * tokens * _LONG,
    }
    return max(at_first, at_last, key=lambda terms: sum(terms.values()))
