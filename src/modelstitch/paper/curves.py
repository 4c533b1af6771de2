"""From a figure's records to its curves: the mean over pairs at each place, with an interval. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..report.frame import Point
from ..statistics import pool
from ..study.canonical import Record


class Curves:
    """The curves of one figure under one protocol.

    With one fit behind a curve its interval is the record's own: test examples are drawn anew, paired. With more it is that
    of :func:`modelstitch.statistics.pool`: pairs of networks are drawn first (both directions of one pair together), then
    fits, then examples. Metrics that are no mean over examples get their range.

    Args:
        records: of one figure, as the runner tags them.
        protocol: whose curves; what is measured once for all protocols is always there.
    """

    def __init__(self, records: Iterable[Record], protocol: str) -> None:
        self.protocol = protocol
        self.records = [r for r in records if r["paper"]["protocol"] in ("", protocol)]

    @property
    def lines(self) -> list[str]:
        """The labels of all stitched curves, in the order of the records."""
        return list(dict.fromkeys(r["paper"]["line"] for r in self.records if r["config"]["control"] == "pair"))

    def select(self, line: str, control: str = "pair") -> list[Record]:
        """The records of one curve."""
        return [r for r in self.records if r["paper"]["line"] == line and r["config"]["control"] == control]

    def points(
        self, line: str, metric: str = "penalty", control: str = "pair", family: str | None = None
    ) -> list[Point]:
        """The curve along the depth of the top; empty where nothing was measured.

        Args:
            family: one of several families; all by default.
        """
        places: dict[str, list[Record]] = {}
        for record in self.select(line, control):
            if family in (None, record["config"].get("family")) and _metric(record, metric) is not None:
                places.setdefault(record["config"]["top"]["layer"], []).append(record)
        found = [self._point(layer, members, metric) for layer, members in places.items()]
        return sorted(found, key=lambda p: p.depth)

    def families(self, line: str) -> list[str]:
        """The families of a curve, in the order of the records."""
        return list(dict.fromkeys(r["config"]["family"] for r in self.select(line)))

    def errors(self, name: str) -> list[float]:
        """The test errors of the networks whose curves name them so, in percent."""
        rows = [r for r in self.records if r["config"]["control"] == "donor" and r["paper"]["line"] == name]
        values = [_metric(r, "error") for r in rows]
        return [v["value"] for v in values if v is not None]

    def donors(self) -> dict[str, Record]:
        """Every network of the figure by name, with its own record."""
        return {r["paper"]["line"]: r for r in self.records if r["config"]["control"] == "donor"}

    def _point(self, layer: str, members: Sequence[Record], metric: str) -> Point:
        metrics = [m for r in members if (m := _metric(r, metric)) is not None]
        values = [m["value"] for m in metrics]
        value = float(np.mean(values))
        if len(members) == 1:
            low, high = metrics[0]["low"], metrics[0]["high"]
        elif metric == "penalty" and all("examples" in r for r in members):
            pooled = pool(members)
            value, low, high = pooled.value, pooled.low, pooled.high
        else:
            low, high = min(values), max(values)
        sure = low is not None and high is not None
        config = members[0]["config"]
        return Point(
            layer=layer,
            depth=float(config["top"]["depth"] if config["top"]["depth"] is not None else 0.0),
            bottom_layer=config["bottom"]["layer"],
            value=value,
            low=float(low) if low is not None else value,
            high=float(high) if high is not None else value,
            sure=sure,
            unit=str(metrics[0]["unit"] or ""),
            seeds=len(members),
        )


def _metric(record: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    for metric in record["metrics"]:
        if metric["metric"] == name and metric["value"] is not None:
            found: dict[str, Any] = metric
            return found
    return None
