"""Maps on rows, against the same in torch."""

import numpy as np
import pytest
import torch

from modelstitch.arrays.maps import RowMap, gelu

RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(4, 3)), RNG.normal(size=4)
U, V, C = RNG.normal(size=(4, 5)), RNG.normal(size=(5, 3)), RNG.normal(size=5)
X = RNG.normal(size=(6, 3))


def test_gelu_is_torchs():
    x = np.linspace(-5, 5, 41)
    np.testing.assert_allclose(gelu(x), torch.nn.functional.gelu(torch.from_numpy(x)).numpy(), atol=1e-15)


@pytest.mark.parametrize("hidden", [None, (U, V, C)])
def test_one_row_is_mapped_as_many_are(hidden):
    found = RowMap(W, B, hidden)
    wanted = X @ W.T + B
    if hidden:
        wanted += gelu(X @ V.T + C) @ U.T
    np.testing.assert_allclose(found(X), wanted)
    np.testing.assert_allclose(found(X[2:3]), wanted[2:3])


@pytest.mark.parametrize("hidden", [None, (U, V, C)])
def test_its_numbers_make_it_again(hidden):
    found = RowMap(W, B, hidden)
    again = RowMap.of(found.arrays())
    assert np.array_equal(again(X), found(X))
    single = found.to(np.float32)
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in single.arrays().values())
    with pytest.raises(KeyError):
        RowMap.of({"weight": W})
