"""A record and its parts: all that is kept of one finished cell. One type, one reader, one writer. No torch.

A record's file is one line of JSON whose last key is a digest over all that stands before it. What is read is believed
only where the digest holds, the cell's name is the hash of its configuration, every number is finite, and the numbers
agree with the answers that were kept, example by example.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from pydantic_core import from_json

from ..errors import RecordError
from ..support import hashing
from ..support.hashing import canonical_json, cell_hash
from .answers import BITS, told_by_answers

VERSION = 2
READABLE = (1, 2)  # tables hold records of version 1, whose files had no digest

LOST = "lost: "  # begins the reason of a failure that is none of the cell's numbers
_TAIL = re.compile(rb',"digest":"([0-9a-f]{64})"\}\s*\Z')
_TAIL_SIZE = 128  # bytes in which the tail lies
_CLOCKED = ("date", "seconds")


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


@dataclass(frozen=True, eq=False)
class Record(Mapping[str, Any]):
    """Hold what is kept of one finished cell.

    It also reads as the mapping that its file holds: ``record["metrics"]`` is a copy of that part.

    Attributes:
        cell: its name, the hash of ``config``; empty for a stitch that is no cell of a study.
        config: all that decides what was fitted and measured, plain values; not to be changed.
        metrics: what was measured; none where the fit failed.
        notes: what is to be known of it.
        provenance: versions, device, date and seconds.
        history: of the fit, [step, value] each.
        correct: which examples the stitched model got right, as base64 of packed bits.
        examples: what both did, example by example, and what they answered: see ``modelstitch.records.answers``.
        donors: {name of a donor: what else is known of it}.
        paper: which curve of which figure it belongs to.
        results: of a probe of the paper, one mapping a place that it looked at.
        version: of the form.

    Examples:
        >>> record = r.records[0]
        >>> record.metric("penalty").unit, str(record.setting)
        ('points', 'affine, match')
    """

    cell: str
    config: Mapping[str, Any]
    metrics: tuple[Metric, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[tuple[Any, ...], ...] | None = None
    correct: str | None = None
    examples: Mapping[str, Any] | None = None
    donors: Mapping[str, DonorFacts] | None = None
    paper: Mapping[str, Any] | None = None
    results: tuple[Mapping[str, Any], ...] | None = None
    version: int = VERSION

    # What the configuration says, typed.

    @cached_property
    def bottom(self) -> End:
        """The side below the seam."""
        return end_of(self.config["bottom"])

    @cached_property
    def top(self) -> End:
        """The side above the seam."""
        return end_of(self.config["top"])

    @property
    def control(self) -> str:
        """What the cell stands for: "pair", a control, or what the paper's figures ask for besides."""
        return str(self.config.get("control", "pair"))

    @property
    def family(self) -> str | None:
        """The stitcher family."""
        return self.config.get("family")

    @property
    def objective(self) -> str | None:
        """What the stitcher was fitted to, by which anchors, and what was free where it was trained further."""
        asked, by, free = self.config.get("objective"), self.fit.get("anchors_by"), self.config.get("unfreeze")
        plain = asked if by is None else f"{asked}, anchors {by if isinstance(by, str) else 'by id'}"
        return plain if free is None or "tuned" in self.config else f"{plain}, then task ({free} unfrozen)"

    @property
    def seed(self) -> int | None:
        """Of the stitcher."""
        return self.config.get("seed")

    @property
    def data(self) -> Mapping[str, Any]:
        """What the configuration says of the data: name, fingerprint, sizes."""
        return self.config.get("data") or {}

    @property
    def fit(self) -> Mapping[str, Any]:
        """The options of the fit."""
        return self.config.get("fit") or {}

    @property
    def samples(self) -> int | None:
        """How many fit examples the stitcher saw: all of the split where the options name no number."""
        known = [int(n) for n in (self.data.get("fit"), self.fit.get("samples")) if n is not None]
        return min(known) if known else None

    @cached_property
    def setting(self) -> Setting:
        """How the stitcher was fitted."""
        config = self.config
        return Setting(
            config.get("family"), self.objective, config.get("init"), config.get("normalisation"), self.samples
        )

    @property
    def seconds(self) -> float:
        """What the cell took; 0 where that is unknown."""
        return float(self.provenance.get("seconds") or 0.0)

    @property
    def tags(self) -> Mapping[str, Any]:
        """Which curve of which figure of the paper it belongs to.

        Raises:
            RecordError: if it belongs to none.
        """
        if self.paper is None:
            raise RecordError(
                f"The record {self.cell} belongs to no figure: expected one that the paper's figures made."
            )
        return self.paper

    @property
    def lost(self) -> bool:
        """Whether it only says that its cell was lost, as where a process was killed: the next run does it again."""
        return self.failed.startswith(LOST)

    @property
    def failed(self) -> str:
        """Why there is nothing to measure; empty where there is something."""
        return next((note for note in self.notes if note.startswith("failed: ")), "").removeprefix("failed: ")

    def metric(self, name: str) -> Metric | None:
        """Give the metric of that name.

        Args:
            name: such as "penalty" or "cka".

        Returns:
            The metric; None where it was not measured.

        Examples:
            >>> r.records[0].metric("unheard") is None
            True
        """
        return next((metric for metric in self.metrics if metric.name == name), None)

    # The one way in, and the one way out.

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Record:
        """Make a record of plain values; a record is given back as it is.

        Args:
            value: the parts by name, ``config`` at least.

        Returns:
            The record.

        Raises:
            RecordError: naming the part that is missing, unknown or of the wrong kind.

        Examples:
            >>> ms.study.Record.of(r.records[0].plain()) == r.records[0]
            True
        """
        if isinstance(value, Record):
            return value
        config, version = _config_of(value)
        donors = part_or_none(value, "donors", Mapping)
        history, results = (part_or_none(value, key, list | tuple) for key in ("history", "results"))
        return cls(
            cell=part_or_none(value, "cell", str) or "",
            config=config,
            metrics=metrics_of(part_or_none(value, "metrics", list | tuple) or ()),
            notes=tuple(str(note) for note in part_or_none(value, "notes", list | tuple) or ()),
            provenance=provenance_of(part_or_none(value, "provenance", Mapping) or {}),
            history=None if history is None else tuple(entry_of(entry) for entry in history),
            correct=part_or_none(value, "correct", str),
            examples=examples_of(part_or_none(value, "examples", Mapping)),
            donors=None if donors is None else {str(name): facts_of(name, facts) for name, facts in donors.items()},
            paper=part_or_none(value, "paper", Mapping),
            results=None if results is None else tuple(results),
            version=version,
        )

    @classmethod
    def named(cls, config: Mapping[str, Any], **parts: Any) -> Record:
        """Make a record under the name that its configuration makes.

        Args:
            config: all that decides what was fitted and measured, plain values.
            **parts: the record's other attributes.

        Returns:
            The record.

        Raises:
            StudyError: the configuration holds what JSON cannot.

        Examples:
            >>> one = r.records[0]
            >>> ms.study.Record.named(one.config).cell == one.cell
            True
        """
        record = cls("", config, **parts)
        return replace(record, cell=cell_name(record))

    @classmethod
    def from_json(cls, text: bytes, cell: str | None = None) -> Record:
        """Read the record that a file holds.

        Args:
            text: the file.
            cell: the cell that the file is kept for.

        Returns:
            The record.

        Raises:
            RecordError: why the file is not to be believed.

        Examples:
            >>> one = r.records[0]
            >>> ms.study.Record.from_json(one.to_json(), one.cell).cell == one.cell
            True
        """
        return cls._read(*_parsed(text), cell)

    @classmethod
    def glance(cls, text: bytes, cell: str) -> Record:
        """Read what a file says of its cell beside numbers, for who counts many.

        These are ends, control, notes and what it took. A changed bit is found: the digest is held against the content,
        and the cell's name against the configuration. What the digest vouches for is not held against itself again.

        Args:
            text: the file.
            cell: the cell that the file is kept for.

        Returns:
            A record without metrics.

        Raises:
            RecordError: why the file is not to be believed.

        Examples:
            >>> one = r.records[0]
            >>> ms.study.Record.glance(one.to_json(), one.cell).top.name == one.top.name
            True
        """
        body, plain = _parsed(text)
        if not _named_by(body, plain) or plain["cell"] != cell:
            return cls._read(body, plain, cell)
        parts = ("version", "cell", "config", "notes", "provenance")
        return cls.of({part: plain[part] for part in parts if part in plain})

    @classmethod
    def _read(cls, body: bytes, plain: Any, cell: str | None) -> Record:
        record = cls.of(plain)
        check(record, named=_named_by(body, plain))
        if cell is not None and record.cell != cell:
            raise RecordError(f"expected the cell {cell}, found the cell {record.cell}")
        return record

    def to_json(self) -> bytes:
        """Write the record as it stands in a file, digest included.

        Returns:
            The bytes of the file.

        Raises:
            StudyError: a number is not finite (it is named), or a value cannot be kept.

        Examples:
            >>> r.records[0].to_json()[-2:]
            b'"}'
        """
        body = canonical_json({**self.plain(), "version": VERSION}).encode()[:-1]
        return body + b',"digest":"' + hashing.of(body).encode() + b'"}'

    def plain(self) -> dict[str, Any]:
        """Give plain values; parts that there are none of are left out.

        Returns:
            The parts by name.

        Examples:
            >>> "config" in r.records[0].plain()
            True
        """
        found: dict[str, Any] = {"version": self.version, "cell": self.cell, "config": self.config}
        found |= {
            "metrics": [m.plain() for m in self.metrics],
            "notes": list(self.notes),
            "provenance": self.provenance,
        }
        found |= {key: value for key in ("correct", "examples", "paper") if (value := getattr(self, key)) is not None}
        if self.history is not None:
            found["history"] = [list(entry) for entry in self.history]
        if self.results is not None:
            found["results"] = list(self.results)
        if self.donors is not None:
            found["donors"] = {name: facts._asdict() for name, facts in self.donors.items()}
        return copy.deepcopy(found)

    def tagged(self, paper: Mapping[str, Any]) -> Record:
        """Give the same record as part of a figure's curve.

        Args:
            paper: which curve of which figure.

        Returns:
            A new record.

        Examples:
            >>> r.records[0].tagged({"figure": "2a"}).tags["figure"]
            '2a'
        """
        return replace(self, paper=dict(paper))

    # As a mapping.

    def __getitem__(self, key: str) -> Any:
        return self.plain()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain())

    def __len__(self) -> int:
        return len(self.plain())

    def __repr__(self) -> str:
        seam = f"{self.bottom.name}@{self.bottom.layer} -> {self.top.name}@{self.top.layer}"
        return f"Record({self.cell or 'no cell'}: {seam}, {self.control})"


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


