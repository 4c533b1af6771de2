"""The known ways to be fooled by stitching, run on real digits, and what the defaults do about each.

    python benchmarks/pitfalls.py [--out docs/results/pitfalls.md]

Every number and every verdict on the page is worked out here, also where it speaks against the expectation.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Subset

import modelstitch as ms
from modelstitch.engine.controls.random import calibrate, reinitialise, still_trained
from modelstitch.network import fingerprint
from modelstitch.report.sentences.findings import spoken
from modelstitch.stitched.stitched import Stitched
from modelstitch.support.memory import keep_heap
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.train import SHORT_DIGITS

NET = "small-resnet?width=16"
STEPS = 60
LOOKED_AT, DRAWS = 60, 10  # test examples that choose, and how often they are drawn anew


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/results/pitfalls.md"))
    out = parser.parse_args().out
    torch.set_num_threads(1)
    keep_heap()
    data = ms.load_data("digits")
    modules = [donor(DonorSpec(NET, SHORT_DIGITS, seed=seed), data).module for seed in (0, 1)]
    example = torch.zeros(2, 1, 8, 8)
    below, above = (ms.Network(module, example, name) for module, name in zip(modules, ("a", "b")))
    parts = [class_noise, half_random, statistics_that_move, late_into_early, chosen_on_the_test_set]
    lines = ["# How stitching fools, and what is done about it", ""]
    for part in parts:
        lines += part(below, above, data)
    text = "\n".join(lines + made(data))
    out.write_text(text, encoding="utf-8")
    print(text)


def class_noise(below: ms.Network, above: ms.Network, data: ms.Data) -> list[str]:
    """One fixed random tensor per class plus noise in the place of the bottom."""
    frame = ms.compare(below, above, data, controls=("self", "random", "class-noise"), both=False, steps=STEPS).frame
    penalty = frame.filter(metric="penalty")
    kinds = ("pair", "random", "class-noise")
    rows = [
        [layer, *(points(penalty.filter(top_layer=layer, control=kind).row(0, named=True)) for kind in kinds)]
        for layer in above.blocks
    ]
    warned = [line.strip() for line in spoken(frame) if line.strip().startswith("Warning")]
    return [
        "## A bottom that knows the label and nothing else",
        "",
        "Where a fixed random tensor per class stitches as well as a trained bottom, a low penalty only says that the "
        "classes are separable there.",
        "",
        *table(["layer", *kinds], rows),
        "What the report says of it:",
        "",
        *(f"- {line}" for line in warned),
        "",
    ]


def half_random(below: ms.Network, above: ms.Network, data: ms.Data) -> list[str]:
    """Re-initialising direct children only, as the paper's released code does, against every parameter."""
    half, whole = copy.deepcopy(below.module), reinitialise(below.module, 0)
    torch.manual_seed(0)
    for child in half.children():
        if hasattr(child, "reset_parameters"):
            child.reset_parameters()
    for module in (half, whole):
        calibrate(module, (b.inputs for b in data.batches("fit", 256)))
    kept = still_trained(below.module, half)
    named = {"half random": below.replaced(half, "half random"), "random": below.replaced(whole, "random")}
    rows = []
    for layer in above.blocks:
        stitches = [ms.stitch(net, above, layer, data, steps=STEPS) for net in named.values()]
        rows.append([layer, *(measured(s) for s in stitches)])
    total = len(list(below.module.parameters()))
    return [
        "## A random bottom that is not random",
        "",
        f"Calling `reset_parameters` on direct children leaves {len(kept)} of {total} parameter tensors trained. The "
        "random control here visits every module, and refuses to run if one trained tensor is left.",
        "",
        *table(["layer", *named], rows),
    ]


def statistics_that_move(below: ms.Network, above: ms.Network, data: ms.Data) -> list[str]:
    """BatchNorm statistics of the frozen donors under the three policies."""
    before = [fingerprint(net.module) for net in (below, above)]
    policies = ("frozen", "recalibrated", "batch")
    rows = []
    for layer in above.blocks:
        cells = [layer]
        for family, objective in (("identity", "match"), ("affine", "task")):
            for policy in policies:
                s = ms.stitch(
                    below, above, layer, data, family=family, objective=objective, normalisation=policy, steps=STEPS
                )
                cells.append(f"{s.penalty:+.1f}")
        rows.append(cells)
    moved = before != [fingerprint(net.module) for net in (below, above)]
    columns = [f"{family}, {policy}" for family in ("no map", "affine") for policy in policies]
    return [
        "## Statistics that move",
        "",
        "Training mode rewrites the BatchNorm statistics of both frozen parts: what the columns of one map differ by "
        "is not the map's work. Here that happens only where it is asked for (`normalisation=`), on a copy; the "
        "record says which policy was used. The donors' hashes after all of these stitches: "
        f"{'CHANGED' if moved else 'unchanged'}.",
        "",
        *table(["penalty, points", *columns], rows),
    ]


