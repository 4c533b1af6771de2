"""Intervals over pairs, seeds and test examples together, and the paired test of two penalties. No torch.

Examples are drawn once for all cells that were measured on the same test split: what one example adds to one cell it
adds to the others too, so that draws of their own would make the intervals too narrow. Pairs of the same two networks,
in both directions, are drawn together. Where pairs are no fewer than their networks, as in a ring or where all
networks are paired, pairs share networks and are not independent: networks are drawn, and a pair counts as often as its
two were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeasureError
from ..records.record import Record, as_records
from ..support.kinds import kinds
from . import bootstrap
from .bootstrap import RESAMPLES
from .examples import Examples, unpack_together

if TYPE_CHECKING:
    from ..records.answers import Floats

FLIPS = 9999
Cluster = frozenset[str]  # the names of the two networks of a pair


@dataclass(frozen=True)
class Pooled:
    """A mean over pairs, seeds and examples with its hierarchical interval.

    Attributes:
        value, low, high: in ``unit``; low and high are None where there is one example.
        pairs, seeds, examples: how many of each stand behind it: pairs of networks, fits, test examples of one fit.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int
    seeds: int
    examples: int
    unit: str

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return (
            f"{self.value:+.2f}{interval} {self.unit} (pairs {self.pairs}, fits {self.seeds}, examples {self.examples})"
        )


@dataclass(frozen=True)
class PairedTest:
    """The difference of two penalties.

    Attributes:
        difference: the mean, interval and counts of penalty(one) - penalty(other).
        p: how often a difference as large would be seen if there were none.
        how: the test, in words.
    """

    difference: Pooled
    p: float
    how: str


def pool(
    records: Sequence[Mapping[str, Any]], *, seed: int = 0, resamples: int = RESAMPLES, alone: bool = False
) -> Pooled:
    """Pool the penalties of records: their mean, with a bootstrap interval over pairs, then seeds, then examples.

    Each pair of networks counts the same, and within it each fit.

    Args:
        records: of stitches that kept their examples.
        seed: of the draws.
        resamples: how many draws.
        alone: the mean error of the stitched models instead, the top's not taken off.

    Returns:
        The mean with the ends of its 95 % interval, and how many pairs, fits and examples stand behind it.

    Raises:
        MeasureError: if there is no record, one keeps no examples, or units are mixed.

    Examples:
        >>> r = ms.compare(bottom, top, data=data, layers="block2", objective="match", controls=())
        >>> pooled = ms.stats.pool(r.records)
        >>> pooled.pairs, pooled.seeds, pooled.unit, pooled.low <= pooled.value <= pooled.high
        (1, 2, 'points', True)
    """
    cells = as_records(records)
    return _pool([_cluster(r) for r in cells], unpack_together(cells, alone=alone), seed, resamples)


@kinds()
def paired_test(one: Any, other: Any, *, seed: int = 0) -> PairedTest:
    """Test whether two penalties differ, example by example.

    One fit against one: the exact sign-flip test over examples (McNemar's where both have the same top; 9,999 random
    flips for nats). Several against several, matched by position: the larger p of two tests, the hierarchical bootstrap
    over pairs, seeds and examples, and sign flips over the pairs (over the fits, where all are of one pair). So p is
    never below 2 / 2^n for n pairs: two cannot show a difference, and it takes six to be below 0.05. Fits of one pair
    that answer alike on both sides, such as those of a closed form under two seeds, are one fit.

    Args:
        one: a record, a stitched model with its record, or a list of them.
        other: the same, of the same length.
        seed: of the draws of the bootstrap and of random flips.

    Raises:
        MeasureError: if the lists are empty or differ in length, or two that are matched saw different test examples.

    Returns:
        The difference of the penalties with its interval, p, and how it was tested.

    Examples:
        >>> asked = dict(at="block2", data=data, objective="match")
        >>> one, other = (ms.stitch(bottom, top, family=f, **asked) for f in ("affine", "identity"))
        >>> ms.stats.paired_test(one, other).how
        'sign flips over examples, exact'
    """
    first, second = _records(one), _records(other)
    if len(first) != len(second):
        raise MeasureError(
            f"A paired test needs as many penalties on both sides: expected {len(first)}, found {len(second)}."
        )
    if not first:
        raise MeasureError("A paired test needs penalties on both sides: expected at least one, found none.")
    found, unpacked = [], unpack_together([*first, *second])
    for a, b in zip(unpacked, unpacked[len(first) :]):
        if a.source != b.source:
            raise MeasureError(
                "Two penalties were measured on different test examples: expected one test split on both sides, found "
                f"{a.source} and {b.source}; a paired test compares example by example."
            )
        found.append(Examples(a.deltas - b.deltas, a.weights, a.source, a.unit, a.ends))
    sides = [(a.deltas.tobytes(), b.deltas.tobytes()) for a, b in zip(unpacked, unpacked[len(first) :])]
    clusters = [_cluster(r) for r in first]
    p, how, distinct = _flipped_and_drawn(clusters, found, sides, seed)
    kept = slice(1 if distinct == 1 else None)
    return PairedTest(_pool(clusters[kept], found[kept], seed, RESAMPLES), p, how)


