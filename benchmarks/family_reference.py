"""A family of trained networks by `similarity` and `compare`, held against a slow float64 computation of its own.

python benchmarks/family_reference.py --networks NETWORKS --data parquet:CIFAR10

The reference runs the networks' own modules in double precision and takes activations by hooks. Measures and maps are
written out in numpy; a stitched model is the whole top whose layer is replaced by a hook. It imports nothing of the
package's mathematics.
"""

from __future__ import annotations

import argparse
import copy
import tomllib
from collections import defaultdict
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from side_by_side import table, write
from torch import Tensor, nn

import modelstitch as ms
from modelstitch.zoo.nets import build

OWN = Path(__file__).parent.parent / "docs" / "results" / "paper" / "own"
MEASURES = ("cka_linear_debiased", "cca_mean_squared", "procrustes_distance", "r2_bottom_to_top")
RIDGE = 1e-6  # of the mean eigenvalue, as the family "affine" says of itself


class Reference:
    """The networks' modules in double precision, on two sets of images."""

    def __init__(self, donors: dict[str, Any], modules: dict[str, nn.Module], images: dict[str, Tensor]) -> None:
        self.donors, self.images = donors, images
        self.modules = {name: copy.deepcopy(module).double().eval() for name, module in modules.items()}

    def input(self, name: str, split: str) -> Tensor:
        """Images as a network sees them."""
        seen = [torch.tensor(self.donors[name][key], dtype=torch.float64) for key in ("mean", "std")]
        mean, std = (value[:, None, None] for value in seen)
        return (self.images[split].double() - mean) / std

    @cache  # noqa: B019
    def activations(self, name: str, split: str, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """What layers hold, and under "" the output."""
        found: dict[str, Tensor] = {}
        module = self.modules[name]
        hooks = [
            module.get_submodule(layer).register_forward_hook(
                lambda _, __, value, layer=layer: found.__setitem__(layer, value.clone())
            )
            for layer in layers
        ]
        with torch.no_grad():
            found[""] = module(self.input(name, split))
        for hook in hooks:
            hook.remove()
        return found

    def replaced(self, name: str, split: str, layer: str, value: Tensor) -> Tensor:
        """The output of a network whose layer gives another value."""
        hook = self.modules[name].get_submodule(layer).register_forward_hook(lambda *_: value)
        with torch.no_grad():
            output: Tensor = self.modules[name](self.input(name, split))
        hook.remove()
        return output


def brought(x: Tensor, like: Tensor) -> Tensor:
    """Maps (n, c, h, w) at the positions of others: areas are averaged down, corners interpolated up.

    Vectors (n, c) are means over positions, and stand at each of them.
    """
    if x.shape[2:] == like.shape[2:]:
        return x
    if like.ndim == 2:
        return x.flatten(2).mean(2)
    if x.ndim == 2:
        return x[:, :, None, None].expand(-1, -1, *like.shape[2:])
    if x.shape[2] >= like.shape[2]:
        return F.adaptive_avg_pool2d(x, tuple(like.shape[2:]))
    return F.interpolate(x, size=tuple(like.shape[2:]), mode="bilinear", align_corners=False)


def rows(x: Tensor) -> np.ndarray:
    """Every position as a row."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]).numpy()


def pooled(x: Tensor) -> np.ndarray:
    """Every example as a row: the mean over its positions, centred."""
    mean = x.flatten(2).mean(2).numpy() if x.ndim > 2 else x.numpy()
    return mean - mean.mean(0)


def ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The affine map from rows x to rows y."""
    mean_x, mean_y, std = x.mean(0), y.mean(0), x.std(0)
    alive = std > 0
    z = (x - mean_x)[:, alive] / std[alive]
    square = z.T @ z
    square[np.diag_indices_from(square)] += RIDGE * np.trace(square) / len(std)
    weight = np.zeros((y.shape[1], x.shape[1]))
    weight[:, alive] = np.linalg.solve(square, z.T @ (y - mean_y)).T / std[alive]
    return weight, mean_y - weight @ mean_x


def unbiased(k: np.ndarray, m: np.ndarray) -> float:
    """The unbiased estimate of HSIC from Gram matrices without their diagonals."""
    n = len(k)
    total = np.sum(k * m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ m.sum(0)) / (n - 2)
    return float(total / (n * (n - 3)))


def gram(x: np.ndarray) -> np.ndarray:
    """Products of all rows, without those of a row with itself."""
    found = x @ x.T
    np.fill_diagonal(found, 0)
    return found


def basis(x: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of x."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, s > 1e-8 * s[0]]


def measured(measure: str, x: np.ndarray, y: np.ndarray) -> float:
    """A measure of centred rows."""
    if measure == "cka_linear_debiased":
        k, m = gram(x), gram(y)
        return unbiased(k, m) / np.sqrt(unbiased(k, k) * unbiased(m, m))
    if measure == "procrustes_distance":
        cross = (x / np.linalg.norm(x)).T @ (y / np.linalg.norm(y))
        return 2 - 2 * float(np.linalg.svd(cross, compute_uv=False).sum())
    u = basis(x)
    if measure == "r2_bottom_to_top":
        return float(np.square(u.T @ y).sum() / np.square(y).sum())
    return float(np.square(np.linalg.svd(u.T @ basis(y), compute_uv=False)).mean())


def stitched(reference: Reference, seam: tuple[str, str, str, str], layers: dict[str, tuple[str, ...]], labels: Tensor):
    """What a closed form does: {metric: value}."""
    bottom, b, top, t = seam
    below, above = (reference.activations(n, "fit", layers[n])[at] for n, at in ((bottom, b), (top, t)))
    weight, bias = ridge(rows(brought(below, above)), rows(above))
    low, high = (reference.activations(n, "test", layers[n]) for n in (bottom, top))
    x = brought(low[b], high[t])
    value = (x.movedim(1, -1) @ torch.from_numpy(weight.T) + torch.from_numpy(bias)).movedim(-1, 1)
    wrong, own = (
        100 * float((output.argmax(1) != labels).double().mean())
        for output in (reference.replaced(top, "test", t, value), high[""])
    )
    s, y = rows(value), rows(high[t])
    return {
        "penalty": wrong - own,
        "error": wrong,
        "r2": 1 - float(np.square(s - y).sum() / np.square(y - y.mean(0)).sum()),
    }


def donors_in(folder: Path) -> tuple[dict[str, Any], dict[str, nn.Module]]:
    """What donors.toml says of the networks of others, and their modules with the weights in a folder."""
    spec = spec_from_file_location("networks", OWN / "networks.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    donors, modules = tomllib.loads((OWN / "donors.toml").read_text())["donors"], {}
    for name, donor in donors.items():
        modules[name] = getattr(made, donor["model"].partition(":")[2])()
        modules[name].load_state_dict(load_file(folder / donor["weights"]))
    return donors, modules


def small() -> tuple[dict[str, Any], dict[str, nn.Module]]:
    """Three small networks of two sizes for digits, with random weights."""
    kinds = {"one": 2, "two": 2, "three": 3}
    modules = {
        name: build(f"small-resnet?width=4&blocks={blocks}&in_channels=1", seed=seed)
        for seed, (name, blocks) in enumerate(kinds.items())
    }
    return {name: {"mean": [0.5], "std": [0.5]} for name in kinds}, modules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, help="a folder with the weights of donors.toml; small ones by default")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--fit", type=int, default=300, help="images that maps are solved from, and measures read")
    parser.add_argument("--test", type=int, default=100, help="images that stitches are measured on")
    parser.add_argument("--every", type=int, default=7, help="the reference takes every so manieth value")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    donors, modules = donors_in(chosen.networks) if chosen.networks else small()
    data = ms.load_data(chosen.data).subset(chosen.fit).shorter(val=20, test=chosen.test)
    fit, test = (next(data.batches(split, size)) for split, size in (("fit", chosen.fit), ("test", chosen.test)))
    networks = [
        ms.Network(module.eval(), fit.inputs[:2], name, view=ms.Normalise(donors[name]["mean"], donors[name]["std"]))
        for name, module in modules.items()
    ]
    similar = ms.similarity(networks, data=data, measures=list(MEASURES), shuffles=0, split="fit").similarities
    found = ms.compare(networks, data=data, objective="match", controls=[], pairs="all", augment=False).frame
    rows_of = found.filter(family="affine", control="pair") if "control" in found.columns else found
    values: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows_of.iter_rows(named=True):
        values[row["bottom"], row["bottom_layer"], row["top"], row["top_layer"]][row["metric"]] = row["value"]
    layers = {
        network.name: tuple(dict.fromkeys([at for n, at in ends(similar) if n == network.name])) for network in networks
    }
    reference = Reference(donors, modules, {"fit": fit.inputs, "test": test.inputs})
    off: dict[str, list[float]] = defaultdict(list)
    for row in similar[:: chosen.every]:
        x, y = (
            pooled(reference.activations(row[end], "fit", layers[row[end]])[row[f"{end}_layer"]])
            for end in ("bottom", "top")
        )
        off[row["measure"]].append(abs(row["value"] - measured(row["measure"], x, y)))
    for seam in list(values)[:: chosen.every]:
        own = stitched(reference, seam, layers, test.labels)
        for metric, value in own.items():
            off[metric].append(abs(values[seam][metric] - value))
    write(
        "family-reference",
        f"A family of {len(networks)} networks, held against a float64 computation of its own",
        [
            f"{len(networks)} networks ({', '.join(donors)}), all {len(networks) * (len(networks) - 1)} ordered pairs: "
            f"{len(similar):,} similarities of {chosen.fit} images, and {len(values):,} affine maps in closed form, "
            f"solved from these and measured on {chosen.test} others. The reference takes every {chosen.every}th of "
            "each.",
            table(
                ("value", "held against the reference", "largest difference", "median"),
                [(name, f"{len(d):,}", f"{max(d):.1e}", f"{np.median(d):.1e}") for name, d in off.items()],
            ),
            "Errors and penalties are in points of the test images, of which one more or less is "
            f"{100 / chosen.test:.2g}. The package runs networks in float32, as they are; the reference in float64. "
            "It runs the networks' own modules, takes activations by hooks, solves maps from all rows by "
            "`numpy.linalg.solve`, and stitches by a hook that replaces the layer's output within the whole top.",
        ],
    )


def ends(similar: Any) -> list[tuple[str, str]]:
    """All layers that similarities are of."""
    return [(row[end], row[f"{end}_layer"]) for row in similar for end in ("bottom", "top")]


if __name__ == "__main__":
    main()
