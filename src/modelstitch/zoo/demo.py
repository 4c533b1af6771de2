"""The main job on real data: three small donors on scikit-learn's digits, stitched at every block cut, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.data import Data
from ..data.load import load_data
from ..network import Network
from ..support.ahead import Ahead
from ..support.progress import Tell
from ..support.words import counted
from .donors import Donor, DonorSpec, a_step, donor, place_of
from .nets import build
from .selfsup import SIMCLR_DIGITS, SelfRecipe
from .train import SHORT_DIGITS, Recipe

NET = "small-resnet?width=24&blocks=4"
FIT: dict[str, Any] = {"steps": 40, "batch_size": 64, "eval_every": 20}


def donor_specs(seed: int) -> list[DonorSpec]:
    """Two seeds with labels, and one trained without labels under a linear classifier."""
    return [
        DonorSpec(NET, SHORT_DIGITS, seed=seed, name="seed A"),
        DonorSpec(NET, SHORT_DIGITS, seed=seed + 1, name="seed B"),
        DonorSpec(NET, SIMCLR_DIGITS, seed=seed + 2, name="SimCLR"),
    ]


def make_donors(out: Path, *, seed: int, tell: Tell | None = None) -> tuple[Data, list[Donor], list[Network]]:
    """The data, and the donors trained or read from the cache in ``out``."""
    data = load_data("digits")
    donors = []
    for spec in donor_specs(seed):

        def heard(done: int, loss: float, name: str = spec.name, total: int = _steps(spec)) -> None:
            if tell:
                tell(f"train {name}", done, total)

        donors.append(donor(spec, data, out / "donors", progress=heard))
    example = next(data.batches("val", 2)).inputs
    first = Network(donors[0].module, example, donors[0].name, weights=donors[0].weights)
    # One architecture: traced once, and used again with the other weights.
    return data, donors, [first, *(first.replaced(d.module, d.name, weights=d.weights) for d in donors[1:])]


def untrained(seed: int) -> tuple[Data, list[Network]]:
    """The data, and the networks as they are before they are trained: to say what is needed."""
    data, specs = load_data("digits"), donor_specs(seed)
    example = next(data.batches("val", 2)).inputs
    nets = [build(f"{spec.net}&in_channels=1&classes=10", seed=spec.seed) for spec in specs]
    first = Network(nets[0], example, specs[0].name)
    networks = [first, *(first.replaced(net, spec.name) for net, spec in zip(nets[1:], specs[1:]))]
    return data, networks


def training_ahead(out: Path, seed: int) -> Ahead:
    """What the donors that ``out`` does not keep take to train."""
    data, specs = load_data("digits"), donor_specs(seed)
    left = [spec for spec in specs if not place_of(spec, data, out / "donors").exists()]
    steps = sum(map(_steps, left))
    samples = sum(_steps(spec) * _base(spec).batch_size for spec in left)
    each = [a_step(spec, data) for spec in left]
    return Ahead(
        f"{counted(len(left), 'network')} to train, {counted(steps, 'step')} together",
        f"{samples / data.size('fit'):.3g} passes over {data.size('fit'):,} samples of fit",
        max((size for _, size in each), default=0),
        "the data",
        sum(_steps(spec) * seconds for spec, (seconds, _) in zip(left, each)),
        "from measured steps",
    )


def _base(spec: DonorSpec) -> Recipe:
    return spec.recipe.base if isinstance(spec.recipe, SelfRecipe) else spec.recipe


def _steps(spec: DonorSpec) -> int:
    return _base(spec).steps


PAIRS = (("seed A", "seed B"), ("seed B", "seed A"), ("SimCLR", "seed A"), ("seed A", "SimCLR"))
