"""Maps of arrays and of seams beside those of latentis 0.0.8, where both compute the same.

latentis is no dependency of this project: it asks for packages that nothing here needs. In an environment of its own,
with this project in it: pip install latentis==0.0.8, then python benchmarks/beside_latentis.py
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
from side_by_side import table, write
from torch import Tensor, nn

import modelstitch as ms

WIDTHS = ((32, 32), (24, 40), (40, 24))
ANCHORS = (100, 1000)
HELD_OUT = 200
Map = Callable[[Tensor], Tensor]


RIDGED = ("affine", "l-ortho")  # eased by a millionth of the mean eigenvalue unless they are told not to be


def theirs() -> dict[str, Callable[[Tensor, Tensor], Map]]:
    """What latentis makes of anchors, by our names of the families."""
    from latentis.transform.base import Centering
    from latentis.transform.dim_matcher import ZeroPadding
    from latentis.transform.projection import cosine_proj, relative_projection
    from latentis.transform.translate.aligner import MatrixAligner, Procrustes, Translator
    from latentis.transform.translate.functional import lstsq_align_state, lstsq_ortho_align_state, svd_align_state

    def translated(state: Callable[..., dict[str, Tensor]] | None, x: Tensor, y: Tensor) -> Map:
        """A translator of latentis, its own Procrustes without a state."""
        if state is None:
            made = Procrustes()
        else:
            pad = ZeroPadding() if state is svd_align_state else None
            aligner = MatrixAligner(name="of anchors", align_fn_state=state)
            made = Translator(aligner, x_transform=Centering(), y_transform=Centering(), dim_matcher=pad)
        made.fit(x, y)
        return lambda rows: made.transform(rows)[0]

    def read(x: Tensor, y: Tensor) -> Map:
        """Relative representations of latentis, read among the other anchors, as long as those are on the mean."""
        length, ways = y.norm(dim=1).mean(), y / y.norm(dim=1, keepdim=True)

        def through(rows: Tensor) -> Tensor:
            found = relative_projection(rows, anchors=x, projection_fn=cosine_proj)
            return length * torch.linalg.lstsq(ways, found.T, driver="gelsd").solution.T

        return through

    states = {
        "affine": lstsq_align_state,
        "affine:0": lstsq_align_state,
        "orthogonal": svd_align_state,
        "l-ortho": lstsq_ortho_align_state,
        "l-ortho:0": lstsq_ortho_align_state,
        "standard-orthogonal": None,
    }
    return {**{family: partial(translated, state) for family, state in states.items()}, "relative": read}


def network(width: int, seed: int) -> ms.Network:
    """Random weights will do: the maps are compared, not the networks."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, width), nn.Linear(width, 10))
    return ms.Network(module.eval(), torch.randn(2, 64), f"net{seed}", weights="random")


def digits(anchors: int) -> tuple[Tensor, ms.Data]:
    """Held-out digits as rows of 64 numbers, and data whose fit samples are the anchors."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = torch.tensor(bunch.data, dtype=torch.float32) / 16, torch.tensor(bunch.target)
    cut = slice(0, anchors), slice(anchors, anchors + HELD_OUT), slice(anchors + HELD_OUT, anchors + 2 * HELD_OUT)
    parts = [(x[at], y[at]) for at in cut]
    return parts[2][0], ms.Data(fit=parts[0], val=parts[1], test=parts[2], name="digits")


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, in standard deviations of what was to be found."""
    return float((one.double() - other).abs().max() / other.std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    torch.set_num_threads(1)
    body, worst, others = [], 0.0, theirs()
    for (p, q), anchors in product(WIDTHS, ANCHORS):
        bottom, top = network(p, 0), network(q, 1)
        held, data = digits(anchors)
        with torch.no_grad():
            given = torch.cat([batch.inputs for batch in data.batches("fit", 500)])
            x, y, rows = bottom.bottom("2")(given), top.bottom("2")(given), bottom.bottom("2")(held)
        for family, made in others.items():
            wanted = made(x.double(), y.double())(rows.double())
            array = ms.align(x.double(), y.double(), family).transform(rows.double().numpy())
            s = ms.stitch(bottom, top, at="2", data=data, family=family, objective="match", device="cpu")
            with torch.no_grad():
                seam = s.stitcher(rows)
            found = apart(torch.from_numpy(np.asarray(array)), wanted), apart(seam, wanted)
            worst = max(worst, *found) if family not in RIDGED else worst
            body.append((family, f"{p} -> {q}", f"{anchors:,}", *(f"{value:.1e}" for value in found)))
            print(*body[-1], flush=True)
    version = importlib.metadata.version("latentis")
    write(
        "beside-latentis",
        f"The same maps by latentis {version}",
        [
            "Layers of two networks over scikit-learn's digits, of equal and of unequal widths; the anchors are all "
            f"fit samples, and {HELD_OUT} others are mapped. *Arrays* is `ms.align` in double precision, *seam* the "
            "stitcher of `ms.stitch(..., objective='match')` in single precision. Each is held against latentis in "
            "double precision: `lstsq_align`, `svd_align` (with its zero padding between unequal widths) and "
            "`lstsq_ortho_align` of centred rows, its `Procrustes` (*standard-orthogonal*), and its cosines to "
            "anchors, read among the other side's by least squares (*relative*; it has no such way back itself). "
            "Anchors are more than columns: of fewer, an affine map is not the only one that fits.",
            "Largest difference, in standard deviations of what latentis gives: at most "
            f"{worst:.0e} where both compute the same. *affine* and *l-ortho* do not quite: they ease least squares by "
            "a millionth of the mean eigenvalue, which tames collinear columns and shows where columns are nearly so, "
            "as here; `affine:0` and `l-ortho:0` take the ridge away.",
            table(("family", "widths", "anchors", "arrays", "seam"), body),
        ],
    )


if __name__ == "__main__":
    main()