def late_into_early(below: ms.Network, above: ms.Network, data: ms.Data) -> list[str]:
    """A late layer of the bottom under an early layer of the top, which has little left to add."""
    blocks = above.blocks
    early, late = blocks[1], blocks[-2]
    rows, warned = [], []
    for seam in ((early, early), (late, early)):
        layers, controls = [f"{seam[0]} -> {seam[1]}"], ("random", "class-noise")
        frame = ms.compare(below, above, data, layers=layers, controls=controls, both=False, steps=STEPS).frame
        own = {row["metric"]: row for row in frame.filter(control="pair").iter_rows(named=True)}
        rows.append(
            [*layers, points(own["penalty"]), *(f"{own[name]['value']:.2f}" for name in ("relative_mse", "ood"))]
        )
        warned += [f"{layers[0]}: {line.strip()}" for line in spoken(frame) if line.strip().startswith("Warning")]
    return [
        "## A late sender, an early receiver",
        "",
        f"At {late} the bottom has all but decided the class. Stitched into {early}, a low penalty says little about "
        "the layers between. `compare` matches layers by depth, so such a seam is stitched only when it is asked for; "
        "the distance to genuine activations (relative squared error; 1 is as bad as their mean) and how foreign they "
        "are (ratio of Mahalanobis distances; 1 is genuine) stand beside every penalty.",
        "",
        *table(["seam", "penalty", "relative squared error", "out of distribution"], rows),
        "What the report says of them:",
        "",
        *(f"- {line}" for line in warned),
        "",
    ]


def chosen_on_the_test_set(below: ms.Network, above: ms.Network, data: ms.Data) -> list[str]:
    """The best of many looks at some test examples, held against the other ones."""
    layer = above.blocks[2]
    test = data.dataset("test")
    gaps = []
    for seed in range(DRAWS):
        order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed)).tolist()
        seen, unseen = Subset(test, order[:LOOKED_AT]), Subset(test, order[LOOKED_AT:])
        fooled = ms.Data(data.dataset("fit"), seen, unseen, n_classes=data.n_classes)
        s = ms.stitch(below, above, layer, fooled, steps=STEPS, eval_every=2, patience=1000, seed=seed)
        penalties = [error(s, fooled, split) - error(above.full(), fooled, split) for split in ("val", "test")]
        gaps.append(penalties[1] - penalties[0])
    mean, spread = statistics.mean(gaps), statistics.stdev(gaps) / DRAWS**0.5
    return [
        "## Choosing on the test set",
        "",
        f"The best state of {STEPS // 2 + 1} at {layer}, chosen on {LOOKED_AT} test examples, {DRAWS} draws of them: "
        f"on the other {len(test) - LOOKED_AT} its penalty is {mean:+.2f} points higher than on those that chose "
        f"(standard error {spread:.2f}). Here the validation split chooses, and the test split is read once, after "
        "everything is chosen: a test holds this.",
        "",
    ]


@torch.no_grad()
def error(module: nn.Module, data: ms.Data, split: str) -> float:
    batch = next(iter(data.batches(split, data.size(split))))
    return 100 * float((module(batch.inputs).argmax(1) != batch.labels).double().mean())


def measured(s: Stitched) -> str:
    low, high = s.interval
    return points({"value": s.penalty, "low": low, "high": high})


def points(row: dict) -> str:
    return f"{row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def made(data: ms.Data) -> list[str]:
    sizes = ", ".join(f"{data.size(split)} {split}" for split in ("fit", "val", "test"))
    return [
        "## How it was made",
        "",
        "```bash",
        "python benchmarks/pitfalls.py",
        "```",
        "",
        f"Two seeds of {NET} on scikit-learn's digits ({sizes} samples); penalties in points with 95 % intervals "
        f"paired over test examples; {STEPS} steps. modelstitch {ms.__version__}, torch {torch.__version__}, one "
        f"thread ({platform.machine()}), {date.today()}.",
        "",
    ]


if __name__ == "__main__":
    main()
