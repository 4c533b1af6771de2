"""What donors do alone is told before anything is fitted, and what makes them doubtful."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.data.data import SPLITS, Data
from modelstitch.engine.alone import MATCHED, look, need_scores, notes_on
from modelstitch.errors import DataError
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
    own = look(pair[0], digits, CPU, top=True).facts.error
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
    assert bare.facts.fit_error > 20
    assert any("has no view" in text for text in bare.cautions)
    assert any("of the fit split" in text for text in bare.cautions)
    network.view = ms.Normalise(0.5, 0.1)
    seen = look(network, digits, CPU, top=True)
    assert seen.facts.fit_error < 5
    assert seen.cautions == ()
    record = ms.stitch(network, network, "inner.block2", digits, objective="match").record
    assert not any("has no view" in note for note in record.notes)


@pytest.mark.slow
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


@pytest.mark.slow
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


TEN = torch.arange(200) % 10
TOP = SimpleNamespace(name="b")


class Samples:
    """Samples whose labels are known without reading them, or are not."""

    def __init__(self, labels, known=True):
        self._labels = labels
        if known:
            self.labels = labels

    def __len__(self):
        return len(self._labels)

    def __getitem__(self, i):
        return torch.full((1,), float(i)), self._labels[i]


def data(known=True, **labels):
    sets = (Samples(labels.get(split, TEN), known) for split in SPLITS)
    return Data(*sets, n_classes=10, classes=labels.get("classes"))


def notes(samples, error=5.0, splits=SPLITS, unit="points"):
    return notes_on(TOP, SimpleNamespace(unit=unit, error=error, error_unit=unit), samples, splits)


CASES = {
    "nothing": (data(), {}, []),
    "chance": (data(), {"error": 89.0}, ["hardly better than chance for 10 classes"]),
    "worse than chance": (
        data(),
        {"error": 97.0},
        ["worse than chance for 10 classes", "classes stand in the data's order"],
    ),
    "another unit": (data(), {"error": 85.0, "unit": "nats"}, []),
    "another unit, and no better than one answer": (
        data(),
        {"error": 89.0, "unit": "mm"},
        ["has an error of 89.00 mm on the test examples, hardly better than one answer that is the same"],
    ),
    "few to test": (data(test=TEN[:99]), {}, ["99 test samples are few"]),
    "enough to test": (data(test=TEN[:100]), {}, []),
    "few to choose with": (data(val=TEN[:29]), {}, ["29 validation samples are few"]),
    "few, but nothing is chosen": (data(val=TEN[:29]), {"splits": MATCHED}, []),
    "a class is missing": (
        data(test=TEN[TEN > 1]),
        {},
        ["of the 10 classes some have no sample: 2 in test (the first is 0); errors say nothing of those"],
    ),
    "the last is missing, by name": (
        data(fit=TEN[TEN < 9], val=TEN[TEN != 3], classes=list("abcdefghij")),
        {},
        ["1 in fit (the first is j), 1 in val (the first is d);"],
    ),
    "labels from one": (
        data(**dict.fromkeys(SPLITS, TEN[TEN > 0])),
        {},
        ["1 in test (the first is 0); errors say nothing of those; labels that count from 1 need 1 subtracted"],
    ),
    "missing where nobody looks": (data(val=TEN[TEN != 3]), {"splits": MATCHED}, []),
    "labels that would have to be read": (data(known=False, test=TEN[TEN > 1]), {}, []),
    "labels of tokens": (data(**dict.fromkeys(SPLITS, TEN[:, None].expand(-1, 3))), {}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_cautions(name):
    samples, options, expected = CASES[name]
    found = notes(samples, **options)
    assert bool(found) == bool(expected)
    assert all(note.startswith("caution: ") for note in found)
    assert all(any(part in note for note in found) for part in expected)


FORMS = {
    "a map of scores": ((3, 4, 4), torch.zeros(9, 4, 4), r"expected the classes last .*flatten\(2\).transpose\(1, 2\)"),
    "classes before positions": ((3, 7), torch.zeros(9, 7), r"expected the classes last and the positions in one line"),
    "one logit": ((1,), torch.zeros(9), r"one score for each class; of one logit .*torch.zeros_like\(z\)"),
    "several labels at once": ((4,), torch.zeros(9, 4), r"labels that hold at once are measured one at a time"),
}


@pytest.mark.parametrize("case", FORMS)
def test_scores_that_labels_cannot_be_held_against(case):
    shape, labels, text = FORMS[case]
    sets = (Samples(labels.long(), known=False) for _ in SPLITS)
    with pytest.raises(DataError, match=text):
        need_scores(
            SimpleNamespace(name="b", output_shape=shape, has_head=True, output_name="logits"),
            Data(*sets, n_classes=10),
        )
