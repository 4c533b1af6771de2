"""Figure 9: layers that need few samples can be taken from a network that saw few, and kept while the rest is trained."""

from __future__ import annotations

from .claims import Place, amount, counted
from .curves import Curves
from .figure import Claim, Figure, Line, Model, Probe, Verdict

FEW, ALL = Model(samples="little", seed=1), Model(seed=0)
SETS = ("first", "last", "first and last")
KEPT = Probe("freeze", "from little data", (FEW,), {"sets": list(SETS)})
RANDOM = Probe("freeze", "from a random network", (Model(seed=1, change="re-initialised"),), {"sets": list(SETS)})
PAIR = Line("little data under all", FEW, ALL)
LEVEL = 3.0


def _cheap(curves: Curves) -> Verdict:
    whole = curves.errors(ALL.name)
    few = curves.errors(FEW.name)
    places = [
        Place(
            p.value - sum(whole) / len(whole) <= LEVEL,
            f"{amount(p)} % with the layers '{p.layer}' kept, against {whole[0]:.1f} % (all trained on all data) and "
            f"{few[0]:.1f} % (on little data)",
            p.value,
        )
        for p in curves.points(KEPT.label, "error", "freeze")
        if whole and few
    ]
    return counted(places, f"Within {LEVEL:g} points of the network trained on all data")


def _not_by_chance(curves: Curves) -> Verdict:
    random = {p.layer: p for p in curves.points(RANDOM.label, "error", "freeze")}
    places = [
        Place(
            p.high < random[p.layer].low,
            f"{amount(p)} % against {amount(random[p.layer])} % ({p.layer})",
            p.value - random[p.layer].value,
        )
        for p in curves.points(KEPT.label, "error", "freeze")
        if p.layer in random
    ]
    return counted(places, "Lower than with the same layers from a random network")


FIGURE = Figure(
    "9",
    "Freeze-training",
    "CIFAR-10, ResNet-18: the first two and last three layers from a network trained on 5K samples, frozen, the rest trained on "
    "50K. The paper ends at about 10.6 % error, against 8.3 % (all trained on 50K) and 52 % (on 5K).",
    (
        Claim(
            "Some layers need few samples: kept from a network that saw few, they cost little.",
            f"a set of layers that costs more than {LEVEL:g} points",
            _cheap,
        ),
        Claim(
            "They hold what was learned: the same layers from a random network cost more.",
            "a set of layers that costs as little from a random network",
            _not_by_chance,
        ),
    ),
    (PAIR,),
    (KEPT, RANDOM),
    drawing="errors",
    notes=(
        "First: up to the scale's early layer; last: from its late layer on, the head included. All other parts are drawn anew, "
        "asserted. The random network is a control of ours.",
    ),
)
