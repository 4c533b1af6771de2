"""From a figure's records to its curves: the mean over fits at each place, with an interval. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import modelstitch as ms

from ..report import CONTROLS, Point
from ..stats import pool
from ..study import Metric, Record

ENOUGH = 6  # fits whose range holds the middle of all fits in 95 of 100 cases: 1 - 2 / 2^n
SYMMETRIC = ("similarity", "path")  # probes that say the same of two networks in either order


class Series(NamedTuple):
    """A curve that a judge looks at, by what ``Curves.places`` asks for."""

    line: str
    metric: str = "penalty"
    control: str = "pair"
    family: str | None = None

    @property
    def name(self) -> str:
        """The curve's label; a control of that curve is called after its kind."""
        return self.control if self.control in CONTROLS else self.line


def every_protocol(records: Sequence[Record], protocols: Iterable[str]) -> dict[str, Curves]:
    """The curves under each protocol, and under "" what is measured once for all."""
    return {name: Curves(records, name) for name in ("", *protocols)}


class Curves:
    """The curves of one figure under one protocol.

    What is a mean over test examples (a penalty, an error) has an interval where records keep their examples. With one
    fit behind a place test examples are drawn anew, paired; with more it is that of
    ``modelstitch.stats.pooling.pool``: pairs of networks are drawn first (both directions of one pair together),
    then fits, then examples. All else gets the range from the lowest to the highest fit, which is no interval
    below ``ENOUGH`` fits, and one fit has none: the ``SYMMETRIC`` probes of one pair in both directions are one fit
    measured twice.

    Args:
        records: of one figure, as the runner tags them.
        protocol: whose curves; what is measured once for all protocols is always there.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], protocol: str) -> None:
        self.protocol = protocol
        self.records = [r for r in map(Record.of, records) if r.tags["protocol"] in ("", protocol)]
        self._places: dict[
            tuple[Any, ...], list[Point]
        ] = {}  # intervals take time, and claims, tables and drawing ask again

    @property
    def ran(self) -> bool:
        """Whether the figure was run under the protocol itself."""
        return any(r.tags["protocol"] == self.protocol for r in self.records)

    @property
    def lines(self) -> list[str]:
        """The labels of all stitched curves, in the order of the records."""
        return list(dict.fromkeys(r.tags["line"] for r in self.records if r.control == "pair"))

    def select(self, line: str, control: str = "pair") -> list[Record]:
        """The records of one curve."""
        return [r for r in self.records if r.tags["line"] == line and r.control == control]

    def points(
        self, line: str, metric: str = "penalty", control: str = "pair", family: str | None = None
    ) -> list[Point]:
        """The curve along the depth of the top, where every fit was measured; empty where nothing was.

        Args:
            family: one of several families; all by default.
        """
        return [p for p in self.places(line, metric, control, family) if not failed(p)]

    def places(
        self, line: str, metric: str = "penalty", control: str = "pair", family: str | None = None
    ) -> list[Point]:
        """As ``points``, and the places at which a fit failed: the records are there, the value is not a number."""
        asked = (line, metric, control, family)
        if asked not in self._places:
            found: dict[str, list[Record]] = {}
            for record in self.select(line, control):
                if family in (None, record.family):
                    found.setdefault(record.top.layer, []).append(record)
            self._places[asked] = sorted((_point(m, metric) for m in found.values()), key=lambda p: p.depth)
        return list(self._places[asked])

    def differences(self, one: Series, other: Series) -> dict[str, Point]:
        """layer -> what the first curve lies above the second, fit by fit of the same repeat.

        Penalties are compared example by example: the interval is that of the difference. All else has the range of the
        fits.
        """
        return {
            layer: _difference(mine, theirs, one.metric) for layer, (mine, theirs) in self._matched(one, other).items()
        }

    def combined(self, rule: Callable[..., float], *series: Series, unit: str = "") -> dict[str, Point]:
        """layer -> a function of the curves' values there, worked out for each repeat: its mean and range.

        Args:
            unit: of the function; by default that of the first curve.
        """
        found = {}
        for layer, members in self._matched(*series).items():
            values = [[_metric(r, s.metric) for r in records] for s, records in zip(series, members)]
            if all(m is not None for column in values for m in column):
                numbers = [rule(*(m.known for m in row if m is not None)) for row in zip(*values)]
                found[layer] = _ranged(members[0], numbers, unit or (values[0][0].unit if values[0][0] else ""))
        return found

    def _matched(self, *series: Series) -> dict[str, list[list[Record]]]:
        """layer -> the records of each curve, in the order of the repeats, where all of them have the same repeats."""
        tables = []
        for s in series:
            table: dict[str, dict[int, Record]] = {}
            for record in self.select(s.line, s.control):
                if s.family in (None, record.family):
                    table.setdefault(record.top.layer, {})[record.tags["repeat"]] = record
            tables.append(table)
        first, *rest = tables
        return {
            layer: [[table[layer][r] for r in sorted(repeats)] for table in tables]
            for layer, repeats in first.items()
            if all(table.get(layer, {}).keys() == repeats.keys() for table in rest)
        }

    def families(self, line: str) -> list[str]:
        """The families of a curve, in the order of the records."""
        return list(dict.fromkeys(r.family for r in self.select(line) if r.family))

    def errors(self, name: str) -> list[float]:
        """The test errors in percent of all networks that differ from the named one in their seed at most."""
        found = (_metric(r, "error") for other, r in self.donors().items() if _seedless(other) == _seedless(name))
        return [m.known for m in found if m is not None]

    def donors(self) -> dict[str, Record]:
        """Every network of the figure by name, with its own record."""
        return {r.tags["line"]: r for r in self.records if r.control == "donor"}


def failed(point: Point) -> bool:
    """Whether a fit failed there, so that there is no value."""
    return math.isnan(point.value)


def _point(members: Sequence[Record], metric: str) -> Point:
    found = _placed(members, *_spread(members, metric))
    measured = len(members) == 1 or (metric in ("penalty", "error") and all(r.examples is not None for r in members))
    return found if measured else _no_mean(found)


def _placed(
    members: Sequence[Record], fits: int, value: float, low: float | None, high: float | None, unit: str
) -> Point:
    first = members[0]
    return Point.of(first.top.layer, first.top.depth, first.bottom.layer, value, low, high, unit, fits)


def _spread(members: Sequence[Record], metric: str) -> tuple[int, float, float | None, float | None, str]:
    """How many fits stand behind a place, their mean, its lower and upper end where it has any, and the unit."""
    found = [m for r in members if (m := _metric(r, metric)) is not None]
    unit = found[0].unit if found else ""
    if len(found) < len(members):
        return len(members), math.nan, None, None, unit
    if len(members) == 1 and found[0].low is not None:
        return 1, found[0].known, found[0].low, found[0].high, unit
    if metric in ("penalty", "error") and all(r.examples is not None for r in members):
        pooled = pool(members, alone=metric == "error")
        return len(members), pooled.value, pooled.low, pooled.high, unit
    fits: dict[Hashable, list[float]] = {}
    for at, (record, m) in enumerate(zip(members, found)):
        fits.setdefault(_ends(record) if record.control in SYMMETRIC else at, []).append(m.known)
    means = [float(np.mean(values)) for values in fits.values()]
    low, high = (min(means), max(means)) if len(means) > 1 else (None, None)
    return len(means), float(np.mean(means)), low, high, unit


def _no_mean(point: Point) -> Point:
    """A point with the range of its fits: an interval only where there are enough of them."""
    return replace(point, sure=point.sure and point.seeds >= ENOUGH)


def _difference(mine: Sequence[Record], theirs: Sequence[Record], metric: str) -> Point:
    if metric == "penalty" and all(r.examples is not None for r in (*mine, *theirs)):
        found = ms.stats.paired_test(list(mine), list(theirs)).difference
        if found.low is not None:
            return _placed(mine, found.seeds, found.value, found.low, found.high, found.unit)
    values = [(_metric(a, metric), _metric(b, metric)) for a, b in zip(mine, theirs)]
    numbers = [math.nan if a is None or b is None else a.known - b.known for a, b in values]
    return _ranged(mine, numbers, next((a.unit for a, _ in values if a is not None), ""))


def _ranged(members: Sequence[Record], values: Sequence[float], unit: str) -> Point:
    """The mean of some fits at one place with their range; one fit has none."""
    low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
    return _no_mean(_placed(members, len(values), float(np.mean(values)), low, high, unit))


def _ends(record: Record) -> Hashable:
    """The two networks of a record with their layers, in either order."""
    return frozenset((end.name, end.layer) for end in (record.bottom, record.top))


def _seedless(name: str) -> str:
    return re.sub(r"\bseed \d+", "seed", name)


def _metric(record: Record, name: str) -> Metric | None:
    """The metric of that name where it has a value."""
    found = record.metric(name)
    return None if found is None or found.value is None else found
