"""How often intervals hold what they are of, and how often tests see what is not there: simulated.

    python benchmarks/interval_coverage.py    # docs/results/intervals.md

The project's own bootstrap, pooling and tests. One fit: the stitch loses some of the examples that the top gets right,
and gains others. Several pairs: every pair of networks has a true penalty of its own, drawn around a common mean; on
5,000 test examples the top and the stitch err on a fifth of them and on so many more. The interval is to hold the
common mean, which is what a reader takes it for. Tests: two penalties of every pair whose true difference is drawn
around 0, and penalties of ten layers that are all 0.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import math
import platform
from typing import Any

import numpy as np
import torch
from scipy.stats import false_discovery_control

from modelstitch.data.tasks import DENSE, MULTI_LABEL, REGRESSION, Retrieval, Task
from modelstitch.engine.measure import Outcome, Tally
from modelstitch.engine.measure import numbers as of_a_split
from modelstitch.records.answers import pack
from modelstitch.stats.bootstrap import RESAMPLES, interval, means
from modelstitch.stats.pooling import _mix, p_of_none, paired_test, pool

EXAMPLES, ERROR, PENALTY = 5000, 0.2, 0.03  # as many as the scale `small` of the paper's figures measures on
PAIRS, SPREADS = (1, 2, 3, 5, 10), (0.0, 1.0, 2.0, 3.0)  # points, the standard deviation between pairs
NETWORKS = (3, 4, 6, 10)
RARE = ((0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (0.5, 0.1), (0.5, 0.5), (1.0, 0.0), (1.0, 0.5), (2.0, 0.0), (2.0, 1.0))
SIZES = (150, 600, 5000)
WHOLE, WHOLE_SIZES = ("R squared", "average precision", "mIoU", "MRR"), (50, 150, 600)
TRUTH = 100_000  # examples, in pieces, that stand for all there are
TESTED, LAYERS = (1, 2, 5, 6, 10), 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    print("| lost | gained |" + "".join(f" {n:,} examples | without |" for n in SIZES))
    print("|--:|--:|" + "--:|--:|" * len(SIZES))
    for lost, gained in RARE:
        found = [share for n in SIZES for share in rare(lost, gained, n, runs)]
        print(f"| {lost:g} % | {gained:g} % |" + "".join(f" {100 * share:.0f} % |" for share in found))
    print("\n| pairs | tests with p < 0.05 |\n|--:|--:|")
    for pairs in TESTED:
        print(f"| {pairs} | {100 * falsely(pairs, runs):.1f} % |")
    print("\n| number |" + "".join(f" {n:,} examples | penalty |" for n in WHOLE_SIZES))
    print("|---|" + "--:|--:|" * len(WHOLE_SIZES))
    for what in WHOLE:
        found = [share for n in WHOLE_SIZES for share in whole(what, n, runs)]
        print(f"| {what} |" + "".join(f" {100 * share:.0f} % |" for share in found))
    single, corrected = layered(runs)
    print(
        f"\nTen layers, no penalty: some p < 0.05 in {100 * single:.0f} %, some q < 0.05 in {100 * corrected:.0f} %.\n"
    )
    print("| pairs |" + "".join(f" {spread:g} points between pairs |" for spread in SPREADS))
    print("|--:|" + "--:|" * len(SPREADS))
    for pairs in PAIRS:
        found = [coverage(pairs, spread, runs) for spread in SPREADS]
        print(f"| {pairs} |" + "".join(f" {100 * share:.0f} % |" for share in found))
    print("\n| networks, all paired | pairs | networks are drawn | pairs are drawn |\n|--:|--:|--:|--:|")
    for networks in NETWORKS:
        cells = (f" {100 * shared(networks, runs, drawn):.0f} % |" for drawn in ("networks", "pairs"))
        print(f"| {networks} | {networks * (networks - 1) // 2} |{''.join(cells)}")
    error = 100 * math.sqrt(0.25 / runs)
    print(f"\n{runs} runs a number, so that each is good to {error:.0f} points at most (one standard error).")
    print(f"{datetime.date.today():%d %B %Y}, {platform.machine()}, numpy {np.__version__}.")


def seen(what: str, n: int, draw: torch.Generator) -> tuple[Outcome, Outcome]:
    """What a stitch and its top do on n examples: the top is near the labels, the stitch less so, on the same ones."""

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(n, *shape, generator=draw)

    if what == "R squared":
        task: Task = REGRESSION
        labels = noise(2)
        top = labels + 0.5 * noise(2)
        stitch = top + 0.4 * noise(2)
    elif what == "average precision":
        task, hidden = MULTI_LABEL, noise(4)
        labels = (hidden > torch.tensor([0.0, 0.5, 1.0, 1.5])).long()
        top = hidden + 0.7 * noise(4)
        stitch = top + 0.5 * noise(4)
    elif what == "mIoU":
        task, classes = DENSE, torch.tensor([0.6, 0.25, 0.1, 0.05])
        common = torch.multinomial(classes, n, replacement=True, generator=draw)  # samples are of one class mostly
        labels = torch.multinomial(classes, 36 * n, replacement=True, generator=draw).view(n, 6, 6)
        labels = torch.where(torch.rand(n, 6, 6, generator=draw) < 0.5, common[:, None, None], labels)
        top = 1.5 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2) + noise(4, 6, 6)
        stitch = top + 0.7 * noise(4, 6, 6)
    else:
        gallery = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
        task, labels = Retrieval(gallery, torch.arange(40)), torch.randint(40, (n,), generator=draw)
        top = gallery[labels] + 0.8 * noise(8)
        stitch = top + 0.5 * noise(8)
    tallies = [Tally(task, whole=True) for _ in range(2)]
    for tally, output in zip(tallies, (stitch, top)):
        tally.add(output, labels, torch.arange(n))
    return tallies[0].outcome(), tallies[1].outcome()


def whole(what: str, n: int, runs: int) -> tuple[float, float]:
    """How often the interval of a number that is no mean over examples holds what it is over all, and its penalty's."""
    draw = torch.Generator().manual_seed(11)
    stitch, top = seen(what, TRUTH if what != "mIoU" else TRUTH // 5, draw)
    name = list(stitch.numbers)[-1]
    truth = stitch.numbers[name][0], top.numbers[name][0] - stitch.numbers[name][0]
    hits = np.zeros(2)
    for _ in range(runs):
        found = of_a_split(*seen(what, n, draw))
        for i, one in enumerate((found[name], found[f"{name}_penalty"])):
            assert one.low is not None
            assert one.high is not None
            hits[i] += one.low <= truth[i] <= one.high
    return float(hits[0] / runs), float(hits[1] / runs)


def rare(lost: float, gained: float, n: int, runs: int) -> tuple[float, float]:
    """The share of runs whose interval holds lost - gained, as it is kept, and without one example of either sign."""
    generator, held = np.random.default_rng([round(10 * lost), round(10 * gained), n]), np.zeros(2)
    for run in range(runs):
        where = generator.random(n)
        deltas = np.where(where < lost / 100, 100.0, np.where(where > 1 - gained / 100, -100.0, 0.0))
        for way, ends in enumerate(((-100.0, 100.0), None)):
            low, high = interval(means([deltas], np.ones(n), ends=ends, seed=run)[:, 0])
            held[way] += low - 1e-9 <= lost - gained <= high + 1e-9
    return tuple(held / runs)


def falsely(pairs: int, runs: int, n: int = 600, spread: float = 0.1) -> float:
    """The share of paired tests that find p below 0.05, where pairs differ around 0; one pair: by chance alone."""
    generator, seen = np.random.default_rng(pairs), 0
    for _ in range(runs):
        sides: tuple[list[Any], list[Any]] = ([], [])
        for i in range(pairs):
            shift = spread * generator.normal() if pairs > 1 else 0.0
            for side, sign in zip(sides, (1, -1)):
                side.append(record(100.0 * (generator.random(n) < 0.4 + sign * shift), np.zeros(n), i))
        seen += paired_test(*sides).p < 0.05
    return seen / runs


def layered(runs: int, n: int = 600) -> tuple[float, float]:
    """The share of runs in which some of ten layers has p, and q, below 0.05, though none has a penalty."""
    generator, seen = np.random.default_rng(LAYERS), np.zeros(2)
    for _ in range(runs):
        errors = [100.0 * (generator.random(n) < 0.2) for _ in range(LAYERS + 1)]
        p = [p_of_none([record(stitched, errors[0], 0)]) for stitched in errors[1:]]
        seen += (min(p) < 0.05, min(false_discovery_control(p)) < 0.05)
    return tuple(seen / runs)


def coverage(pairs: int, spread: float, runs: int) -> float:
    """The share of runs whose interval holds the mean penalty."""
    generator = np.random.default_rng([pairs, round(10 * spread)])
    return float(np.mean([holds(generator, pairs, spread) for _ in range(runs)]))


def holds(generator: np.random.Generator, pairs: int, spread: float) -> bool:
    right = generator.random(EXAMPLES) >= ERROR  # the top's, on one test split
    records = []
    for i in range(pairs):
        penalty = PENALTY + spread / 100 * generator.normal()
        kept = np.where(right, generator.random(EXAMPLES) >= (0.1 + penalty) / (1 - ERROR), False)
        gained = np.where(right, False, generator.random(EXAMPLES) < 0.1 / ERROR)
        records.append(record(100.0 * ~(kept | gained), 100.0 * ~right, i))
    found = pool(records)
    assert found.low is not None
    assert found.high is not None
    return found.low <= 100 * PENALTY <= found.high


def shared(networks: int, runs: int, drawn: str) -> float:
    """The share of runs whose interval holds the mean where every network is in many pairs.

    Half of the variance between pairs is the networks' own; test examples are taken for so many that they add nothing.
    """
    generator = np.random.default_rng(networks)
    pairs = list(itertools.combinations(range(networks), 2))
    names = [
        frozenset(map(str, p) if drawn == "networks" else (f"below {i}", f"above {i}")) for i, p in enumerate(pairs)
    ]
    held = 0
    for run in range(runs):
        own = generator.normal(size=networks)
        values = np.array([(own[i] + own[j]) / 2 for i, j in pairs]) + generator.normal(size=len(pairs)) / math.sqrt(2)
        low, high = interval(_mix(names, np.broadcast_to(values, (RESAMPLES, len(pairs))), run))
        held += low <= 0 <= high
    return held / runs


def record(stitched: Any, top: Any, pair: int) -> dict[str, Any]:
    ends = {side: {"name": f"{side} {pair}", "fingerprint": f"{side} {pair}"} for side in ("bottom", "top")}
    config = {"control": "pair", **ends, "data": {"fingerprint": "d"}}
    return {"config": config, "examples": pack(stitched, top, np.ones(len(top)), "points")}


if __name__ == "__main__":
    main()