def p_of_none(records: Sequence[Mapping[str, Any]], *, seed: int = 0) -> float:
    """How often penalties as far from 0 would be seen if there were none: p of ``paired_test`` against their tops.

    Raises:
        MeasureError: as ``pool``.
    """
    cells = as_records(records)
    found = unpack_together(cells)
    return _flipped_and_drawn([_cluster(r) for r in cells], found, [(e.deltas.tobytes(),) for e in found], seed)[0]


def _flipped_and_drawn(
    clusters: Sequence[Cluster], found: Sequence[Examples], sides: Sequence[tuple[bytes, ...]], seed: int
) -> tuple[float, str, int]:
    """p that the mean of deltas is 0, how it was tested, and of how many fits; equal sides of a pair are one fit."""
    distinct = list({(c, *side): i for i, (c, side) in enumerate(zip(clusters, sides))}.values())
    if len(distinct) == 1:
        return *_flip_test(found[0], seed), 1
    replicates = _replicates(clusters, found, seed, RESAMPLES)
    tail = min(float((replicates <= 0).mean()), float((replicates >= 0).mean()))
    means = np.array([np.average(e.deltas, weights=e.weights) for e in found])
    members = _members(clusters)
    units, what = (
        (means[distinct], "fits of one pair")
        if len(members) == 1
        else (np.array([means[m].mean() for m in members]), "pairs")
    )
    how = (
        f"the larger of two: sign flips over {len(units)} {what}, and the hierarchical bootstrap over pairs, seeds and "
        f"examples, {RESAMPLES} draws"
    )
    return min(1.0, max(2 * tail, 1 / RESAMPLES, _flip_units(units, seed))), how, len(distinct)


def normalised(
    pair: Sequence[Mapping[str, Any]],
    self_: Sequence[Mapping[str, Any]],
    random: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
) -> tuple[Pooled | None, str]:
    """(pair - self) / (random - self) with its interval, and the reason where there is none.

    Raises:
        MeasureError: as ``pool``.
    """
    if not self_ or not random:
        return None, f"no {'self' if not self_ else 'random'} control"
    low, high = pool(self_, seed=seed), pool(random, seed=seed)
    if low.high is None or high.low is None:
        return None, "one test example: no interval"
    if high.low <= low.high:
        return None, "random and self do not differ beyond their intervals"
    groups = (as_records(pair), as_records(self_), as_records(random))
    joint = _example_means(unpack_together([record for group in groups for record in group]), seed, RESAMPLES)
    drawn, start = [], 0
    for i, group in enumerate(groups):
        part = joint[:, start : start + len(group)]
        drawn.append(_mix([_cluster(r) for r in group], part, seed + i))
        start += len(group)
    top, bottom = drawn[0] - drawn[1], drawn[2] - drawn[1]
    ratios = (top / np.where(bottom > 0, bottom, np.nan))[bottom > 0]
    mean = pool(pair, seed=seed)
    value = (mean.value - low.value) / (high.value - low.value)
    return Pooled(value, *bootstrap.interval(ratios), mean.pairs, mean.seeds, mean.examples, ""), ""


def _pool(clusters: Sequence[Cluster], found: Sequence[Examples], seed: int, resamples: int) -> Pooled:
    if not found:
        raise MeasureError("There is nothing to pool: expected at least one record, found none.")
    units = sorted({e.unit for e in found})
    if len(units) > 1:
        raise MeasureError(f"Penalties in {' and '.join(units)} cannot be pooled: expected one unit.")
    means = np.array([np.average(e.deltas, weights=e.weights) for e in found])
    value = float(np.mean([means[where].mean() for where in _members(clusters)]))
    least = min(len(e.deltas) for e in found)
    low = high = None
    if least > 1:
        low, high = bootstrap.interval(_replicates(clusters, found, seed, resamples))
    return Pooled(value, low, high, len(set(clusters)), len(found), least, units[0])


def _replicates(clusters: Sequence[Cluster], found: Sequence[Examples], seed: int, resamples: int) -> Floats:
    return _mix(clusters, _example_means(found, seed, resamples), seed)