_PARTS = frozenset(f.name for f in fields(Record))


_ALWAYS = ("version", "cell", "config", "metrics", "provenance")


def _config_of(value: Any) -> tuple[Mapping[str, Any], int]:
    """The configuration and the version of a record in plain values; what is no record is refused."""
    if not isinstance(value, Mapping):
        raise RecordError(f"expected a JSON object, found {type(value).__name__}")
    version = value.get("version", VERSION)
    if version not in READABLE or isinstance(version, bool):
        raise RecordError(f"expected a record of version {VERSION}, found version {short(version)}")
    unknown = sorted(str(key) for key in value.keys() - _PARTS)
    if unknown:
        raise RecordError(f"expected the parts of a record, found {short(unknown[0])} besides")
    config = part_of(value, "config", Mapping)
    for side in ("bottom", "top"):
        if not isinstance(config.get(side), Mapping) or not isinstance(config[side].get("name"), str):
            raise RecordError(f"expected config.{side} with a name, found {short(config.get(side))}")
    return config, version


def _parsed(text: bytes) -> tuple[bytes, Any]:
    """The content of a file without its digest, as bytes and as plain values.

    Raises:
        RecordError: there is no digest, or it does not hold, or the content is no JSON, or lacks a part.
    """
    tail = _TAIL.search(text, max(0, len(text) - _TAIL_SIZE))
    if tail is None:
        raise RecordError("expected a digest at its end, found none")
    body = text[: tail.start()]
    if hashing.of(body).encode() != tail[1]:
        raise RecordError("expected the content that its digest stands for, found another: it was changed")
    try:
        plain = from_json(body + b"}")
    except ValueError as error:
        raise RecordError(f"expected JSON, found {error}") from error
    for part in _ALWAYS:
        if part not in plain:
            raise RecordError(f"expected {part!r} in it, found none")
    return body, plain


