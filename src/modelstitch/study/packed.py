"""What both models did on every test example, packed into plain JSON values, and back. No torch.

numpy is loaded where numbers are unpacked: counting right answers needs none.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def pack(stitched: Floats, top: Floats, weights: Floats, unit: str, test: str = "") -> dict[str, Any]:
    """Errors of the stitched model and of the top alone, (n,) each, as plain JSON values.

    Points are kept as bits (right or wrong), nats as float32; ``test`` is the identity of the test split.
    """
    head = {"n": len(stitched), "unit": unit, **({"test": test} if test else {})}
    if unit == "points":
        return {**head, "stitched": _bits(stitched == 0), "top": _bits(top == 0)}
    packed = {name: _floats(v) for name, v in (("stitched", stitched), ("top", top), ("weights", weights))}
    return {**head, **packed}


def errors(text: str, n: int) -> Floats:
    """0 or 100 points for each of n packed answers.

    Raises:
        ValueError: if the text holds other than n.
    """
    import numpy as np

    right = np.unpackbits(np.frombuffer(_bytes(text, n), np.uint8), count=n)
    return 100.0 * (1 - right.astype(np.float64))


def right(text: str, n: int) -> int:
    """How many of n packed answers are right.

    Raises:
        ValueError: if the text holds other than n.
    """
    return int.from_bytes(_bytes(text, n), "big").bit_count()


def numbers(text: str, n: int) -> Floats:
    """The n packed numbers of a text.

    Raises:
        ValueError: if it holds other than n, or one is not finite.
    """
    import numpy as np

    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)
    if len(values) != n or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} numbers instead of {n}, or one that is not finite")
    return values


def average(values: Floats, weights: Floats) -> float:
    """The weighted mean.

    Raises:
        ZeroDivisionError: if the weights sum to zero.
    """
    import numpy as np

    return float(np.average(values, weights=weights))


def _bytes(text: str, n: int) -> bytes:
    bits = base64.b64decode(text, validate=True)
    if len(bits) != -(-n // 8):
        raise ValueError(f"{len(bits)} bytes for {n} answers")
    return bits


def _bits(right: NDArray[np.bool_]) -> str:
    import numpy as np

    return base64.b64encode(np.packbits(right).tobytes()).decode()


def _floats(values: Floats) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()
