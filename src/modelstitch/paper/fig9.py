"""Figure 9: layers that need few samples can come from a network that saw few, while the rest is trained."""

from __future__ import annotations

from ..report import Point, number
from .claims import RANGES, Finding, amount, at_most, beneath, counted, looked, unmeasured
from .curves import Curves, Series
from .figure import Claim, Figure, Line, Model, Probe, Verdict

FEW, ALL = Model(samples="little", seed=1), Model(seed=0)
SETS = ("first", "last", "first and last")
KEPT = Probe("freeze", "from little data", (FEW,), {"sets": list(SETS)})
RANDOM = Probe("freeze", "from a random network", (Model(seed=1, change="re-initialised"),), {"sets": list(SETS)})
PAIR = Line("little data under all", FEW, ALL)
LEVEL = 3.0


def _errors(probe: Probe) -> Series:
    return Series(probe.label, "error", "freeze")


def _cheap(curves: Curves) -> Verdict:
    """Held against the mean of all networks of their kind, as the mean over freeze-trainings is one over several."""
    whole, few = curves.errors(ALL.name), curves.errors(FEW.name)
    if not whole or not few:
        return unmeasured(*(m.name for m, found in ((ALL, whole), (FEW, few)) if not found))
    all_data, little = sum(whole) / len(whole), sum(few) / len(few)

    def test(p: Point) -> Finding:
        words = (
            f"{amount(p)} % with the layers '{p.layer}' kept, against {number(all_data)} % (all trained on all data) "
            f"and {number(little)} % (on little data)"
        )
        return at_most(p.low - all_data, p.high - all_data, LEVEL, words)

    places = looked(curves, test, _errors(KEPT))
    return counted(places, f"Within {LEVEL:g} points of the network trained on all data")


FIGURE = Figure(
    "9",
    "Freeze-training",
    "CIFAR-10, ResNet-18: the first two and last three layers from a network trained on 5K samples, frozen, the rest "
    "trained on 50K. The paper ends at about 10.6 % error, against 8.3 % (all trained on 50K) and 52 % (on 5K).",
    (
        Claim(
            "Some layers need few samples: kept from a network that saw few, they cost little.",
            f"a set of layers that costs more than {LEVEL:g} points",
            _cheap,
        ),
        Claim(
            "They hold what was learned: the same layers from a random network cost more.",
            "a set of layers that costs as little from a random network",
            beneath(
                _errors(KEPT),
                _errors(RANDOM),
                "Lower than with the same layers from a random network",
                lambda kept, random: f"{amount(kept)} % against {amount(random)} % ({kept.layer})",
                beyond=RANGES,
            ),
        ),
    ),
    (PAIR,),
    (KEPT, RANDOM),
    drawing="errors",
    notes=(
        "First: up to the scale's early layer; last: from its late layer on, the head included. All other parts are "
        "drawn anew, asserted. The random network is a control of ours.",
    ),
)
