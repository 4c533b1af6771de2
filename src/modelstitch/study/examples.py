"""What a record keeps of every test example, packed: enough to pair two records example by example. No torch."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeasureError

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


def unpack_together(records: Sequence[Mapping[str, Any]], *, alone: bool = False) -> list[Examples]:
    """The examples of records, their sources told apart together.

    Records of before name no test split, only the data as a whole. Beside one of the same data that does, they are on the
    split that it names.

    Raises:
        MeasureError: as :func:`unpack`.
    """
    named = {_data(record): test for record in records if (test := _test(record))}
    return [unpack(record, named, alone=alone) for record in records]


def unpack(record: Mapping[str, Any], named: Mapping[Any, str] | None = None, *, alone: bool = False) -> Examples:
    """The examples of a record.

    Args:
        named: the test splits of data, for a record that names the data alone.
        alone: the stitched model's own errors, the top's not taken off.

    Raises:
        MeasureError: if the record keeps none, or they cannot be read.
    """
    kept, cell = record.get("examples"), record.get("cell", "without a name")
    if not isinstance(kept, Mapping):
        raise MeasureError(f"The record {cell} keeps no examples: expected one made by this version; run it again.")
    try:
        n, unit = int(kept["n"]), str(kept["unit"])
        read = _errors if unit == "points" else _numbers
        stitched, top = read(kept["stitched"], n), read(kept["top"], n)
        weights = np.ones(n) if unit == "points" else _numbers(kept["weights"], n)
        data = _data(record)
    except (KeyError, ValueError, TypeError) as error:
        raise MeasureError(f"The examples of the record {cell} cannot be read: found {error}.") from error
    source = _test(record) or (named or {}).get(data, data)
    return Examples(stitched if alone else stitched - top, weights, (source, n, unit), unit)


def _test(record: Mapping[str, Any]) -> str | None:
    kept = record.get("examples")
    return kept.get("test") if isinstance(kept, Mapping) else None


def _data(record: Mapping[str, Any]) -> Any:
    return record["config"]["data"].get("fingerprint")


def _bits(right: NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def _floats(values: Floats) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _errors(text: str, n: int) -> Floats:
    right = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n)
    return 100.0 * (1 - right.astype(np.float64))


def _numbers(text: str, n: int) -> Floats:
    values = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)
    if len(values) != n:
        raise ValueError(f"{len(values)} numbers instead of {n}")
    return values
