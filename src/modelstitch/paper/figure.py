"""What a figure is, as plain data: the networks it needs, its curves, and the claims that its numbers are held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .curves import Curves

Word = Literal["holds", "holds in part", "not shown", "contrary", "not measured"]
_CHANGED = dict.fromkeys(("coordinates appended", "positions shuffled"), "")  # still the same function
Amount = Literal["much", "some", "little"]


@dataclass(frozen=True)
class Model:
    """A network of a figure, in words that every scale can translate.

    Attributes:
        net: its role: "base", "narrow", "wide", "myrtle", ...; the scale says which architecture that is.
        seed: of its start and of the order of its samples.
        samples: the share of the fit split that it is trained on; or "much", "some" or "little", and the scale says
            which share is little for a network that is trained for so long.
        part: which of the disjoint shares of that size.
        labels: "true", "object-animal" or "random-P" (P percent drawn anew).
        time: its training length, in units of the scale's.
        at: a checkpoint of that run, in the same units; None is its end.
        method: "labels", or learning without them under a linear head: "simclr", "vicreg", "rotation".
        change: what is done to it after training: "re-initialised" (every parameter, asserted),
            "re-initialised, statistics fresh" (the same before BatchNorm's statistics are estimated), "stem
            re-initialised" (the stem and the head only, as the paper's released code did), "coordinates appended",
            "positions shuffled".
        file: a network of the user's own instead of a trained donor.
    """

    net: str = "base"
    seed: int = 0
    samples: float | Amount = 1.0
    part: int = 0
    labels: str = "true"
    time: float = 1.0
    at: float | None = None
    method: str = "labels"
    change: str = ""
    file: str = ""

    @property
    def name(self) -> str:
        """A name of its own for each different model."""
        if self.file:
            return f"{self.file}, {self.change}, seed {self.seed}" if self.change else self.file
        parts = [self.net, f"seed {self.seed}"]
        if self.samples != 1.0:
            words = isinstance(self.samples, str)
            share = f"{self.samples} data" if words else f"{100 * self.samples:g} % of the data"
            parts.insert(1, share + (f" (part {self.part})" if self.part else ""))
        if self.time != 1.0:
            parts.insert(1, f"{self.time:g} x time")
        if self.at is not None:
            parts.insert(1, f"at {self.at:g} x time")
        for value, usual in ((self.labels, "true"), (self.method, "labels"), (self.change, "")):
            if value != usual:
                parts.insert(1, value)
        return ", ".join(parts)


def turned(models: Sequence[Model], repeat: int, repeats: int) -> tuple[Model, ...]:
    """The networks of a repeat: the same with other seeds.

    Seeds go round, so that n repeats need n networks of each kind: a SimCLR network of seed 1 under a labelled one of
    seed 0, then 0 under 1. Where networks differ by their seeds alone two repeats would be the same two again; there
    one more takes part: (1, 0), then (2, 1); and where one of them is changed and still the same function. From three
    repeats on a round of as many seeds has no pair twice. A checkpoint of the user's own has no other seed.
    """
    alike = len(models) > 1 and len({replace(m, seed=0, change=_CHANGED.get(m.change, m.change)) for m in models}) == 1
    around = 3 if alike and repeats == 2 else max(2, repeats)
    return tuple(m if m.file else replace(m, seed=(m.seed + repeat) % around) for m in models)


@dataclass(frozen=True)
class Line:
    """One curve: a bottom into a top, at every matching layer unless said otherwise.

    Attributes:
        label: how the figure calls it.
        bottom, top: the donors of the first repeat; the others turn the seeds, see ``turned``.
        paper: the series of the paper's values that belongs beside it.
        stitch_on: which samples the stitcher sees: the top's own, or all; by default what the protocol says.
        families: by default the protocol's; ("kernels",) are the scale's convolutions.
        objective: by default the protocol's.
        layers: "matching", "three" (an early, a middle and a late one of the top), "grid" (each of the scale's layers
            into each), or seams in which ``{middle}`` stands for the scale's middle block.
        controls: beside those of the protocol.
        protocols: those in which it is run.
        pairs: all pairs of given networks, in place of one pair a repeat: they are asked for in one comparison.
    """

    label: str
    bottom: Model
    top: Model
    paper: str = ""
    stitch_on: Literal["", "top", "all"] = ""
    families: tuple[str, ...] = ()
    objective: str = ""
    layers: str | tuple[str, ...] = "matching"
    controls: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("honest", "paper")
    pairs: tuple[tuple[Model, Model], ...] = ()


@dataclass(frozen=True)
class Probe:
    """Something measured beside stitching; the kinds are in ``.probes``.

    Attributes:
        kind: "similarity", "fine-tune", "freeze", "path" or "matrix".
        label: how the figure calls it.
        models: the networks it looks at, in the kind's own order.
        options: what else the kind wants to know.
        protocols: those under which it is shown; it is measured once for all of them.
        each: the networks of every repeat, where they are given ones.
    """

    kind: str
    label: str
    models: tuple[Model, ...]
    options: dict[str, Any] = field(default_factory=dict)
    paper: str = ""
    protocols: tuple[str, ...] = ("honest", "paper")
    each: tuple[tuple[Model, ...], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the numbers say to a claim.

    Attributes:
        sentence: with the count of places, and the number that is nearest to refuting.
        number: that number alone, for the index.
    """

    word: Word
    sentence: str
    number: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim, what would refute it, and the function of the numbers that decides."""

    text: str
    refuted_by: str
    judge: Callable[[Curves], Verdict]
    protocols: tuple[str, ...] = ("honest", "paper")


@dataclass(frozen=True)
class Figure:
    """One figure of the paper, or one beyond it.

    Attributes:
        name: as on the command line.
        title: what it is about.
        setting: the paper's own setting and result, in words.
        claims: what is held against the numbers.
        lines, probes: what is measured.
        drawing: how it is drawn, see ``.drawings``.
        notes: what a reader must know of our way to run it.
        paper_range: between which values all curves of the paper lie, where single ones cannot be told.
        excess: whether a table says what every stitched model errs above the worse of its two networks.
    """

    name: str
    title: str
    setting: str
    claims: tuple[Claim, ...]
    lines: tuple[Line, ...] = ()
    probes: tuple[Probe, ...] = ()
    drawing: str = "penalty"
    notes: tuple[str, ...] = ()
    paper_range: tuple[float, float] | None = None
    excess: bool = False
