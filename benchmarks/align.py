"""An alignment of two memory-mapped arrays beside a bare X'Y of the same blocks, and a query beside its bare product.

python benchmarks/align.py --rows 1000000
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from side_by_side import head, ratios, side_by_side, table, write
from threadpoolctl import threadpool_limits

import modelstitch as ms
from modelstitch.arrays.given import vectors

KEPT, ALL = "X'Y", "X'Y, X'X, Y'Y"


def made(folder: Path, rows: int, width: int) -> tuple[Path, Path]:
    """Two arrays on the disk, written block by block: the second is a map of the first, and noise."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(width, width)).astype(np.float32) / np.float32(width**0.5)
    paths = folder / "old.npy", folder / "new.npy"
    files = [np.lib.format.open_memmap(p, "w+", np.float32, (rows, width)) for p in paths]
    for start in range(0, rows, 10_000):
        n = min(10_000, rows - start)
        x = rng.standard_normal((n, width), dtype=np.float32)
        files[0][start : start + n] = x
        files[1][start : start + n] = x @ mix + 0.3 * rng.standard_normal((n, width), dtype=np.float32)
    for file in files:
        file.flush()
    return paths


def bare(old: Path, new: Path, *, squares: bool = False) -> list[np.ndarray]:
    """X'Y of the blocks that an alignment reads, and X'X and Y'Y: numpy's BLAS takes these by half the products."""
    x, y = (vectors(path, "an array") for path in (old, new))
    totals = [np.zeros((x.width, y.width)) for _ in range(3 if squares else 1)]
    for place in x.slices():
        one, two = x.values[place], y.values[place]
        totals[0] += one.T @ two
        if squares:
            totals[1] += one.T @ one
            totals[2] += two.T @ two
    return totals


def query(width: int, rounds: int) -> tuple[str, ...]:
    """Medians of one query and of its bare product, and their ratio within a round."""
    rng = np.random.default_rng(0)
    old = rng.standard_normal((4 * width, width), dtype=np.float32)
    w = ms.align(old, old[:, ::-1].copy())
    weight, x = np.ascontiguousarray(w.coef_, np.float32), old[:64]
    times: list[tuple[float, float]] = []
    for i in range(3 * rounds + 20):
        row = x[i % len(x)][None]
        start = time.perf_counter()
        weight @ row[0]
        middle = time.perf_counter()
        w.transform(row)
        times.append((middle - start, time.perf_counter() - middle))
    parts = [times[20 + k * rounds : 20 + (k + 1) * rounds] for k in range(3)]
    product, whole = (statistics.median(column) for column in zip(*times[20:]))
    ratio = statistics.median(statistics.median(b / a for a, b in part) for part in parts)
    return f"{width} x {width}", f"{1e6 * product:.1f}", f"{1e6 * whole:.1f}", f"{ratio:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where the arrays are written for a while")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1), tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        old, new = made(Path(folder), chosen.rows, chosen.width)
        kept: list[ms.arrays.Aligner] = []
        calls = {
            KEPT: lambda: bare(old, new),
            ALL: lambda: bare(old, new, squares=True),
            "align": lambda: kept.append(ms.align(old, new)),
            "align, both ways": lambda: ms.align(old, new, both=True),
        }
        times = [query(width, chosen.queries) for width in (256, 768, 1536)]  # which warms up, too
        found = side_by_side(calls, chosen.rounds, warm=False)
        some = slice(0, min(chosen.rows, 2000))
        score = kept[-1].score(*(np.load(p, mmap_mode="r")[some] for p in (old, new)))
    size = 2 * 4 * chosen.rows * chosen.width / 1e9
    write(
        "benchmark-align",
        "An alignment beside bare products",
        [
            f"Two arrays of {chosen.rows:,} x {chosen.width} float32 ({size:.1f} GB), read in place; *{KEPT}* is the "
            "bare product of the same blocks, float32, added up in float64. *align* is the whole call, its solution "
            f"included (R2 {score:.3f}); it also sums X'X, and both ways Y'Y, too, so that *{ALL}* is the least that "
            f"both ways can take: twice the multiplications. {chosen.rounds} rounds.",
            table(head(KEPT), ratios(found, KEPT)),
            "One query, float32: the bare product of a matrix with a vector, and `transform` of one row with its "
            f"checks; medians of {chosen.queries} in turns, three times.",
            table(("query", "bare, us", "transform, us", "ratio"), times),
        ],
    )


if __name__ == "__main__":
    main()
