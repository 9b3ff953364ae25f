"""What an adapter adds to one linear module: peft's methods in closed form.

Each takes the module (in, out: its features), the adapter's settings, and returns the parameters
that peft 0.21 makes for it. Defaults are those of peft's configurations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from tui_ft.models.pieces import Linear
from tui_ft.models.targets import AdapterError

Settings = Mapping[str, Any]
Method = Callable[[Linear, Settings], int]


def number(settings: Settings, name: str, otherwise: int) -> int:
    """Return a whole number of the settings, or what peft takes without it.

    Raises:
        AdapterError: it is none.
    """
    value = settings.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise AdapterError(f"{name} of the adapter is {value!r}, and no whole number")
    return value


def _both(linear: Linear) -> int:
    return linear.in_features + linear.out_features


def _boft(linear: Linear, settings: Settings) -> int:
    """BOFT (arXiv:2311.06243): blocks of rotations, once for each butterfly factor, and scales."""
    size = number(settings, "boft_block_size", 4)
    blocks = number(settings, "boft_block_num", 0) or linear.in_features // size
    size = size or linear.in_features // blocks
    factor = number(settings, "boft_n_butterfly_factor", 1)
    return factor * blocks * size * size + linear.out_features


def _c3a(linear: Linear, settings: Settings) -> int:
    """C3A (arXiv:2407.19342): a circulant kernel for each pair of blocks."""
    block = number(settings, "block_size", 256)
    return linear.weights // block


def _deft(linear: Linear, settings: Settings) -> int:
    r = number(settings, "r", 8)
    return r * linear.out_features if settings.get("para") else r * _both(linear)


def _frod(linear: Linear, settings: Settings) -> int:
    """FRoD: a diagonal, and a sparse matrix of which a share is not zero."""
    width, rate = linear.in_features, float(settings.get("sparse_rate", 0.01))
    sparse = min(int(width * width * rate), width * width - width)
    return width + (max(1, sparse) if rate > 0 and width > 1 else sparse)


def _glora(linear: Linear, settings: Settings) -> int:
    """GLoRA (arXiv:2306.07967): two paths for the weight, three more where there is a bias."""
    r = number(settings, "r", 8)
    out, into = linear.out_features, linear.in_features
    weight = {"lora": r * (out + into), "vector": out, "constant": 1}
    paths = 2 * weight.get(str(settings.get("config_A_B", "lora")), 0)
    if linear.bias:
        paths += {"lora": r * (into + 1), "vector": into}.get(
            str(settings.get("config_C", "lora")), 0
        )
        paths += 2 * {"vector": out, "constant": 1}.get(
            str(settings.get("config_D_E", "constant")), 0
        )
    return paths


def _miss(linear: Linear, settings: Settings) -> int:
    """MiSS (arXiv:2409.15371): one block of rows, shared along the input."""
    r = number(settings, "r", 64)
    match settings.get("init_weights", True):
        case "bat":
            return linear.out_features // r * r * r
        case "mini":
            return r * number(settings, "mini_r", 1)
    return r * linear.out_features


def _lokr(linear: Linear, settings: Settings) -> int:
    """LoKr (arXiv:2309.14859): a Kronecker product of two factors, of low rank where that pays."""
    r, factor = number(settings, "r", 8), int(settings.get("decompose_factor", -1))
    in_small, in_large = _factors(linear.in_features, factor)
    out_small, out_large = _factors(linear.out_features, factor)
    both = settings.get("decompose_both") and r < max(out_small, in_small) / 2
    first = r * (out_small + in_small) if both else out_small * in_small
    low = r < max(out_large, in_large) / 2
    return first + (r * (out_large + in_large) if low else out_large * in_large)


def _factors(dimension: int, factor: int) -> tuple[int, int]:
    """Return two factors, the smaller first and at most ``factor``; -1 sets no limit."""
    if factor > 0 and dimension % factor == 0:
        return factor, dimension // factor
    most = dimension if factor == -1 else factor
    small = max(n for n in range(1, math.isqrt(dimension) + 1) if dimension % n == 0 and n <= most)
    return small, dimension // small


def _oft(linear: Linear, settings: Settings) -> int:
    """OFT (arXiv:2306.07280): a skew-symmetric matrix for each block of the input."""
    width = linear.in_features
    blocks = number(settings, "r", 0)
    size = number(settings, "oft_block_size", 0 if blocks else 32)
    if blocks:
        blocks = _nearest_divisor(width, blocks)
        size = width // blocks
    else:
        size = _nearest_divisor(width, size)
        blocks = width // size
    return (1 if settings.get("block_share") else blocks) * (size * (size - 1) // 2)


def _nearest_divisor(width: int, wanted: int) -> int:
    """Return the divisor next to ``wanted``, the lower of two that are equally near."""
    if width % wanted == 0:
        return wanted
    if wanted >= width:
        return width
    lower = next(n for n in range(wanted, 0, -1) if width % n == 0)
    higher = next(n for n in range(wanted, width + 1) if width % n == 0)
    return lower if wanted - lower <= higher - wanted else higher


def _osf(linear: Linear, settings: Settings) -> int:
    """OSF (arXiv:2504.07097): the singular vectors and values below the rank that is kept."""
    least = min(linear.in_features, linear.out_features)
    kept = settings.get("effective_rank")
    for pattern, rank in (settings.get("rank_pattern") or {}).items():
        if pattern in linear.path:
            kept = rank
            break
    if kept is None:
        whole = least // 2
    else:
        whole = int(least * kept) if isinstance(kept, float) and 0 < kept <= 1 else int(kept)
    return (least - max(min(least, whole), 0)) * (_both(linear) + 1)


def _peanut(linear: Linear, settings: Settings) -> int:
    r = number(settings, "r", 32)
    return 2 * r * linear.out_features + 2 * number(settings, "depth", 0) * r * r


def _psoft(linear: Linear, settings: Settings) -> int:
    """PSOFT (arXiv:2505.11235): a rotation between two frozen factors, and two vectors."""
    r = number(settings, "r", 32)
    rotation = r * (r - 1) // 2 if settings.get("psoft_orth", True) else r * r
    vectors = sum(bool(settings.get(name, True)) for name in ("psoft_mag_a", "psoft_mag_b"))
    return rotation + r * vectors


def _randlora(linear: Linear, settings: Settings) -> int:
    """RandLoRA (arXiv:2502.00987): scales of as many random bases as make a full rank."""
    r, least = number(settings, "r", 32), min(linear.in_features, linear.out_features)
    bases = -(-least // r)
    return bases * (r + least)


def _road(linear: Linear, settings: Settings) -> int:
    """RoAd (arXiv:2409.00119): an angle and a length for each pair of outputs, or more of them."""
    out = linear.out_features
    sizes = {"road_1": out // 2, "road_2": out, "road_4": 2 * out}
    return 2 * sizes[str(settings.get("variant", "road_1"))]


def _supertuning(linear: Linear, settings: Settings) -> int:
    sparse = int(linear.weights * (1 - float(settings.get("sparsity", 0.99))))
    return sparse + number(settings, "r", 0) * _both(linear)


def _vblora(linear: Linear, settings: Settings) -> int:
    """VB-LoRA (arXiv:2405.15179): logits over the bank for each piece of both factors."""
    length, vectors = number(settings, "vector_length", 256), number(settings, "num_vectors", 256)
    pieces = linear.in_features // length + linear.out_features // length
    return number(settings, "r", 4) * pieces * vectors


def _low_rank(default: int, times: int = 1, beside: int = 0) -> Method:
    """Return the count of methods with two factors of a rank: r times (in + out)."""

    def count(linear: Linear, settings: Settings) -> int:
        return times * number(settings, "r", default) * _both(linear) + beside

    return count


def _gralora(linear: Linear, settings: Settings) -> int:
    return (number(settings, "r", 32) + number(settings, "hybrid_r", 0)) * _both(linear)


METHODS: Final[dict[str, Method]] = {
    "BEFT": lambda linear, _: linear.out_features,
    "BOFT": _boft,
    "C3A": _c3a,
    "DEFT": _deft,
    "DELORA": _low_rank(8, beside=1),
    "FOURIERFT": lambda _, settings: number(settings, "n_frequency", 1000),
    "FROD": _frod,
    "GLORA": _glora,
    "GRALORA": _gralora,
    "HIRA": _low_rank(32),
    "HRA": lambda linear, settings: number(settings, "r", 8) * linear.in_features,
    "LOHA": _low_rank(8, times=2),
    "LOKR": _lokr,
    "MISS": _miss,
    "OFT": _oft,
    "OSF": _osf,
    "PEANUT": _peanut,
    "PSOFT": _psoft,
    "PVERA": lambda linear, settings: linear.out_features + 2 * number(settings, "r", 256),
    "RANDLORA": _randlora,
    "ROAD": _road,
    "SHIRA": _low_rank(32),
    "SUPERTUNING": _supertuning,
    "VBLORA": _vblora,
    "VERA": lambda linear, settings: linear.out_features + number(settings, "r", 256),
    "WAVEFT": lambda _, settings: number(settings, "n_frequency", 2592),
}
"""Methods that add the same to each module, by peft's name. LoRA, IA3 and what is shared between
modules are counted in `trainable`."""
