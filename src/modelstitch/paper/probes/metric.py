"""A metric as records hold it."""

from __future__ import annotations

from typing import Any


def metric(
    name: str, value: float, unit: str = "", low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    """A metric as records hold it."""
    return {"metric": name, "value": value, "low": low, "high": high, "unit": unit}
