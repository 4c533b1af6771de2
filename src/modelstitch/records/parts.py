"""The parts of a record, each with how it is read from plain values. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from ..errors import RecordError


class Metric(NamedTuple):
    """Hold one number with its interval.

    Attributes:
        name: such as "penalty".
        value: None where it is undefined.
        low: the lower end of its 95 % interval; None where there is none.
        high: the upper end.
        unit: of all three; empty for a plain number.

    Examples:
        >>> ms.study.Metric("penalty", 1.5, 1.0, 2.0, "points").known
        1.5
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""

    @property
    def known(self) -> float:
        """The value; NaN where it is undefined."""
        return math.nan if self.value is None else self.value

    def plain(self) -> dict[str, Any]:
        """Give the metric as it stands in a file.

        Returns:
            Plain values by name.

        Examples:
            >>> ms.study.Metric("cka", 0.5).plain()["value"]
            0.5
        """
        return {"metric": self.name, "value": self.value, "low": self.low, "high": self.high, "unit": self.unit}


@dataclass(frozen=True, slots=True)
class End:
    """One side of a seam: a network and where it is cut.

    Attributes:
        name, fingerprint: of the network.
        layer: where it is cut; empty for a network as a whole.
        depth: the share of its weighted operations below; None for class noise and whole networks.
        index: of the cut among the network's exact cuts.
        view: how it sees a sample; empty where as the data give it.
    """

    name: str
    fingerprint: str = ""
    layer: str = ""
    depth: float | None = None
    index: int | None = None
    view: str = ""


class Setting(NamedTuple):
    """How a set of stitchers was fitted; curves of two settings are never mixed."""

    family: str | None
    objective: str | None
    init: str | None
    normalisation: str | None
    samples: int | None = None

    def __str__(self) -> str:
        return ", ".join(part for part in (self.family, self.objective) if part)


class DonorFacts(NamedTuple):
    """What is known of a donor beside its name and fingerprint.

    Attributes:
        weights: where they come from.
        view: how the network sees a sample, in words.
        error, fit_error: its own, on the test and on the fit split, in the task's unit; None where they were not
            measured.
        fit_samples: of how many samples of the fit split.
        unit: of both errors: "percent", "nats/token", or another task's.
    """

    weights: str = ""
    view: str = ""
    error: float | None = None
    fit_error: float | None = None
    fit_samples: int = 0
    unit: str = "percent"


def end_of(value: Mapping[str, Any]) -> End:
    """The side of a seam that a configuration describes."""
    return End(
        value["name"],
        value.get("fingerprint") or "",
        value.get("layer") or "",
        value.get("depth"),
        value.get("index"),
        value.get("view") or "",
    )


def metrics_of(values: Any) -> tuple[Metric, ...]:
    """The metrics, each once and finite.

    Raises:
        RecordError: naming the metric that is not.
    """
    found: dict[str, Metric] = {}
    finite = math.isfinite
    for value in values:
        if not isinstance(value, dict) or not isinstance(value.get("metric"), str):
            raise RecordError(f"expected metrics with a name, found {short(value)}")
        try:
            metric = _metric(_METRIC(value))
        except KeyError:  # a hand-made one leaves out what it does not have
            metric = _metric(value.get(key) for key in _METRIC_KEYS)
        name, mean, low, high, unit = metric
        # Nearly all are floats without an interval: they need no second look.
        if not (type(mean) is float and finite(mean) and low is high is None and type(unit) is str):
            _check_metric(metric)
        if name in found:
            raise RecordError(f"expected the metric {name!r} once, found it twice")
        found[name] = metric if unit else metric._replace(unit="")
    return tuple(found.values())


def _check_metric(metric: Metric) -> None:
    name, mean, low, high, unit = metric
    for value in (mean, low, high):
        if value is not None and not _is_number(value):
            raise RecordError(
                f"expected the metric {name!r}, value to be a finite number or null, found {short(value)}"
            )
    if (low is None) != (high is None):
        raise RecordError(f"expected both ends of the interval of {name!r}, or none, found {low} and {high}")
    if unit is not None and not isinstance(unit, str):
        raise RecordError(f"expected the unit of {name!r} in words, found {short(unit)}")


_METRIC_KEYS = ("metric", "value", "low", "high", "unit")


_METRIC, _metric = itemgetter(*_METRIC_KEYS), Metric._make


def entry_of(value: Any) -> tuple[Any, ...]:
    """A step of the history; what is no list is refused."""
    if not isinstance(value, list | tuple):
        raise RecordError(f"expected a history of [step, value] each, found {short(value)}")
    return tuple(value)


def provenance_of(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a record was made; seconds that are no number are refused."""
    seconds = provenance.get("seconds")
    if seconds is not None and not _is_number(seconds):
        raise RecordError(f"expected provenance.seconds to be a finite number or null, found {short(seconds)}")
    return provenance


def examples_of(examples: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The kept answers; those of a test split without a name are refused."""
    if examples is not None and not isinstance(examples.get("test", ""), str):
        raise RecordError(f"expected examples.test to name a test split, found {short(examples['test'])}")
    return examples


_NUMBERS = (float, int)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, _NUMBERS) and value is not True and value is not False and math.isfinite(value)


def facts_of(name: Any, value: Any) -> DonorFacts:
    """What is known of the donor of that name; unknown facts are refused."""
    if isinstance(value, DonorFacts):
        return value
    if not isinstance(value, Mapping) or value.keys() - set(DonorFacts._fields):
        raise RecordError(f"expected {', '.join(DonorFacts._fields)} of the donor {name!r}, found {short(value)}")
    return DonorFacts(**value)


def part_of(value: Mapping[str, Any], key: str, kind: Any) -> Any:
    """The part of a record under this key; one of another kind is refused."""
    found = value.get(key)
    if not isinstance(found, kind):
        name = getattr(kind, "__name__", "list").lower()
        raise RecordError(f"expected {key!r} as {name}, found {type(found).__name__}")
    return found


def part_or_none(value: Mapping[str, Any], key: str, kind: Any) -> Any:
    """The same; None where it is null or missing."""
    return None if value.get(key) is None else part_of(value, key, kind)


def short(value: Any) -> str:
    """A value in the words of an error: 60 characters of it at most."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
