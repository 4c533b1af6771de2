"""One pass through both networks: rows as a plain forward gives them, batch by batch."""

from types import SimpleNamespace

import pytest
import torch

from layerwise.small import LAYERS, rows_of, saved, world
from modelstitch.errors import MeasureError, NonFiniteError


@pytest.mark.parametrize("view", ["pool", "flatten"])
def test_rows_are_those_of_a_plain_forward(view):
    a, b, data = world()
    heard = []
    rows = rows_of(a, b, data, view, tell=lambda *words: heard.append(words))
    parts = list(rows.each(LAYERS, 7))
    for side, (network, names) in enumerate(zip((a, b), LAYERS)):
        for name in names:
            found = torch.cat([part[side][name] for part in parts])
            assert torch.allclose(found.double(), saved(network, name, data, view), atol=1e-5)
            assert found.shape[1] == rows.widths(LAYERS)[side][name]
    assert heard[-1] == ("a and b", 60, 60)
    assert rows.where("0", "2") == "a@0 and b@2"


@pytest.mark.slow
def test_half_precision_becomes_single_and_features_may_come_as_they_lie():
    a, b, data = world()
    rows = rows_of(a, b, data, "flatten")
    batch = SimpleNamespace(mask=None, ids=torch.arange(2))
    value = torch.randn(2, 5, 4, 4).to(memory_format=torch.channels_last)
    assert rows.rows(value.half(), 0, "0", batch).dtype == torch.float32
    plain, quick = (rows.rows(value, 0, "0", batch, any_order=order) for order in (False, True))
    assert torch.equal(plain.sort(1).values, quick.sort(1).values)
    assert torch.equal(plain @ plain.T, plain @ plain.T)


def test_a_nan_is_named_with_its_layer_and_sample():
    a, b, data = world()
    rows = rows_of(a, b, data)
    bad = torch.zeros(2, 5)
    bad[1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match="The activations of a@0 hold NaN or infinity, first for the sample 9"):
        rows.refuse(bad, 0, "0", SimpleNamespace(ids=torch.tensor([4, 9])))


def test_padding_cannot_be_left_out_of_flat_rows():
    a, b, data = world()
    rows = rows_of(a, b, data, "flatten")
    rows.networks = (SimpleNamespace(name="a", layer=lambda _: SimpleNamespace(kind="tokens")),) * 2
    mask = torch.tensor([[True, True, False], [True, False, False]])
    batch = SimpleNamespace(mask=mask, ids=torch.arange(2))
    with pytest.raises(MeasureError, match="The samples at a@x are padded to one length: expected view='pool'"):
        rows.rows(torch.randn(2, 3, 4), 0, "x", batch)
    rows.view = "pool"
    x = torch.randn(2, 3, 4)
    found = rows.rows(x, 0, "x", batch)
    assert torch.allclose(found[0], x[0, :2].mean(0))
    assert torch.allclose(found[1], x[1, 0])
