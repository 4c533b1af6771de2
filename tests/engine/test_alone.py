"""What donors do alone is told before anything is fitted, and what makes them doubtful."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.engine.alone import look
from modelstitch.stats.chance import unlearned
from modelstitch.support.progress import Teller

CPU = torch.device("cpu")


class Heard(Teller):
    """Keeps what was said, in order, with the progress between."""

    def __init__(self):
        self.lines: list[str] = []
        super().__init__(lambda what, done, total: self.lines.append(f"bar {what}"), self.lines.append)


def error_of(module, batch):
    with torch.no_grad():
        return 100.0 * float((module.eval()(batch.inputs).argmax(1) != batch.labels).float().mean())


def test_errors_are_those_of_a_plain_loop_and_come_before_any_work(pair, modules, digits):
    heard = Heard()
    found = ms.compare(*pair, digits, layers="block2", objective="match", controls=(), both=False, tell=heard)
    test = next(digits.batches("test", 10_000))
    for network, module in zip(pair, modules):
        assert found.donors[network.name]["error"] == pytest.approx(error_of(module, test))
        assert found.donors[network.name]["fit_samples"] == min(1000, digits.size("fit"))
    first = next(i for i, line in enumerate(heard.lines) if line.startswith("bar"))
    said = [line for line in heard.lines[:first] if " errs on " in line]
    assert [line.split(":")[0] for line in said] == ["zero", "one"]
    assert "% of the test split" in said[0]
    assert "view: none" in said[0]
    assert "weights: " in said[0]
    record = found.records[0]
    assert record.metric("top_error").value == found.donors["one"]["error"]
    assert record.metric("bottom_error").value == found.donors["zero"]["error"]


def test_matrix_and_stitch_look_as_well(pair, digits):
    layers = (["block2"], ["block2"])
    for call in (
        lambda **more: ms.matrix(*pair, digits, layers=layers, samples=60, **more),
        lambda **more: ms.stitch(*pair, "block2", digits, objective="match", **more),
    ):
        heard = Heard()
        found = call(tell=heard)
        assert [line.split(":")[0] for line in heard.lines if " errs on " in line] == ["zero", "one"]
        assert set(found.donors if hasattr(found, "donors") else found.record.donors) == {"zero", "one"}
        with pytest.raises(
            ms.StitchError, match=r"'zero' errs otherwise than expected on the test split: expected 60 percent"
        ):
            call(expected_error={"zero": 60.0})


def test_expected_errors(pair, digits):
    own = look(pair[0], digits, CPU, top=True).error
    ask = {"layers": "block2", "objective": "match", "controls": (), "both": False}
    ms.compare(*pair, digits, expected_error={"zero": own + 0.5}, **ask)
    for expected, message in (
        ({"zero": own + 30}, f"found {own:.4g}"),
        ({"nobody": 1.0}, "expected names of the networks 'zero', 'one' in expected_error, not 'nobody'"),
        (-1.0, "expected greater than or equal to 0"),
        (True, "expected a valid number"),
    ):
        with pytest.raises(ms.StitchError) as caught:
            ms.compare(*pair, digits, expected_error=expected, **ask)
        assert message in str(caught.value)


def shifted(module):
    """The same network for images that were normalised: it is right behind that view alone."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            return self.inner(x * 0.1 + 0.5)

    return ms.Network(Shifted(), torch.zeros(2, 1, 8, 8), "normal")


def test_a_forgotten_view_is_told(modules, digits):
    network = shifted(modules[0])
    bare = look(network, digits, CPU, top=True)
    assert bare.fit_error > 20
    assert any("has no view" in text for text in bare.cautions)
    assert any("of the fit split" in text for text in bare.cautions)
    network.view = ms.Normalise(0.5, 0.1)
    seen = look(network, digits, CPU, top=True)
    assert seen.fit_error < 5
    assert seen.cautions == ()
    record = ms.stitch(network, network, "inner.block2", digits, objective="match").record
    assert not any("has no view" in note for note in record.notes)


def test_cautions_stand_in_records_and_on_the_page(modules, digits, tmp_path):
    network = shifted(modules[0])
    found = ms.compare(
        network, network.named("twin"), digits, layers="inner.block2", objective="match", controls=(), both=False
    )
    assert any(note.startswith("caution: the network normal has no view") for note in found.notes)
    page = found.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The network normal has no view" in page
    assert "Warnings: 0" not in page
    assert "The networks by themselves, before anything is fitted" in page


def test_random_weights_are_told(digits):
    found = look(ms.load("zoo:small-resnet?width=4", weights="random"), digits, CPU, top=True)
    assert [text for text in found.cautions if "are random" in text] == list(found.cautions)
    assert len(found.cautions) == 1


@pytest.mark.parametrize(
    ("error", "classes", "n", "far"),
    [
        (3.0, 10, 1000, False),
        (12.0, 10, 1000, False),
        (25.0, 10, 1000, True),
        (25.0, 10, 20, False),
        (90.0, 10, 1000, True),
        (28.0, 1000, 1000, False),
        (50.0, 1000, 1000, True),
        (30.0, 2, 1000, True),
        (25.0, 100, 1000, False),
    ],
)
def test_when_a_network_has_not_learned(error, classes, n, far):
    assert unlearned(error, classes, n) is far
