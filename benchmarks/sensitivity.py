"""A map solved in the metric of what the top uses, beside least squares at the seam: penalty from few images.

Gauss-Newton on the top's own logits: each step solves least squares of (its logits - stitched logits) in the map's
parameters, with the top linearised at every image, so that an error at the seam counts as far as the top feels it.

python benchmarks/sensitivity.py --data ../shared/data/cifar10 --networks ../shared/data/networks
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from few_anchors import OWN, network
from side_by_side import table, write
from torch import Tensor

import modelstitch as ms
from modelstitch.stats.bootstrap import interval, means
from modelstitch.stitchers.base import Site

SEAMS = (("tiny10-0", "tiny10-1", "bn2"), ("resnet56", "resnet44", "layer1"))
DAMPING = 1e-2  # of the mean of the squared sensitivities
STEPS, TRIALS = 3, 4
BATCH = 100


def stacked(part: torch.nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([part(batch) for batch in images.split(BATCH)])


def affine(x: Tensor, y: Tensor) -> Tensor:
    """(q, p + 1): least squares at the seam, the shift last."""
    rows = [side.movedim(1, -1).reshape(-1, side.shape[1]) for side in (x, y)]
    found = ms.stitchers.Affine.solve(ms.moments.Moments.of(*rows), Site(x.shape[1], y.shape[1], "map"))
    return torch.cat([found.weight, found.bias[:, None]], 1).detach()


def mapped(w: Tensor, x: Tensor) -> Tensor:
    """The map (q, p + 1), or one for each image (n, q, p + 1), at every position."""
    maps = w if w.ndim == 3 else w[None]
    y = torch.einsum("nqp,nphw->nqhw" if w.ndim == 3 else "kqp,nphw->nqhw", maps[..., :-1], x)
    return y + maps[..., -1][..., None, None]


def sensitivities(tail: torch.nn.Module, w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, classes), and their derivatives by the map's parameters, (n, classes, parameters)."""
    logits, slopes = [], []
    for part in x.split(BATCH):
        own = w.expand(len(part), *w.shape).clone().requires_grad_()
        with torch.enable_grad():
            found = tail(mapped(own, part))
            rows = [torch.autograd.grad(found[:, c].sum(), own, retain_graph=True)[0] for c in range(found.shape[1])]
        logits.append(found.detach())
        slopes.append(torch.stack([row.flatten(1) for row in rows], 1))
    return torch.cat(logits), torch.cat(slopes)


def weighted(tail: torch.nn.Module, x: Tensor, wanted: Tensor, start: Tensor) -> Tensor:
    """Gauss-Newton from the least-squares map; a step that comes no nearer on the fit images is damped more."""
    spread = torch.cat([x.movedim(1, -1).reshape(-1, x.shape[1]).std(0).clamp(min=1e-6), torch.ones(1)])
    scale, w, damping = spread.repeat(start.shape[0]), start, DAMPING  # parameters in units of what they move
    for _ in range(STEPS):
        logits, slopes = sensitivities(tail, w, x)
        j, away = (slopes.flatten(0, 1) / scale).double(), (wanted - logits).flatten().double()
        normal, back = j.T @ j, j.T @ away
        for _ in range(TRIALS):
            eased = normal + damping * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64)
            tried = w + (torch.linalg.solve(eased, back).float() / scale).view_as(w)
            if float((wanted - stacked(tail, mapped(tried, x))).square().sum()) < float(away.square().sum()):
                w, damping = tried, damping / 3
                break
            damping *= 10
        else:
            break
    return w


def errors(logits: Tensor, labels: Tensor) -> np.ndarray:
    return 100.0 * (logits.argmax(1) != labels).double().numpy()


def shown(stitched: np.ndarray, own: np.ndarray) -> str:
    draws = means([stitched - own], np.ones(len(own)))
    low, high = interval(draws[:, 0])
    return f"{(stitched - own).mean():+.1f} [{low:.1f}, {high:.1f}]"


def rows_of(
    bottom: ms.Network, top: ms.Network, layer: str, fit: Tensor, test: Tensor, labels: Tensor, sizes: list[int]
) -> list[tuple[str, ...]]:
    below, above, tail = bottom.bottom(layer), top.bottom(layer), top.top(layer)
    views = [net.view or (lambda x: x) for net in (bottom, top)]
    x, y = stacked(below, views[0](fit)), stacked(above, views[1](fit))
    wanted, own = stacked(tail, y), errors(stacked(tail, stacked(above, views[1](test))), labels)
    x_test = stacked(below, views[0](test))
    rows = []
    for n in sizes:
        plain = affine(x[:n], y[:n])
        maps = plain, weighted(tail, x[:n], wanted[:n], plain)
        cells = [shown(errors(stacked(tail, mapped(w, x_test)), labels), own) for w in maps]
        rows.append((f"{bottom.name} -> {top.name}, {layer}", f"{n:,}", *cells))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--seams", type=int, default=len(SEAMS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ms.register(OWN / "networks.py")
    data = ms.load_data(f"parquet:{chosen.data}", limit=max(chosen.test, 2 * max(chosen.sizes)))
    fit = next(data.batches("fit", max(chosen.sizes))).inputs
    test = next(data.batches("test", chosen.test))
    rows = []
    for one, two, layer in SEAMS[: chosen.seams]:
        nets = [network(name, chosen.networks) for name in (one, two)]
        rows += rows_of(*nets, layer, fit, test.inputs, test.labels, chosen.sizes)
    write(
        "sensitivity",
        "Least squares at the seam, and in the metric of what the top uses",
        [
            "Affine maps from few images without labels. *Least squares* counts every error at the seam alike. "
            f"*Gauss-Newton* takes at most {STEPS} steps from there in the metric of the top's own logits. Penalty in "
            f"points on {len(test.labels):,} test images, with 95 % intervals over them.",
            table(("seam", "images", "least squares", "Gauss-Newton"), rows),
        ],
    )


if __name__ == "__main__":
    main()
