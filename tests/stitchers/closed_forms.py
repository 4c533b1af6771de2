"""Problems in float64 for closed forms, and what their answers are held against."""

from __future__ import annotations

import numpy as np
import torch

from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Site, family_of


def sides(p, q, n=400, offset=5.0, noise=0.4, seed=0):
    r = np.random.default_rng([seed, p, q])
    x = r.normal(size=(n, p)) * r.uniform(0.3, 3, size=p) + offset
    y = np.maximum(x, offset) @ r.normal(size=(p, q)) / np.sqrt(p) + noise * r.normal(size=(n, q)) - offset
    return x, y


def solve(text, x, y):
    cls, options = family_of(text)
    site = Site(x.shape[1], y.shape[1], "vector")
    return cls.solve(Moments.of(torch.from_numpy(x), torch.from_numpy(y)), site, **options).eval()


def predict(stitcher, x):
    with torch.no_grad():
        return stitcher(torch.from_numpy(x)).numpy()


def mse(text, x, y):
    return float(np.square(predict(solve(text, x, y), x) - y).mean())


def affine(x, y):
    design = np.column_stack([x, np.ones(len(x))])
    return design @ np.linalg.lstsq(design, y, rcond=None)[0]


def centred(x, y):
    return x - x.mean(0), y - y.mean(0)