def _example_means(found: Sequence[Examples], seed: int, resamples: int) -> Floats:
    """The mean of every cell under ``resamples`` draws of examples, (resamples, cells).

    One source, one draw for all.
    """
    result = np.empty((resamples, len(found)))
    for at, source in enumerate(dict.fromkeys(e.source for e in found)):
        mine = [i for i, e in enumerate(found) if e.source == source]
        deltas, first = [found[i].deltas for i in mine], found[mine[0]]
        result[:, mine] = bootstrap.means(
            deltas, first.weights, ends=first.ends, seed=seed, source=at, resamples=resamples
        )
    return result


def _mix(clusters: Sequence[Cluster], means: Floats, seed: int) -> Floats:
    """Pairs drawn with replacement, then fits within each drawn pair: one mean for each row of ``means``."""
    members = _members(clusters)
    generator = np.random.default_rng([seed, 7919])
    drawn = _times(list(dict.fromkeys(clusters)), len(means), generator)
    shares = np.zeros_like(means)
    for times, where in zip(drawn.T, members):
        n = len(where)
        shares[:, where] = generator.multinomial(times * n, np.full(n, 1 / n)) / n
    mixed: Floats = (shares * means).sum(1) / drawn.sum(1)
    return mixed


def _times(pairs: Sequence[Cluster], resamples: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each pair counts in each draw, (resamples, pairs)."""
    names = list(dict.fromkeys(name for pair in pairs for name in sorted(pair)))
    if len(pairs) < len(names) or len(pairs) == 1:
        return generator.multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), size=resamples)
    found = np.zeros((resamples, len(pairs)), dtype=np.int64)
    while (empty := found.sum(1) == 0).any():  # networks that no pair joins: drawn again
        times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=int(empty.sum()))
        found[empty] = np.stack([times[:, [names.index(name) for name in pair]].prod(1) for pair in pairs], 1)
    return found


def _members(clusters: Sequence[Cluster]) -> list[list[int]]:
    return [[i for i, c in enumerate(clusters) if c == name] for name in dict.fromkeys(clusters)]


def _cluster(record: Record) -> Cluster:
    """The two networks of a record, in either order."""
    return frozenset((record.bottom.name, record.top.name))


def _records(value: Any) -> list[Record]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [record for part in value for record in _records(part)]
    if hasattr(value, "check_measured"):
        value.check_measured()
    record = value if isinstance(value, Mapping) else getattr(value, "record", None)
    if record is None:
        raise MeasureError(
            f"A paired test needs records or stitched models that were measured, found {type(value).__name__}."
        )
    return as_records([record])


def _flip_test(found: Examples, seed: int) -> tuple[float, str]:
    """Under no difference every example's difference is as likely with the other sign."""
    values = found.deltas * found.weights
    values = values[values != 0]
    if not len(values):
        return 1.0, "sign flips over examples, exact: no example differs"
    if found.ends is not None:
        steps = np.rint(values / 100).astype(int)
        law = np.ones(1)  # of the sum of flipped steps; entry i stands for the sum i - (len - 1) / 2
        for size in np.unique(np.abs(steps)):
            law = np.convolve(law, _flipped(int((np.abs(steps) == size).sum()), int(size)))
        sums = np.arange(len(law)) - (len(law) - 1) // 2
        return float(min(1.0, law[np.abs(sums) >= abs(steps.sum())].sum())), "sign flips over examples, exact"
    generator, seen = np.random.default_rng(seed), 0
    target = abs(values.sum()) * (1 - 1e-12)
    step = max(1, 8_000_000 // len(values))
    for start in range(0, FLIPS, step):
        signs = generator.integers(0, 2, (min(step, FLIPS - start), len(values))) * 2 - 1
        seen += int((np.abs(signs @ values) >= target).sum())
    return (seen + 1) / (FLIPS + 1), f"sign flips over examples, {FLIPS} at random"


def _flip_units(values: Floats, seed: int) -> float:
    """How often a mean as far from 0 is seen where each unit's difference is as likely with the other sign."""
    n, target = len(values), abs(float(values.sum())) * (1 - 1e-12)
    if 2**n <= FLIPS:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ values) >= target).mean())
    signs = np.random.default_rng([seed, 104729]).integers(0, 2, (FLIPS, n)) * 2 - 1
    return float(((np.abs(signs @ values) >= target).sum() + 1) / (FLIPS + 1))


def _flipped(n: int, size: int) -> Floats:
    """The law of a sum of ``n`` signs times ``size``, on the whole numbers from -n size to n size."""
    from scipy.stats import binom

    law = np.zeros(2 * n * size + 1)
    law[:: 2 * size] = binom.pmf(np.arange(n + 1), n, 0.5)
    return law
