"""A metric as records hold it."""

from __future__ import annotations

from typing import Any

from ... import Network


def metric(
    name: str, value: float, unit: str = "", low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    """A metric as records hold it."""
    return {"metric": name, "value": value, "low": low, "high": high, "unit": unit}


def place(network: Network, layer: str) -> dict[str, Any]:
    """A layer as records hold it: its depth, and its place among the network's exact cuts."""
    listed = network.cut(layer)
    return {"layer": listed, "depth": round(network.layer(listed).depth, 6), "index": network.cuts.index(listed)}
