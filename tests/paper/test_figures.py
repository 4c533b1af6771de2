"""Every figure is whole: it loads without torch, its claims judge, its names are its own."""

import subprocess
import sys

import pytest

from modelstitch.paper import values
from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.curves import Curves
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
