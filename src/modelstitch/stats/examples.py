"""What records keep of every test example: enough to pair two of them example by example. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MeasureError
from ..records.answers import Answers, errors, numbers, told_by, unpack_answers
from ..records.record import Record
from . import bootstrap

if TYPE_CHECKING:
    from ..records.answers import Floats


@dataclass(frozen=True)
class Examples:
    """One stitch on the test split, example by example, in the order of the split.

    Attributes:
        deltas: error(stitched) - error(top) of each example, (n,): -100, 0 or 100 points, or in another unit; or
            error(stitched) by itself, where that was asked for.
        weights: (n,), 1, or what an example counts, such as its number of tokens.
        source: equal for two records that were measured on the same examples.
        unit: of the task: "points", "nats/token", or another one.
        ends: the least and the greatest delta that an example can have; None where there is none.
    """

    deltas: Floats
    weights: Floats
    source: tuple[Any, ...]
    unit: str
    ends: tuple[float, float] | None = None


def unpack_together(records: Sequence[Record], *, alone: bool = False) -> list[Examples]:
    """The examples of records, their sources told apart together.

    Records of before name no test split, only the data as a whole. Beside one of the same data that does, they are on
    the split that it names.

    Raises:
        MeasureError: as ``unpack``.
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
        read = errors if unit == "points" else numbers
        stitched, top = read(kept["stitched"], n), read(kept["top"], n)
        weights = np.ones(n) if unit == "points" else numbers(kept["weights"], n)
        data = record.data.get("fingerprint")
    except (KeyError, ValueError, TypeError) as error:
        raise MeasureError(f"The examples of the record {cell} cannot be read: found {error}.") from error
    source = _test(record) or (named or {}).get(data, data)
    ends = bootstrap.ends_of(unit, alone=alone)
    return Examples(stitched if alone else stitched - top, weights, (source, n, unit), unit, ends)


def answers_of(record: Record) -> Answers:
    """The answers of a record.

    Raises:
        MeasureError: they cannot be read, or the record's loss and agreements are not what they give.
    """
    kept, cell = record.examples or {}, record.cell or "without a name"
    try:
        found = unpack_answers(kept)
    except (KeyError, ValueError, TypeError) as error:
        raise MeasureError(f"The answers of the record {cell} cannot be read: found {error!r}.") from error
    for name, told, room in told_by(found):
        metric = record.metric(name)
        if metric is not None and metric.value is not None and abs(metric.value - told) > room:
            raise MeasureError(
                f"The record {cell} contradicts itself: expected the {name} {told:g} that its answers give, found "
                f"{metric.value:g}."
            )
    return found


def _test(record: Record) -> str | None:
    return None if record.examples is None else record.examples.get("test")
