"""Figure 2B's claims, on records made by hand: trained here, and at ImageNet's size on the user's own networks."""

import pytest
from rows import curve

from modelstitch.paper import fig2b
from modelstitch.paper.curves import Curves

LOW, MIDDLE, HIGH = ([(d, v, v - 1, v + 1) for d in (0.3, 0.6)] for v in (2.0, 8.0, 20.0))


def judged(figure, claim, rows):
    return figure.claims[claim].judge(Curves(rows, "honest")).word


@pytest.mark.parametrize(("claim", "other"), [(1, fig2b.RANDOM), (2, fig2b.ROTATION), (3, fig2b.FEW)])
def test_contrasting_views_serves_better_than_others(claim, other):
    assert judged(fig2b.FIGURE, claim, curve(fig2b.SIMCLR.label, *LOW) + curve(other.label, *HIGH)) == "holds"
    assert judged(fig2b.FIGURE, claim, curve(fig2b.SIMCLR.label, *HIGH) + curve(other.label, *LOW)) == "contrary"


def test_all_networks_without_labels_stitch_or_it_does_not_hold():
    near = curve(fig2b.SIMCLR.label, *LOW) + curve(fig2b.VICREG.label, *LOW)
    assert judged(fig2b.FIGURE, 0, near) == "holds"
    assert (
        judged(fig2b.FIGURE, 0, curve(fig2b.SIMCLR.label, *LOW) + curve(fig2b.VICREG.label, *MIDDLE)) == "holds in part"
    )


def test_the_users_own_networks_are_named_by_their_files():
    models = {model.file for line in fig2b.IMAGENET.lines for model in (line.bottom, line.top)}
    assert models == {"DINO", "SwAV", "SimCLR", "supervised"}
    rows = curve("DINO bottom", *LOW) + curve("DINO bottom", *HIGH, control="random")
    assert judged(fig2b.IMAGENET, 1, rows) == "holds"
