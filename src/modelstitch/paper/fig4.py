"""Figure 4: the size of the map's kernel hardly matters."""

from __future__ import annotations

from ..report import Point
from .claims import Finding, Judge, amount, at_most, compared, counted, unmeasured
from .curves import Curves, Series
from .figure import Claim, Figure, Line, Model, Verdict

PAIR = Line("other seed", Model(seed=1), Model(seed=0), families=("kernels",), layers="three")
LEVEL = 1.0


def _flat(label: str) -> Judge:
    """Each larger kernel's penalty lies within LEVEL points of the 1x1 kernel's at that layer, interval included."""

    def judge(curves: Curves) -> Verdict:
        smallest, *larger = curves.families(label) or [""]

        def at(family: str) -> list[Finding]:
            def test(p: Point, more: Point) -> Finding:
                words = f"{amount(more)} more with {family} than with {smallest} at {p.layer}"
                return at_most(max(more.low, -more.high), max(more.high, -more.low), LEVEL, words)

            return compared(curves, test, Series(label, family=family), Series(label, family=smallest))

        places = [place for family in larger for place in at(family)]
        what = f"Within {LEVEL:g} point of the 1x1 map, interval included,"
        return counted(places, what) if smallest else unmeasured(label)

    return judge


def kernels(lines: tuple[Line, ...], notes: tuple[str, ...] = ()) -> Figure:
    """The figure on these curves."""
    return Figure(
        "4",
        "Kernel size of the stitcher",
        "CIFAR-10, ResNet-18, a pair of seeds at three layers, kernels of 1, 3, 5, 7 and 9. In the paper two of three "
        "curves are flat within half a point, one worsens by 1.3 points.",
        tuple(
            Claim(
                "The kernel size of the map has little effect." if at == 0 else f"The same: {line.label}.",
                f"a larger kernel that changes the penalty by more than {LEVEL:g} point",
                _flat(line.label),
            )
            for at, line in enumerate(lines)
        ),
        lines,
        drawing="families",
        notes=(
            "The maps are k x k convolutions under both protocols, in place of the map that is named over each table. "
            "Under the honest protocol a map starts from its closed form; under the paper's from a random draw. Both "
            "take steps in whitened coordinates, where the paper has BatchNorm on both sides of the kernel: in plain "
            "coordinates larger kernels are ahead because they fit faster.",
            *notes,
        ),
    )


FIGURE = kernels((PAIR,))
