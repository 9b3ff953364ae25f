"""Layers of the decoders before Llama, and of BERT, on a tape."""

from __future__ import annotations

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import attend
from tui_ft.memory.estimate.layers import Shapes, activated, norm, projected
from tui_ft.memory.estimate.tape import Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer


def gpt2(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """GPT-2: queries, keys and values in one product, dropout after attention and MLP."""
    dropped = shapes.dropped("resid_pdrop")
    residual = x
    x = norm(tape, x, weights.norms["ln_1"], shapes)
    x = _gpt2_attention(tape, x, weights, shapes)
    x = ops.add(tape, ops.dropout(tape, x, dropped), residual)
    residual = x
    x = norm(tape, x, weights.norms["ln_2"], shapes)
    x = activated(tape, projected(tape, x, weights, "c_fc"), shapes)
    x = projected(tape, x, weights, "mlp.c_proj")
    return ops.add(tape, residual, ops.dropout(tape, x, dropped))


def _gpt2_attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    joined = projected(tape, x, weights, "c_attn")
    third = joined.count // 3
    q, k, v = ops.split(tape, joined, (third, third, third))
    del joined
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    return projected(tape, out, weights, "attn.c_proj")


def gpt_neox(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """GPT-NeoX and Pythia: attention and MLP side by side, each with its norm."""
    parallel = shapes.config.get("use_parallel_residual", True)
    dropped = shapes.dropped("hidden_dropout")
    inner = norm(tape, x, weights.norms["input_layernorm"], shapes)
    attended = _neox_attention(tape, inner, weights, shapes)
    del inner
    attended = ops.dropout(tape, attended, dropped)
    if not parallel:
        attended = ops.add(tape, attended, x)
    after = norm(
        tape, x if parallel else attended, weights.norms["post_attention_layernorm"], shapes
    )
    out = activated(tape, projected(tape, after, weights, "dense_h_to_4h"), shapes)
    out = projected(tape, out, weights, "dense_4h_to_h")
    out = ops.add(tape, ops.dropout(tape, out, dropped), attended)
    return ops.add(tape, out, x) if parallel else out


def _neox_attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    joined = projected(tape, x, weights, "query_key_value")
    third = joined.count // 3
    q, k, v = ops.split(tape, joined, (third, third, third))
    del joined
    nested = shapes.config.get("rope_parameters") or {}
    part = float(shapes.config.get("rotary_pct") or nested.get("partial_rotary_factor") or 0.25)
    q = ops.rotary(tape, q, shapes.rotary_width, part=part)
    k = ops.rotary(tape, k, shapes.rotary_width, part=part)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    # Joined after turning, queries stand head by head, and so does what comes out.
    return projected(tape, ops.copied(tape, out), weights, "dense")


def falcon(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Falcon: attention and MLP side by side, keys and values shared by all heads or by groups."""
    residual = x
    names = weights.norms
    two = "ln_mlp" in names
    first = norm(tape, x, names["ln_attn" if two else "input_layernorm"], shapes)
    second = norm(tape, x, names["ln_mlp"], shapes) if two else first
    attended = _falcon_attention(tape, first, weights, shapes)
    parallel = two or "post_attention_layernorm" not in names
    if not parallel:
        attended = ops.dropout(tape, attended, shapes.dropped("attention_dropout"))
        residual = ops.add(tape, residual, attended)
        second = norm(tape, residual, names["post_attention_layernorm"], shapes)
    out = activated(tape, projected(tape, second, weights, "dense_h_to_4h"), shapes)
    out = projected(tape, out, weights, "dense_4h_to_h")
    if parallel:  # added in place
        node = tape.record(((out.source, 0), (attended.source, 0)))
        out = Tensor(out.count, out.width, out.storage, node)
    out = ops.dropout(tape, out, shapes.dropped("hidden_dropout"))
    return ops.add(tape, residual, out)


def _falcon_attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    model = shapes.model
    joined = projected(tape, x, weights, "query_key_value")
    one = x.count // model.hidden_size * model.head_dim
    keys = one * model.kv_heads
    q, k, v = ops.split(tape, joined, (one * model.heads, keys, keys))
    del joined
    q = ops.copied(tape, q)
    groups = model.kv_heads > 1
    k = ops.spread(tape, k, q.count) if groups else ops.copied(tape, k)
    v = ops.spread(tape, v, q.count) if groups else ops.copied(tape, v)
    if model.positions == "rotary":
        q = ops.rotary(tape, q, shapes.rotary_width)
        k = ops.rotary(tape, k, shapes.rotary_width)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    return projected(tape, out, weights, "dense")


def opt(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """OPT: norms before attention and MLP, or after them in the 350M model."""
    before = shapes.config.get("do_layer_norm_before", True)
    dropped = shapes.dropped("dropout")
    first, last = weights.norms["self_attn_layer_norm"], weights.norms["final_layer_norm"]
    residual = x
    if before:
        x = norm(tape, x, first, shapes)
    x = _opt_attention(tape, x, weights, shapes)
    x = ops.add(tape, residual, ops.dropout(tape, x, dropped))
    if not before:
        x = norm(tape, x, first, shapes)
    residual = x
    if before:
        x = norm(tape, x, last, shapes)
    x = activated(tape, projected(tape, x, weights, "fc1"), shapes)
    x = ops.dropout(tape, projected(tape, x, weights, "fc2"), dropped)
    x = ops.add(tape, residual, x)
    return x if before else norm(tape, x, last, shapes)


def _opt_attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    q = ops.scaled(tape, projected(tape, x, weights, "q_proj"))
    k = projected(tape, x, weights, "k_proj")
    v = projected(tape, x, weights, "v_proj")
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    return projected(tape, out, weights, "out_proj")


def bloom(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """BLOOM: attention in plain operations, for its positions are added to the scores."""
    dropped = shapes.dropped("hidden_dropout")
    after = shapes.config.get("apply_residual_connection_post_layernorm", False)
    inner = norm(tape, x, weights.norms["input_layernorm"], shapes)
    residual = inner if after else x
    attended = _bloom_attention(tape, inner, weights, shapes)
    attended = ops.add(tape, residual, ops.dropout(tape, attended, dropped))
    inner = norm(tape, attended, weights.norms["post_attention_layernorm"], shapes)
    residual = inner if after else attended
    out = activated(tape, projected(tape, inner, weights, "dense_h_to_4h"), shapes)
    out = projected(tape, out, weights, "dense_4h_to_h")
    return ops.add(tape, residual, ops.dropout(tape, out, dropped))


def _bloom_attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    joined = projected(tape, x, weights, "query_key_value")
    third = joined.count // 3
    parts = ops.split(tape, joined, (third, third, third))
    del joined
    q, k, v = (ops.copied(tape, part) for part in parts)
    del parts
    # The loop over the layers still holds the scores that the last one returned.
    earlier = None if tape.learns else Storage(tape, shapes.attending.scores * q.width)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v, earlier
    return projected(tape, ops.copied(tape, out), weights, "dense")


def gpt_bigcode(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """StarCoder: GPT-2 whose heads share keys and values."""
    dropped = shapes.dropped("resid_pdrop")
    residual = x
    x = norm(tape, x, weights.norms["ln_1"], shapes)
    joined = projected(tape, x, weights, "c_attn")
    own = x.count
    rest = (joined.count - own) // 2
    q, k, v = ops.split(tape, joined, (own, rest, rest))
    del joined, x
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    out = projected(tape, out, weights, "attn.c_proj")
    x = ops.add(tape, ops.dropout(tape, out, dropped), residual)
    del out
    residual = x
    x = norm(tape, x, weights.norms["ln_2"], shapes)
    x = activated(tape, projected(tape, x, weights, "c_fc"), shapes)
    x = projected(tape, x, weights, "mlp.c_proj")
    return ops.add(tape, residual, ops.dropout(tape, x, dropped))


def distilbert(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """DistilBERT: as BERT, but for no dropout after the attention."""
    q = projected(tape, x, weights, "q_lin")
    k = projected(tape, x, weights, "k_lin")
    v = projected(tape, x, weights, "v_lin")
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    out = ops.add(tape, projected(tape, out, weights, "out_lin"), x)
    out = norm(tape, out, weights.norms["sa_layer_norm"], shapes)
    inner = activated(tape, projected(tape, out, weights, "lin1"), shapes)
    inner = projected(tape, inner, weights, "lin2")
    inner = ops.add(tape, ops.dropout(tape, inner, shapes.dropped("dropout")), out)
    del out
    return norm(tape, inner, weights.norms["output_layer_norm"], shapes)


def bert(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """BERT and RoBERTa: norms after each sum, dropout before it."""
    dropped = shapes.dropped("hidden_dropout_prob", "hidden_dropout")
    q = projected(tape, x, weights, "query")
    k = projected(tape, x, weights, "key")
    v = projected(tape, x, weights, "value")
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    out = projected(tape, out, weights, "attention.output.dense")
    out = ops.add(tape, ops.dropout(tape, out, dropped), x)
    out = norm(tape, out, weights.norms["attention.output.LayerNorm"], shapes)
    inner = activated(tape, projected(tape, out, weights, "intermediate.dense"), shapes)
    inner = projected(tape, inner, weights, "output.dense")
    inner = ops.add(tape, ops.dropout(tape, inner, dropped), out)
    del out
    return norm(tape, inner, weights.norms["output.LayerNorm"], shapes)
