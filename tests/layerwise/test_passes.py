"""One pass through all networks: rows as a plain forward gives them, batch by batch."""

from types import SimpleNamespace

import pytest
import torch

from layerwise.small import LAYERS, met, rows_of, saved, third, world
from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.layerwise.passes import FailedNetworkError


@pytest.mark.parametrize("view", ["pool", "flatten"])
@pytest.mark.parametrize("kept", [False, True])
def test_rows_are_those_of_a_plain_forward(view, kept):
    a, b, data = world()
    heard = []
    rows = rows_of(met(a, b, data=data), data, view, tell=lambda *words: heard.append(words))
    keys = [f"{net.name}@{name}" for net, names in zip((a, b), LAYERS) for name in names]
    if kept:
        rows.keep(keys, 7)
    parts = list(rows.each(keys, 7))
    assert len(parts) == 9
    for network, names in zip((a, b), LAYERS):
        for name in names:
            found = torch.cat([part[f"{network.name}@{name}"] for part in parts])
            assert torch.allclose(found.double(), saved(network, name, data, view), atol=1e-5)
            assert rows.widths([f"{network.name}@{name}"]) == {f"{network.name}@{name}": found.shape[1]}
    assert heard[-1] == ("a and b", 60, 60)


def test_every_network_runs_once_a_batch(monkeypatch):
    networks, data = [*world()[:2], third()], world()[2]
    runs = []
    from modelstitch.layerwise import passes

    seen = passes.view_of
    monkeypatch.setattr(passes, "view_of", lambda network, *rest: runs.append(network.name) or seen(network, *rest))
    rows = rows_of(met(*networks, data=data, layers=["0", "2"]), data)
    for _ in rows.each(rows.places, 30):
        pass
    assert runs == ["a", "b", "c"] * 2


@pytest.mark.slow
def test_half_precision_becomes_single_and_features_may_come_as_they_lie():
    a, b, data = world()
    rows = rows_of(met(a, b, data=data), data, "flatten")
    batch = SimpleNamespace(mask=None, ids=torch.arange(2))
    value = torch.randn(2, 5, 4, 4).to(memory_format=torch.channels_last)
    assert rows.rows(value.half(), "a@0", batch).dtype == torch.float32
    plain, quick = (rows.rows(value, "a@0", batch, any_order=order) for order in (False, True))
    assert torch.equal(plain.sort(1).values, quick.sort(1).values)
    assert torch.equal(plain @ plain.T, plain @ plain.T)


def test_a_nan_is_named_with_its_layer_and_sample():
    a, b, data = world()
    rows = rows_of(met(a, b, data=data), data)
    bad = torch.zeros(2, 5)
    bad[1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match="The activations of a@0 hold NaN or infinity, first for the sample 9"):
        rows.refuse(bad, "a@0", SimpleNamespace(ids=torch.tensor([4, 9])))


def test_a_network_that_fails_is_named():
    a, b, data = world()
    rows = rows_of(met(a, b, data=data), data)
    for value, fails in ((torch.tensor(float("nan")), NonFiniteError), (torch.ones(1), ZeroDivisionError)):

        def take(given, key, batch, value=value):
            if key.startswith("b"):
                rows.refuse(given * value, key, batch) if bool(value.isnan()) else 1 / 0

        with pytest.raises(FailedNetworkError, match="b") as failed:
            rows.open(rows.places, take)(next(data.batches("val", 4)))
        assert isinstance(failed.value.why, fails)


def test_padding_cannot_be_left_out_of_flat_rows():
    a, b, data = world()
    rows = rows_of(met(a, b, data=data), data, "flatten")
    rows.places = {"a@x": (a, SimpleNamespace(kind="tokens"))}
    mask = torch.tensor([[True, True, False], [True, False, False]])
    batch = SimpleNamespace(mask=mask, ids=torch.arange(2))
    with pytest.raises(MeasureError, match="The samples at a@x are padded to one length: expected view='pool'"):
        rows.rows(torch.randn(2, 3, 4), "a@x", batch)
    rows.view = "pool"
    x = torch.randn(2, 3, 4)
    found = rows.rows(x, "a@x", batch)
    assert torch.allclose(found[0], x[0, :2].mean(0))
    assert torch.allclose(found[1], x[1, 0])
