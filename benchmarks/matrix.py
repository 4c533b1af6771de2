"""The evaluated sender x receiver matrix against ``stitch`` with match, pair by pair.

Time, and equal numbers and answers.

python benchmarks/matrix.py
"""

from __future__ import annotations

import argparse

import torch
from side_by_side import head, ratios, side_by_side, table, write
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.records.record import Record
from modelstitch.stitched.stitched import Stitched
from modelstitch.zoo.nets import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--examples", type=int, default=256, help="of each of the fit and the test split")
    parser.add_argument("--layers", type=int, default=5, help="of each network")
    chosen = parser.parse_args()
    images = torch.rand(2 * chosen.examples + 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(images)) % 10
    cuts = (slice(0, chosen.examples), slice(-8, None), slice(chosen.examples, -8))
    data = ms.Data(*(TensorDataset(images[part], labels[part]) for part in cuts))
    one, two = (ms.Network(build("resnet20", seed=s).eval(), images[:2], n) for s, n in ((0, "one"), (1, "two")))
    step = max(1, len(one.blocks) // chosen.layers)
    below, above = one.blocks[::step][: chosen.layers], two.blocks[::step][: chosen.layers]
    solved: dict[tuple[str, str], Record] = {}
    stitches: dict[tuple[str, str], Stitched] = {}

    def together() -> None:
        found = ms.matrix(one, two, data, layers=(below, above), batch_size=128)
        solved.update({(r.bottom.layer, r.top.layer): r for r in found.records})

    def apart() -> None:
        for b in below:
            for t in above:
                stitches[b, t] = ms.stitch(one, two, (b, t), data, objective="match", batch_size=128, device="cpu")

    times = side_by_side({"matrix": together, "stitch, pair by pair": apart}, chosen.rounds)
    errors = {pair: own.metrics["relative_mse"] for pair, own in stitches.items()}
    worst = max(abs(_value(solved[pair], "relative_mse") - value) / max(1.0, value) for pair, value in errors.items())
    right = {pair: own.record.correct for pair, own in stitches.items() if own.record is not None}
    other = sum(solved[pair].correct != own for pair, own in right.items())
    write(
        "benchmark-matrix",
        "The evaluated matrix beside stitching pair by pair",
        [
            f"Two ResNet-20s, {len(below)} x {len(above)} block cuts, affine, match, {chosen.examples} fit and "
            f"{chosen.examples} test examples, {chosen.rounds} rounds, fits and evaluation included.",
            table(head("matrix"), ratios(times, "matrix")),
            f"Largest relative difference of the held-out squared error between the two ways: {worst:.1e}. Stitches "
            f"that are right on other examples: {other} of {len(right)}.",
        ],
    )


def _value(record: Record, name: str) -> float:
    found = record.metric(name)
    assert found is not None
    assert found.value is not None
    return found.value


if __name__ == "__main__":
    main()
