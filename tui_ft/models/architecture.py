"""A model's architecture: sizes, modules, and what follows from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from tui_ft.models.pieces import Embedding, Layers, Linear, Norm, Part, Piece, Weight

Kind = Literal["decoder", "encoder"]
Positions = Literal["rotary", "learned", "alibi"]


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts (arXiv:1701.06538).

    Attributes:
        count: experts of a layer, without the shared ones.
        per_token: how many of them a token passes.
        size: intermediate size of one.
        shared_size: intermediate size of what every token passes beside them; 0 without.
        layers: the layers that have experts; the others have a plain MLP.
    """

    count: int
    per_token: int
    size: int
    layers: Layers
    shared_size: int = 0


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1).

    Attributes:
        q_rank: rank of the queries' projection; None when it is a full one.
        kv_rank: size of the latent vector from which keys and values are made.
        nope_dim: of a head of the keys, without position.
        rope_dim: of a head of the keys, with position; shared by the heads.
        v_dim: of a head of the values.
    """

    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    v_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What a model is, as transformers makes it from its configuration.

    Attributes:
        model_type: transformers' word for it.
        family: its name for people.
        kind: encoders are counted with the head of a masked language model.
        hidden_size: width of the residual stream, H.
        layers: number of transformer layers, L.
        heads: of the queries.
        kv_heads: of the keys and values; fewer than `heads` in grouped-query attention.
        head_dim: width of a head of queries and keys; with `latent`, of both their halves.
        intermediate_size: of the MLP, I; in a mixture of experts, of its plain layers.
        vocab_size: rows of the token embedding.
        max_positions: the longest context; None where nothing bounds it.
        tied: the head shares the token embedding's weight.
        norm: kind of normalisation.
        activation: of the MLP, by transformers' name.
        gated: the MLP has a gate beside the projection up (arXiv:2002.05202).
        parallel: attention and MLP read the same input, side by side.
        qk_norm: queries and keys are normalised.
        window: of sliding-window attention, in tokens; None without.
        windowed_layers: the layers whose attention sees the window only.
        modules: all modules with weights, in no order that matters.
        output: the module that gives logits or scores, also among `modules`.
        labels: of a classification; None for a language model.
        guessed: transformers' class is not known here; it was counted as a Llama is.
        prefix: where its layers are: `model.layers.{}.`.
    """

    model_type: str
    family: str
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_positions: int | None
    tied: bool
    modules: tuple[Piece, ...]
    output: Linear
    prefix: str
    kind: Kind = "decoder"
    positions: Positions = "rotary"
    norm: Literal["rms", "layer"] = "rms"
    activation: str = "silu"
    gated: bool = True
    parallel: bool = False
    qk_norm: bool = False
    window: int | None = None
    windowed_layers: Layers = ()
    experts: Experts | None = None
    latent: Latent | None = None
    labels: int | None = None
    guessed: bool = False

    @property
    def linears(self) -> tuple[Linear, ...]:
        """Its linear modules, the head among them."""
        return tuple(piece for piece in self.modules if isinstance(piece, Linear))

    @property
    def norms(self) -> tuple[Norm, ...]:
        """Its normalisations."""
        return tuple(piece for piece in self.modules if isinstance(piece, Norm))

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """Its tables; the one of tokens is the first."""
        return tuple(piece for piece in self.modules if isinstance(piece, Embedding))

    @property
    def parameters(self) -> int:
        """All parameters; shared ones count once."""
        return sum(piece.parameters * piece.count for piece in self.modules)

    @property
    def by_part(self) -> dict[Part, int]:
        """Parameters of each part that has any; a tied head has none of its own."""
        counted: Counter[Part] = Counter()
        for piece in self.modules:
            counted[piece.part] += piece.parameters * piece.count
        return {part: number for part, number in counted.items() if number}

    @property
    def active_parameters(self) -> int:
        """Parameters that one token passes: all but the experts that it is not sent to."""
        idle = sum(
            (piece.parameters - piece.active) * piece.count
            for piece in self.modules
            if isinstance(piece, Weight)
        )
        return self.parameters - idle

    def kv_cache_bytes(self, tokens: int = 1, element: int = 2) -> int:
        """Return what generation keeps of ``tokens`` tokens, in bytes.

        Keys and values of each layer; the latent vector and the shared rotary part in latent
        attention, as transformers 5 keeps them; a layer with a window keeps no more than that.

        Args:
            tokens: of one sequence.
            element: bytes of a number.
        """
        if self.kind == "encoder":
            return 0
        width = 2 * self.kv_heads * self.head_dim
        if self.latent is not None:
            width = self.latent.kv_rank + self.latent.rope_dim
        seen = tokens if self.window is None else min(tokens, self.window)
        windowed = len(self.windowed_layers)
        return element * width * (windowed * seen + (self.layers - windowed) * tokens)

    def forward_flops(self, tokens: int) -> int:
        """Return the operations of a forward pass over one sequence of ``tokens`` tokens.

        Two for each weight of a matrix product that a token passes (Kaplan et al. 2020, 2.1), and
        four for each pair of positions and each number of a head (scores and their sum), over half
        of the square in a decoder, over the window where there is one. Norms, activations, the
        softmax and what sees images are left out.
        """
        products = sum(p.weights * p.count for p in self.linears if p.part != "vision")
        products += sum(
            piece.active * piece.count
            for piece in self.modules
            if isinstance(piece, Weight) and piece.part in ("experts", "router")
        )
        value_dim = self.head_dim if self.latent is None else self.latent.v_dim
        pair = 2 * self.heads * (self.head_dim + value_dim)
        windowed = len(self.windowed_layers)
        pairs = windowed * self._pairs(tokens, self.window)
        pairs += (self.layers - windowed) * self._pairs(tokens, None)
        return 2 * products * tokens + pair * pairs

    def _pairs(self, tokens: int, window: int | None) -> int:
        """Return how many positions all positions look at together in one layer."""
        if self.kind == "encoder":
            return tokens * min(tokens, window or tokens)
        if window is None or window >= tokens:
            return tokens * (tokens + 1) // 2
        return window * (window + 1) // 2 + (tokens - window) * window
