"""Records as a study would write them, with numbers made up by a formula; no network is involved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from modelstitch.records.answers import pack
from modelstitch.support.hashing import cell_hash

LAYERS = ("stem", "stage1.0", "stage2.0", "stage3.0", "pool", "fc_in")
CONTROLS = ("pair", "self", "random", "identity", "class-noise", "shuffled")
MORE = (*CONTROLS, "recalibration", "class-noise-strong")


def expected(control: str, depth: float, seed: int = 0) -> float:
    """The picture that the paper leads one to expect, in points."""
    wiggle = 0.25 * ((int(depth * 60) * 7 + seed * 3) % 5 - 2)
    return {
        "pair": 1.2 * depth * (1.2 - depth) * 2 + 0.3 * wiggle,
        "self": 0.2 + 0.2 * wiggle,
        "random": 0.8 + 45 * depth**2,
        "identity": 84 + 4 * wiggle,
        "class-noise": 70 * (1 - depth) ** 1.5 + 6,
        "shuffled": 88 + wiggle,
        "recalibration": 60 + wiggle,
        "class-noise-strong": 80 * (1 - depth) + 12,
    }[control]


def make_records(
    donors: Sequence[str] = ("seed0", "seed1", "rotation"),
    *,
    layers: Sequence[str] = LAYERS,
    controls: Sequence[str] = CONTROLS,
    penalty: Callable[[str, float, int], float] = expected,
    families: Sequence[str] = ("affine",),
    half: float = 0.9,
    full_matrix: bool = False,
    ood: float = 1.1,
    relative_mse: float = 0.2,
    interval: bool = True,
    seeds: Sequence[int] = (0,),
    samples: Sequence[int | None] = (None,),
    examples: int = 0,
    errors: tuple[float, float] = (3.6, 3.1),
) -> list[dict[str, Any]]:
    """Every ordered pair at every matching layer, with its controls."""
    records = {}
    for top in donors:
        for bottom in donors:
            for control in controls:
                if (control == "self") != (bottom == top):
                    continue
                for i, low in enumerate(layers):
                    for j, high in enumerate(layers):
                        if i != j and not (full_matrix and control == "pair"):
                            continue
                        for family in families if control == "pair" else families[-1:]:
                            for seed, asked in product(seeds, samples):
                                depth = (j + 1) / len(layers)
                                worth = penalty(control, depth, seed) + 12 * abs(i - j)
                                if penalty is expected and control == "random":
                                    worth *= 1 + 0.08 * donors.index(bottom)
                                if control == "pair" and len(families) > 1:
                                    worth += 20 * (len(families) - 1 - families.index(family))
                                name = control if control.startswith("class-noise") else bottom
                                record = _record(
                                    (name, low, i),
                                    (top, high, j),
                                    len(layers),
                                    control,
                                    family,
                                    seed,
                                    worth,
                                    half if interval else None,
                                    ood,
                                    relative_mse,
                                    len(donors),
                                    asked,
                                    examples,
                                    errors,
                                )
                                records[record["cell"]] = record
    return list(records.values())


def _examples(penalty: float, n: int, seed: int) -> dict[str, Any]:
    """Examples whose mean penalty is nearest to the wanted one; another seed errs on others."""
    wrong = np.random.default_rng(seed).permutation(n) < round(abs(penalty) * n / 100)
    some, none = 100.0 * wrong, np.zeros(n)
    return pack(*((some, none) if penalty > 0 else (none, some)), np.ones(n), "points")


def _record(
    bottom: tuple[str, str, int],
    top: tuple[str, str, int],
    n: int,
    control: str,
    family: str,
    seed: int,
    penalty: float,
    half: float | None,
    ood: float,
    relative_mse: float,
    donors: int,
    samples: int | None,
    examples: int,
    errors: tuple[float, float] = (3.6, 3.1),
) -> dict[str, Any]:
    ends = [
        {"name": name, "fingerprint": f"{name}-print", "layer": layer, "depth": (i + 1) / n, "index": i}
        for name, layer, i in (bottom, top)
    ]
    if control.startswith("class-noise"):
        ends[0]["depth"] = ends[0]["index"] = None
    config = {
        "bottom": ends[0],
        "top": ends[1],
        "family": "identity" if control in ("identity", "recalibration") else family,
        "objective": "none" if control == "identity" else "task",
        "init": "closed",
        "control": control,
        "seed": seed,
        "data": {
            "name": "digits",
            "fingerprint": "d1",
            "fit": 1077,
            "val": 360,
            "test": 360,
            "augment": "none",
        },
        "normalisation": "frozen",
        "fit": {"batch_size": 128, "steps": 200, "learning_rate": 0.001, "samples": samples},
    }

    def metric(name: str, value: float, unit: str, wide: float | None = None) -> dict[str, Any]:
        low, high = (None, None) if wide is None else (value - wide, value + wide)
        return {"metric": name, "value": value, "low": low, "high": high, "unit": unit}

    sizes = {"identity": 0, "orthogonal": 300, "affine": 1056}
    return {
        "version": 1,
        "cell": cell_hash(config),
        "config": config,
        "metrics": [
            metric("penalty", penalty, "points", half),
            metric("error", 3.1 + penalty, "percent"),
            metric("top_error", errors[1], "percent"),
            metric("bottom_error", errors[0], "percent"),
            metric("chance_error", 90.0, "percent"),
            metric("agreement_top", max(5.0, 97 - penalty), "percent", half),
            metric("agreement_bottom", max(5.0, 95 - penalty), "percent", half),
            metric("relative_mse", relative_mse, ""),
            metric("r2", 1 - penalty / 120, ""),
            metric("cka", 1 - penalty / 150, ""),
            metric("ood", ood, "ratio"),
            metric("parameters", sizes.get(config["family"], 1056), "count"),
        ],
        "correct": "gA==",
        **({"examples": _examples(penalty, examples, seed)} if examples else {}),
        "notes": ["stopped: no gain in 5 looks"] if control == "pair" else [],
        "provenance": {
            "modelstitch": "0.1.0",
            "torch": "2.10.0",
            "python": "3.12.1",
            "device": "cpu",
            "threads": 2,
            "platform": "Linux x86_64",
            "date": "2026-11-03T10:00:00",
            "seconds": 1.25,
        },
    }
