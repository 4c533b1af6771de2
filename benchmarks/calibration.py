"""What calibrated similarities are worth, and what they cost: null draws told apart, intervals that cover, time.

    uv run --with calibrated-similarity python benchmarks/calibration.py [--draws 1000] [--rounds 3]

Without that package its column is left out. Intervals from halves of the examples stand beside those of a percentile
bootstrap, of which the package's own functions know nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from side_by_side import head, ratios, side_by_side, table, write
from torch import Tensor

from modelstitch import measures as ms

PLACES = 10  # layers of either side in the timed grid


def null_draws(draws: int, stop: int | None) -> list[str]:
    """How often unrelated layers have p <= 0.05, and how often the best of nine pairs has, in percent."""
    g, hits = torch.Generator().manual_seed(0), np.zeros(3)
    for seed in range(draws):
        x, y = ([torch.randn(20, 3, generator=g) for _ in range(3)] for _ in range(2))
        found = ms.calibrate(x, y, permutations=99, seed=seed, stop=stop)
        hits += (found.p[0, 0] <= 0.05, found.best_p <= 0.05, found.p.min() <= 0.05)
    return ["none" if stop is None else str(stop), *(f"{100 * h / draws:.1f}" for h in hits)]


def covered(name: str, n: int, draws: int) -> list[str]:
    """How often an interval holds the value of 100,000 examples, in percent."""
    g, weights = torch.Generator().manual_seed(1), torch.logspace(0, -1, 6, dtype=torch.float64)
    measure, mixed = ms.find(name), torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(6, 4).cos()

    def draw(size: int) -> tuple[Tensor, Tensor]:
        z, e = (torch.randn(size, 6, generator=g, dtype=torch.float64) for _ in range(2))
        return torch.tanh(z) * weights, (z * weights + 0.7 * e) @ mixed

    truth, hits = measure(*draw(100_000)), np.zeros(2)
    for _ in range(draws):
        x, y = draw(n)
        found = ms.calibrate(x, y, name, permutations=1, resamples=100)
        again = [torch.randint(n, (n,), generator=g) for _ in range(100)]
        ends = np.quantile([measure(x[rows], y[rows]) for rows in again], (0.025, 0.975))
        hits += (found.low[0, 0] <= truth <= found.high[0, 0], ends[0] <= truth <= ends[1])
    return [name, str(n), *(f"{100 * h / draws:.0f}" for h in hits)]


def timed(rounds: int) -> str:
    """The grid of ten by ten layers, 1,000 examples, 64 features, 200 permutations; linear CKA."""
    g = torch.Generator().manual_seed(0)
    base = torch.randn(1000, 64, generator=g)
    sides = [
        [base @ torch.randn(64, 64, generator=g) + at * torch.randn(1000, 64, generator=g) for at in range(PLACES)]
        for _ in range(2)
    ]
    calls: dict[str, Callable[[], Any]] = {"modelstitch": lambda: ms.calibrate(*sides, "cka", permutations=200)}
    try:
        from calibrated_similarity import calibrate_layers
    except ImportError:
        note = "calibrated-similarity is not installed."
    else:

        def cka(x: Tensor, y: Tensor) -> Tensor:
            x, y = x - x.mean(0), y - y.mean(0)
            return (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())

        def theirs() -> Any:
            return calibrate_layers(*sides, cka, K=200, generator=torch.Generator().manual_seed(0))

        calls["calibrated-similarity, CKA from features"] = theirs
        score, p, threshold = (float(value) for value in theirs())
        mine = calls["modelstitch"]()
        off = max(abs(mine.best_score - score), abs(mine.best_p - p), abs(mine.best_threshold - threshold))
        note = f"Score, p and threshold of the best pair differ by at most {off:.0e} from the package's."
    return table(head("modelstitch"), ratios(side_by_side(calls, rounds), "modelstitch")) + f"\n\n{note}"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("stopped at", "one pair", "best of nine", "least p of nine, not corrected")
    rows = [null_draws(options.draws, stop) for stop in (None, 10)]
    names = ("cka_linear_debiased", "cka_linear_biased", "procrustes_distance", "r2_bottom_to_top")
    intervals = [covered(name, n, max(1, options.draws // 5)) for name in names for n in (100, 400)]
    write(
        "calibration",
        "Calibrated similarities",
        [
            f"Unrelated normal layers (20 examples, 3 features, 3 x 3 pairs, debiased CKA, 99 permutations, "
            f"{options.draws:,} draws): percent with p <= 0.05, of which 5 are right.\n\n" + table(columns, rows),
            "Intervals at 95 %: percent that hold the value of 100,000 examples (6 against 4 features, a nonlinear "
            f"side and noise, 100 resamples, {max(1, options.draws // 5)} draws).\n\n"
            + table(("measure", "examples", "halves of the examples", "percentile bootstrap"), intervals),
            "Time of a grid of 10 x 10 layers, 1,000 examples, 64 features, 200 permutations, seconds and ratios:\n\n"
            + timed(options.rounds),
        ],
    )


if __name__ == "__main__":
    main()
