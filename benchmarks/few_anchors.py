"""Two seeds of a network for CIFAR-10, stitched in closed form from few images: penalty by family, layer and images.

python benchmarks/few_anchors.py --data ../shared/data/cifar10 --networks ../shared/data/networks
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import polars as pl
import torch
from side_by_side import table, write

import modelstitch as ms

OWN = Path(__file__).parent.parent / "docs" / "results" / "paper" / "own"
FAMILIES = ("affine", "orthogonal", "l-ortho", "standard-orthogonal")
SAMPLES = [10, 30, 100, 1000]
LAYERS = ["bn2", "bn5", "bn8"]
CONTROLS = ("self", "random", "shuffled")


def network(name: str, networks: Path) -> ms.Network:
    ref = tomllib.loads((OWN / "donors.toml").read_text())["donors"][name]
    view = ms.Normalise(ref["mean"], ref["std"])
    shape = (3, 32, 32)
    return ms.load(ref["model"], weights=networks / ref["weights"], input_shape=shape, name=name, view=view)


def cell(rows: pl.DataFrame) -> str:
    if rows.is_empty() or rows["value"][0] is None:
        return ""
    value, low, high = rows.select("value", "low", "high").row(0)
    return f"{value:+.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--pair", nargs=2, default=["tiny10-0", "tiny10-1"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ms.register(OWN / "networks.py")
    bottom, top = (network(name, chosen.networks) for name in chosen.pair)
    data = ms.load_data(f"parquet:{chosen.data}", limit=chosen.limit)
    samples = [min(n, data.size("fit")) for n in SAMPLES]
    asked = {"layers": LAYERS, "family": FAMILIES, "objective": "match", "samples": samples, "both": False}
    r = ms.compare(bottom, top, data=data, controls=CONTROLS, **asked)
    found = r.frame.filter(metric="penalty")
    parts = [
        f"{chosen.pair[0]} under {chosen.pair[1]}; maps are solved from the activations of few images (`match`), "
        f"nothing is trained, and labels are read by the test alone: {data.size('test'):,} test images. Penalty in "
        "points, with 95 % intervals over test images. One draw of images; a longer draw holds the shorter."
    ]
    for layer in LAYERS:
        here = found.filter(top_layer=layer)
        body = []
        for control in ("pair", *CONTROLS):
            for n in samples if control == "pair" else samples[-1:]:
                rows = here.filter(control=control, samples=n)
                body.append((control, f"{n:,}", *(cell(rows.filter(family=family)) for family in FAMILIES)))
        parts += [f"## {layer}", table(("", "images", *FAMILIES), body)]
    write("few-anchors", "Stitches in closed form from few images", parts)


if __name__ == "__main__":
    main()
