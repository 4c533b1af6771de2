"""How often an interval over few pairs holds the true mean: simulated, with the project's own pooling.

    python benchmarks/interval_coverage.py    # docs/results/intervals.md

Every pair of networks has a true penalty of its own, drawn around a common mean; on 5,000 test examples the top and the
stitch err on a fifth of them and on so many more. The interval is to hold the common mean, which is what a reader takes
it for.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import math
import platform
from typing import Any

import numpy as np

from modelstitch.stats.bootstrap import RESAMPLES, interval
from modelstitch.study.answers import pack
from modelstitch.study.pooling import _mix, pool

EXAMPLES, ERROR, PENALTY = 5000, 0.2, 0.03  # as many as the scale `small` of the paper's figures measures on
PAIRS, SPREADS = (1, 2, 3, 5, 10), (0.0, 1.0, 2.0, 3.0)  # points, the standard deviation between pairs
NETWORKS = (3, 4, 6, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
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
    return {"config": config, "examples": pack(stitched, top, np.ones(EXAMPLES), "points")}


if __name__ == "__main__":
    main()
