"""Which rule finds the good seams of a pair before they are measured.

    python benchmarks/seams.py --networks FOLDER --import FILE.py --data parquet:DIR [--fit 2000] [--test 2000]
                               [--pairs resnet44:tiny10-0,...]

All blocks of the bottom are stitched to all blocks of the top by an affine map in closed form, and every stitch is
measured on the test split: that is the truth. A rule sees one pass of both networks, and no tail. It picks, at every
block of the bottom, the block of the top that it likes best; and, of all seams, those that no other one beats in both
its own score and multiplications.

- map residual: R2 of the stitch's own map, how much of the top's activations on test samples it explains.
- CKA: between the two layers, debiased, on validation samples averaged over positions.
- probe KL: a linear probe on each layer says the class; the mean divergence of the two probes' answers (KLAS).
- depth: the least difference of the two layers' depths (the rule of SN-Net).

``entries`` is the share of the bottom's blocks where the picked entry errs no more than the best one plus what the
interval of their difference allows (a penalty within the other's interval); ``front`` the share of the true front's
stitches among those that the rule keeps, ``kept`` how many it keeps of all; ``regret`` how many points the picked
entries err more than the best ones, in the mean over blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from side_by_side import table, write
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import modelstitch as ms
from modelstitch.models.load import load_for, register
from modelstitch.paper.given import networks

RULES = ("map residual", "CKA", "probe KL", "depth")
KEYS = ("bottom_layer", "top_layer")


def pooled_features(network: ms.Network, data: ms.Data, split: str, n: int) -> tuple[dict[str, Tensor], Tensor]:
    """Activations of all blocks, examples averaged over positions, and the labels."""
    taps, found, labels = network.taps(network.blocks), dict[str, list[Tensor]](), []
    with torch.no_grad():
        for batch in data.batches(split, 250):
            for name, value in taps(network.view(batch.inputs)).items():
                over = {"map": (2, 3), "tokens": (1,)}.get(network.layer(name).kind)
                found.setdefault(name, []).append(value if over is None else value.mean(over))
            labels.append(batch.labels)
            if sum(map(len, labels)) >= n:
                break
    return {name: torch.cat(parts)[:n] for name, parts in found.items()}, torch.cat(labels)[:n]


def probes(network: ms.Network, data: ms.Data, fit: int, val: int) -> dict[str, np.ndarray[Any, Any]]:
    """What a linear probe on each block answers on the validation split: log-probabilities (n, classes)."""
    features, labels = pooled_features(network, data, "fit", fit)
    held, _ = pooled_features(network, data, "val", val)
    found = {}
    for name, x in features.items():
        mean, scale = x.mean(0), x.std(0).clamp(min=1e-6)
        probe = LogisticRegression(max_iter=300).fit(((x - mean) / scale).numpy(), labels.numpy())
        found[name] = probe.predict_log_proba(((held[name] - mean) / scale).numpy())
    return found


def scores(bottom: ms.Network, top: ms.Network, data: ms.Data, truth: pl.DataFrame, fit: int, val: int) -> pl.DataFrame:
    """What each rule gives to every seam, more for a better one."""
    low, high = (probes(network, data, fit, val) for network in (bottom, top))
    alike = ms.similarity(bottom, top, data, measures=["cka_linear_debiased"], shuffles=0, device="cpu").frame
    cka = {(r["bottom_layer"], r["top_layer"]): r["value"] for r in alike.iter_rows(named=True)}
    rows = []
    for row in truth.iter_rows(named=True):
        below, above = (row[key] for key in KEYS)
        apart = (np.exp(high[above]) * (high[above] - low[below])).sum(1).mean()
        rows.append(
            {
                **{key: row[key] for key in KEYS},
                "map residual": row["r2"],
                "CKA": cka[below, above],
                "probe KL": -float(apart),
                "depth": -abs(bottom.layer(below).depth - top.layer(above).depth),
            }
        )
    return pl.DataFrame(rows)


def judged(truth: pl.DataFrame, found: pl.DataFrame) -> list[tuple[str, ...]]:
    """For each rule: entries, front, kept, regret."""
    both = truth.join(found, on=KEYS)
    best = on_front(both, -both["error"].to_numpy())
    rows = []
    for rule in RULES:
        hits, regrets = [], []
        for _, group in both.group_by("bottom_layer", maintain_order=True):
            picked, right = (group.row(int(group[key].arg_max()), named=True) for key in (rule, "right"))
            hits.append(picked["penalty"] <= right["high"])
            regrets.append(picked["error"] - right["error"])
        kept = on_front(both, both[rule].to_numpy())
        rows.append(
            (
                rule,
                f"{100 * np.mean(hits):.0f} %",
                f"{100 * (kept & best).sum() / best.sum():.0f} %",
                f"{kept.sum()} of {len(both)}",
                f"{np.mean(regrets):.1f}",
            )
        )
    return rows


def on_front(rows: pl.DataFrame, score: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which rows no other one beats in both score and multiplications."""
    cost = rows["multiplications"].to_numpy()
    better = (score[None] >= score[:, None]) & (cost[None] <= cost[:, None])
    better &= (score[None] > score[:, None]) | (cost[None] < cost[:, None])
    return ~better.any(1)


def measured(bottom: ms.Network, top: ms.Network, data: ms.Data, fit: int) -> pl.DataFrame:
    """Every seam: its error, penalty and interval, the residual of its map, and what it costs."""
    found = ms.matrix(bottom, top, data, samples=fit, device="cpu")
    residuals = found.frame.filter(metric="r2").select(*KEYS, r2="value")
    return (
        found.front(bottom, top, rounds=1)
        .frame.drop_nulls("bottom_layer")
        .join(residuals, on=KEYS)
        .with_columns(right=-pl.col("error"))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=Path, help="folder of NAME.safetensors; by default networks of the zoo")
    parser.add_argument("--import", dest="file", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--pairs", default="zoo:small-resnet?width=8:zoo:small-resnet?width=4")
    for name, size in (("fit", 2000), ("val", 1000), ("test", 2000)):
        parser.add_argument(f"--{name}", type=int, default=size)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = ms.load_data(given.data).shorter(val=given.val, test=given.test)
    parts = []
    for pair in given.pairs.split(","):
        bottom, top = opened(pair, given, data)
        truth = measured(bottom, top, data, given.fit)
        found = scores(bottom, top, data, truth, given.fit, given.val)
        parts.append(f"{bottom.name} under {top.name}, {len(truth)} seams, {bottom.name} {_least(truth)}:")
        parts.append(table(("rule", "entries", "front", "kept", "regret, points"), judged(truth, found)))
    write(
        "seams",
        "Good seams, found before they are measured",
        [*parts, (__doc__ or "").split("\n\n", 2)[2].replace("``", "`")],
    )


def _least(truth: pl.DataFrame) -> str:
    row = truth.row(int(truth["right"].arg_max()), named=True)
    return f"@{row['bottom_layer']} -> @{row['top_layer']} best with {row['error']:.1f} % error"


def opened(pair: str, given: argparse.Namespace, data: ms.Data) -> tuple[ms.Network, ms.Network]:
    """The two networks of a pair, BOTTOM:TOP."""
    if given.networks is None:
        names = [f"zoo:{name}" for name in pair.removeprefix("zoo:").split(":zoo:")]
        bottom, top = (load_for(data, name).named(side) for name, side in zip(names, ("bottom", "top")))
        return bottom, top
    register(given.file)
    found, _, _ = networks(given.networks, data)
    bottom, top = pair.split(":")
    return found[bottom], found[top]


if __name__ == "__main__":
    main()
