"""What a record keeps of every test example, packed: enough to pair two records example by example. No torch.

numpy is loaded where numbers are unpacked: counting right answers needs none.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MeasureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .record import Record

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """One stitch on the test split, example by example, in the order of the split.

    Attributes:
        deltas: error(stitched) - error(top) of each example, (n,): -100, 0 or 100 points, or nats per token; or error(stitched)
            by itself, where that was asked for.
        weights: (n,), 1, or the number of tokens.
        source: equal for two records that were measured on the same examples.
        unit: "points", or nats of some kind.
    """

    deltas: Floats
    weights: Floats
    source: tuple[Any, ...]
    unit: str


def pack(stitched: Floats, top: Floats, weights: Floats, unit: str, test: str = "") -> dict[str, Any]:
    """Errors of the stitched model and of the top alone, (n,) each, as plain JSON values.

    Points are kept as bits (right or wrong), nats as float32; ``test`` is the identity of the test split.
    """
    head = {"n": len(stitched), "unit": unit, **({"test": test} if test else {})}
    if unit == "points":
        return {**head, "stitched": _bits(stitched == 0), "top": _bits(top == 0)}
    packed = {name: _floats(v) for name, v in (("stitched", stitched), ("top", top), ("weights", weights))}
    return {**head, **packed}


def unpack_together(records: Sequence[Record], *, alone: bool = False) -> list[Examples]:
    """The examples of records, their sources told apart together.

    Records of before name no test split, only the data as a whole. Beside one of the same data that does, they are on the
    split that it names.

    Raises:
        MeasureError: as :func:`unpack`.
    """
    named = {record.data.get("fingerprint"): test for record in records if (test := _test(record))}
    return [unpack(record, named, alone=alone) for record in records]


def unpack(record: Record, named: Mapping[Any, str] | None = None, *, alone: bool = False) -> Examples:
    """The examples of a record.

    Args:
        named: the test splits of data, for a record that names the data alone.
        alone: the stitched model's own errors, the top's not taken off.

    Raises:
        MeasureError: if the record keeps none, or they cannot be read.
    """
    import numpy as np

    kept, cell = record.examples, record.cell or "without a name"
    if kept is None:
        raise MeasureError(f"The record {cell} keeps no examples: expected one made by this version; run it again.")
    try:
        n, unit = int(kept["n"]), str(kept["unit"])
        read = _errors if unit == "points" else numbers
        stitched, top = read(kept["stitched"], n), read(kept["top"], n)
        weights = np.ones(n) if unit == "points" else numbers(kept["weights"], n)
        data = record.data.get("fingerprint")
    except (KeyError, ValueError, TypeError) as error:
        raise MeasureError(f"The examples of the record {cell} cannot be read: found {error}.") from error
    source = _test(record) or (named or {}).get(data, data)
    return Examples(stitched if alone else stitched - top, weights, (source, n, unit), unit)


def _test(record: Record) -> str | None:
    return None if record.examples is None else record.examples.get("test")


def _bits(right: NDArray[np.bool_]) -> str:
    import numpy as np

    return base64.b64encode(np.packbits(right).tobytes()).decode()


def _floats(values: Floats) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _errors(text: str, n: int) -> Floats:
    import numpy as np

    right = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n)
    return 100.0 * (1 - right.astype(np.float64))


def right(text: str, n: int) -> int:
    """How many of n packed answers are right.

    Raises:
        ValueError: if the text holds other than n.
    """
    bits = base64.b64decode(text, validate=True)
    if len(bits) != -(-n // 8):
        raise ValueError(f"{len(bits)} bytes for {n} answers")
    return int.from_bytes(bits, "big").bit_count()


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