def check(record: Record, *, named: bool = False) -> None:
    """Refuse a record that contradicts itself.

    Args:
        named: the cell's name is known to be the hash of its configuration.

    Raises:
        RecordError: the cell's name is not the hash of its configuration, an interval does not hold its value, or a
            number is not what the kept answers say.
    """
    if not named and record.cell != cell_name(record):
        raise RecordError(
            f"expected the cell {cell_name(record)}, which its configuration makes, found {short(record.cell)}"
        )
    values = {}
    for name, value, low, high, _ in record.metrics:
        values[name] = value
        if low is None or high is None or value is None:
            continue
        room = BITS * (1 + abs(value))
        if not low - room <= value <= high + room:
            raise RecordError(f"expected the {name} {value:g} within its interval, found [{low:g}, {high:g}]")
    for name, told in told_by_answers(values, record.examples, record.correct).items():
        found = values.get(name)
        if found is not None and abs(found - told.value) > told.room:
            raise RecordError(f"expected the {name} {told.value:g} that {told.source}, found {found:g}")


def cell_name(record: Record) -> str:
    """The name that a record's configuration makes; what a probe found at one place is named by the probe, too."""
    probe = record.provenance.get("probe")
    if probe is not None and record.results is None:
        return cell_hash({**record.config, "of": probe})
    return cell_hash(record.config)


