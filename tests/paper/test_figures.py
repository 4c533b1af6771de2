"""Every figure is whole: it loads without torch, its claims judge, its names are its own."""

import subprocess
import sys

import pytest

from modelstitch.errors import StudyError
from modelstitch.paper import values
from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.curves import Curves
from modelstitch.paper.figure import Model, turned
from modelstitch.paper.probes import KINDS
from modelstitch.paper.scales import SCALES


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_it_claims_and_what_would_refute_it(name):
    shown = figure(name)
    assert shown.name == name
    assert shown.claims
    labels = [line.label for line in shown.lines] + [probe.label for probe in shown.probes]
    assert len(labels) == len(set(labels))
    for claim in shown.claims:
        assert claim.text.endswith(".")
        assert claim.refuted_by
        assert not claim.refuted_by.endswith(".")
        assert claim.judge(Curves([], "honest")).word == "not measured"
    for scale in SCALES.values():
        for model in (m for line in shown.lines for m in (line.bottom, line.top) if not m.file):
            assert scale.net(model.net)
    for line in shown.lines:
        assert not line.paper or values.series(line.paper), line.paper
    for probe in shown.probes:
        assert probe.kind in KINDS
        assert not probe.paper or values.series(probe.paper), probe.paper


class Asked(Curves):
    """Notes which curves a judge looks at; all of them are empty."""

    def __init__(self):
        super().__init__([], "honest")
        self.names = set()

    def select(self, line, control="pair"):
        self.names.add(line)
        return []


@pytest.mark.parametrize("name", FIGURES)
def test_a_claim_names_only_curves_that_its_protocols_have(name):
    """A curve that one protocol does not have would count as missing there."""
    shown = figure(name)
    for claim in shown.claims:
        asked = Asked()
        claim.judge(asked)
        for protocol in claim.protocols:
            assert asked.names <= {part.label for part in (*shown.lines, *shown.probes) if protocol in part.protocols}


def test_figures_load_without_torch():
    code = (
        "import sys\nfrom modelstitch.paper.catalogue import FIGURES, figure\nfrom modelstitch.paper import gallery\n"
        "[figure(n) for n in FIGURES]\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_different_models_have_different_names():
    kinds = [
        Model(), Model(seed=1), Model("half"), Model(samples=0.5), Model(samples=0.5, part=1), Model(labels="random-10"),
        Model(samples="some"), Model(samples="some", part=1), Model(time=2.0), Model(time=2.0, at=1.0), Model(method="simclr"), Model(change="re-initialised"),
    ]  # fmt: skip
    assert len({m.name for m in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("other", "repeats", "seeds"),
    [
        ({"method": "simclr"}, 1, [(1, 0)]), ({"method": "simclr"}, 2, [(1, 0), (0, 1)]),
        ({"method": "simclr"}, 3, [(1, 0), (2, 1), (0, 2)]),
        ({}, 1, [(1, 0)]), ({}, 2, [(1, 0), (2, 1)]), ({}, 3, [(1, 0), (2, 1), (0, 2)]),
        ({}, 4, [(1, 0), (2, 1), (3, 2), (0, 3)]),
    ],
)  # fmt: skip
def test_seeds_go_round_between_repeats_and_no_pair_comes_twice(other, repeats, seeds):
    pair = (Model(seed=1, **other), Model(seed=0))
    found = [tuple(m.seed for m in turned(pair, r, repeats)) for r in range(repeats)]
    assert found == seeds


def test_a_network_alone_and_one_of_the_users_own_turn_as_they_can():
    assert [turned((Model(seed=1),), r, 2)[0].seed for r in range(2)] == [1, 0]
    own = (Model(file="DINO"), Model(file="supervised"))
    assert turned(own, 1, 2) == own


@pytest.mark.parametrize(
    ("name", "text"),
    [("1", "cartoon"), ("2d", "did you mean '2"), ("nothing at all", "expected one of 2a, 2b")],
)
def test_other_names_are_refused(name, text):
    with pytest.raises(StudyError, match=text):
        figure(name)
