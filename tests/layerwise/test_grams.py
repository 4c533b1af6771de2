"""Linear CKA from Gram matrices, over minibatches and block by block, equals that of saved activations."""

import pytest

from layerwise.small import block_of, met, rows_of, saved, third, world
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
    meeting = met(a, b, data=data)
    block = block_of(meeting, view)
    step = Step("gram", (MEASURES[name],), (block,), 0, 1, held)
    found = grams.run_full(rows_of(meeting, data, view), block, step, 7, 3, 0)
    assert len(found) == 2
    for one in found:
        wanted = MEASURES[name](saved(a, one.bottom[2:], data, view), saved(b, one.top[2:], data, view))
        assert one.value == pytest.approx(wanted, abs=1e-4)
        assert one.null is not None


def test_minibatches(monkeypatch):
    monkeypatch.setattr(grams, "MINIBATCH", 20)
    a, b, data = world()
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    step = Step("minibatch", (MEASURES["cka_minibatch"],), (block,), 0, 1)
    found = grams.run_minibatch(rows_of(meeting, data), block, step, 7, 2, 0)
    from modelstitch.measures import minibatch_cka

    for one in found:
        wanted = minibatch_cka(saved(a, one.bottom[2:], data), saved(b, one.top[2:], data), batch=20)
        assert one.value == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("way", "name"), [("minibatch", "cka_minibatch"), ("gram", "cka_linear_debiased")])
def test_a_set_of_networks_gives_the_values_of_its_pairs(monkeypatch, way, name):
    monkeypatch.setattr(grams, "CHUNK", 16)
    networks, data = [*world()[:2], third()], world()[2]
    run = grams.run_minibatch if way == "minibatch" else grams.run_full

    def values(*some):
        meeting = met(*some, data=data, layers=["0", "2"] if len(some) > 2 else (["0", "2"],) * 2)
        block = block_of(meeting, "flatten")
        found = run(rows_of(meeting, data, "flatten"), block, Step(way, (MEASURES[name],), (block,), 0, 1, 32), 7, 2, 0)
        return {(one.bottom, one.top): (one.value, one.null.mean) for one in found}

    whole = values(*networks)
    assert len(whole) == 12
    for i, one in enumerate(networks):
        for other in networks[i + 1 :]:
            for seam, found in values(one, other).items():
                assert found == pytest.approx(whole[seam], abs=1e-9)
