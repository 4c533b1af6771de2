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
import polars as pl
import torch
from side_by_side import head, ratios, side_by_side, table, write
from torch import Tensor, nn

import modelstitch
from modelstitch import measures as ms

PLACES = 10  # layers of either side in the timed grid
LEVEL = 0.05


def null_draws(name: str, draws: int, stop: int | None) -> list[str]:
    """How often unrelated layers have p <= 0.05, and how often the best of nine pairs has, in percent."""
    g, hits = torch.Generator().manual_seed(0), np.zeros(4)
    for seed in range(draws):
        x, y = ([torch.randn(20, 3, generator=g) for _ in range(3)] for _ in range(2))
        found = ms.calibrate(x, y, name, permutations=99, seed=seed, stop=stop)
        small = found.p <= LEVEL
        hits += (small[0, 0], small.mean(), found.best_p <= LEVEL, small.any())
    return [name, "none" if stop is None else str(stop), *(f"{100 * h / draws:.1f}" for h in hits)]


class Own(nn.Module):
    """Two layers over numbers that no other network of the family reads."""

    def __init__(self, at: int, width: int = 3, depth: int = 2) -> None:
        super().__init__()
        self.at, self.width = at * width, width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(at)
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, self.at : self.at + self.width]
        for layer in self.layers:
            x = layer(x).tanh()
        return x


def numbers(n: int, width: int, g: torch.Generator) -> modelstitch.Data:
    """Noise, (n, width), as the split that similarities are measured on."""
    x, labels = torch.randn(n, width, generator=g), torch.arange(n) % 2
    few = x[:4].clone()
    return modelstitch.Data((few[:2], labels[:2]), (x, labels), (few[2:], labels[2:4]))


def family_draws(draws: int) -> list[list[str]]:
    """The same of three networks that share nothing, by the p-values of a similarity."""
    g, hits = torch.Generator().manual_seed(0), np.zeros(2)
    networks = [modelstitch.Network(Own(at), torch.randn(2, 9), f"own{at}") for at in range(3)]
    asked: dict[str, Any] = {"measures": ["cka"], "layers": ["layers.0", "layers.1"], "shuffles": 99}
    for seed in range(draws):
        frame = modelstitch.similarity(networks, data=numbers(24, 9, g), seed=seed, **asked).frame
        best = frame.group_by("bottom", "top").agg(pl.col("p_grid").min())["p_grid"]
        hits += ((frame["p"] <= LEVEL).mean(), (best <= LEVEL).mean())
    return [["one pair of layers", f"{100 * hits[0] / draws:.1f}"], ["best of a grid", f"{100 * hits[1] / draws:.1f}"]]


def family_cost(size: int, rounds: int) -> str:
    """What null levels add to the similarity of a family, and how far its p-values are from those of the pairs."""
    g = torch.Generator().manual_seed(0)
    networks = [modelstitch.Network(Own(at, 64, 5), torch.randn(2, 64 * size), f"own{at}") for at in range(size)]
    data, names = numbers(1000, 64 * size, g), [f"layers.{at}" for at in range(5)]

    def alike(shuffles: int, *some: Any) -> modelstitch.Results:
        asked: dict[str, Any] = {"data": data, "measures": ["cka"], "shuffles": shuffles}
        if some:
            return modelstitch.similarity(*some, **asked, layers=(names, names))
        return modelstitch.similarity(networks, **asked, layers=names)

    calls = {f"{n} shuffles": lambda n=n: alike(n) for n in (0, 20)}
    found = side_by_side(calls, rounds)
    keys = ["bottom", "bottom_layer", "top", "top_layer"]
    both = alike(20).frame.join(alike(20, *networks[:2]).frame, on=keys, suffix="_pair")
    off = max(
        float((both[name] - both[f"{name}_pair"]).abs().max() or 0) for name in ("value", "null_mean", "p", "p_grid")
    )
    cost = [(name, f"{min(times.processor):.2f}") for name, times in found.items()]
    return table(("", "processor seconds"), cost) + (
        f"\n\nValues, null levels and p-values of a pair within the family differ by at most {off:.0e} from those of "
        "the pair by itself."
    )


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
    note = ""
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
    times = side_by_side(calls, rounds)
    least = ", ".join(f"{name} {min(found.processor):.2f}" for name, found in times.items())
    return table(head("modelstitch"), ratios(times, "modelstitch")) + (
        f"\n\nProcessor seconds, the least of {rounds} rounds: {least}. {note}"
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("measure", "stopped at", "one pair", "each of nine", "best of nine", "least p of nine, not corrected")
    debiased = "cka_linear_debiased"
    rows = [null_draws(debiased, options.draws, stop) for stop in (None, 10)]
    rows += [null_draws(name, options.draws, None) for name in ("cka_linear_biased", "rsa")]
    names = ("cka_linear_debiased", "cka_linear_biased", "procrustes_distance", "r2_bottom_to_top")
    few = max(1, options.draws // 5)
    intervals = [covered(name, n, few) for name in names for n in (100, 400)]
    write(
        "calibration",
        "Calibrated similarities",
        [
            f"Unrelated normal layers (20 examples, 3 features, 3 x 3 pairs, 99 permutations, "
            f"{options.draws:,} draws): percent with p <= 0.05, of which 5 are right.\n\n" + table(columns, rows),
            "Intervals at 95 %: percent that hold the value of 100,000 examples (6 against 4 features, a nonlinear "
            f"side and noise, 100 resamples, {few} draws).\n\n"
            + table(("measure", "examples", "halves of the examples", "percentile bootstrap"), intervals),
            "Time of a grid of 10 x 10 layers, 1,000 examples, 64 features, 200 permutations, seconds and ratios:\n\n"
            + timed(options.rounds),
            f"A family: three networks of two layers that share nothing, 24 examples, 99 shuffles, {few:,} draws: "
            "percent with p <= 0.05, of which 5 are right.\n\n" + table(("", "percent"), family_draws(few)),
            "What null levels add to the similarity of six networks, 5 layers of 64 features each, 15 pairs, 1,000 "
            "examples, debiased CKA:\n\n" + family_cost(6, options.rounds),
        ],
    )


if __name__ == "__main__":
    main()
