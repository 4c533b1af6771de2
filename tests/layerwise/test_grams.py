"""Linear CKA from Gram matrices, over minibatches and block by block, equals that of saved activations."""

import pytest

from layerwise.small import LAYERS, rows_of, saved, world
from modelstitch.layerwise import grams
from modelstitch.layerwise.plan import Step
from modelstitch.measures import MEASURES


@pytest.mark.slow
@pytest.mark.parametrize("view", ["pool", "flatten"])
@pytest.mark.parametrize("name", ["cka_linear_biased", "cka_linear_debiased"])
@pytest.mark.parametrize(("chunk", "held"), [(256, 256), (16, 16), (16, 32)])
def test_all_examples_in_any_blocks(monkeypatch, view, name, chunk, held):
    monkeypatch.setattr(grams, "CHUNK", chunk)
    a, b, data = world()
    step = Step("gram", (MEASURES[name],), (LAYERS,), 0, 1, held)
    found = grams.run_full(rows_of(a, b, data, view), LAYERS, step, 7, 3, 0)
    assert len(found) == 2
    for one in found:
        wanted = MEASURES[name](saved(a, one.bottom_layer, data, view), saved(b, one.top_layer, data, view))
        assert one.value == pytest.approx(wanted, abs=1e-4)
        assert one.null is not None


def test_minibatches(monkeypatch):
    monkeypatch.setattr(grams, "MINIBATCH", 20)
    a, b, data = world()
    step = Step("minibatch", (MEASURES["cka_minibatch"],), (LAYERS,), 0, 1)
    found = grams.run_minibatch(rows_of(a, b, data), LAYERS, step, 7, 2, 0)
    from modelstitch.measures import minibatch_cka

    for one in found:
        wanted = minibatch_cka(saved(a, one.bottom_layer, data), saved(b, one.top_layer, data), batch=20)
        assert one.value == pytest.approx(wanted, abs=1e-4)