def _named_by(text: bytes, plain: Mapping[str, Any]) -> bool:
    """Whether the configuration makes the cell's name as it stands in a file of ours: it need not be written once more.

    A file has the parts of a record in the order of their names. Where it is no such file, or a probe's, this says no.
    """
    made = plain["provenance"]
    if not isinstance(made, Mapping) or made.get("probe") is not None:
        return False
    behind = min(part for part in plain if part > "config")
    _head, _, rest = text.partition(b'"config":')
    config, _, _ = rest.partition(f',"{behind}":'.encode())
    return hashing.of(config, digits=16) == plain["cell"] and b'"config":' not in rest


def equal_results(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records say the same, leaving aside when they were made and how long that took.

    Left out are the version of their form, ``provenance.date``, ``provenance.seconds`` and metrics of unit ``s``.
    """
    return canonical_json(_timeless(Record.of(one))) == canonical_json(_timeless(Record.of(other)))


def _timeless(record: Record) -> dict[str, Any]:
    made = {key: value for key, value in record.provenance.items() if key not in _CLOCKED}
    metrics = tuple(m for m in record.metrics if m.unit != "s")
    return replace(record, provenance=made, metrics=metrics, version=VERSION).plain()


def as_records(values: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Records of records or of plain values that make some.

    Raises:
        RecordError: as ``Record.of``, with the cell's name.
    """
    found = []
    for value in values:
        try:
            found.append(Record.of(value))
        except RecordError as error:
            cell = value.get("cell", "without a name") if isinstance(value, Mapping) else short(value)
            raise RecordError(f"The record {cell} cannot be read: {error}.") from error
    return found
