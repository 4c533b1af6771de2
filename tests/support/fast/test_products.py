"""Products of matrices by numpy's BLAS or torch's, roots of sums: the same numbers, no threads of libraries changed."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from modelstitch.moments.moments import Moments
from modelstitch.support.fast import products
from modelstitch.support.fast.products import WIDE, few, gram, inner, root, spectrum, stacked


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def draw(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64).to(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [slice(None), slice(None, None, 2), slice(1, 4)])
def test_products_are_those_of_the_definition(threads, dtype, columns):
    x, y = draw(50, 6, dtype=dtype)[:, columns], draw(50, 3, dtype=dtype)
    for found, a, b in ((inner(x), x, x), (inner(x, y), x, y), (gram(x.T), x, x), (gram(x.T, y.T), x, y)):
        assert found.dtype == dtype
        torch.testing.assert_close(found, torch.einsum("np,nq->pq", a, b))
    step = draw(4, 5, dtype=dtype)
    many = draw(7, 5, 3, dtype=dtype)
    torch.testing.assert_close(stacked(step, many), torch.einsum("qp,npc->nqc", step, many))


@pytest.mark.parametrize("rows", [1, 33, 130])
def test_a_gram_matrix_of_any_number_of_wide_rows_is_whole(threads, rows):
    x = draw(rows, 2048)
    torch.testing.assert_close(gram(x), torch.einsum("np,mp->nm", x, x))


def test_the_threads_of_numpy_are_left_as_they_were(monkeypatch):
    class Library:
        threads = 4
        seen: ClassVar[list[int]] = []

        def get_num_threads(self):
            return self.threads

        def set_num_threads(self, n):
            self.threads = n
            self.seen.append(n)

    library = Library()
    monkeypatch.setattr(products, "_libraries", lambda: [library])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        inner(draw(5, 2))
        with pytest.raises(ValueError, match="mismatch"):
            inner(draw(5, 2), draw(6, 2))
    finally:
        torch.set_num_threads(before)
    assert library.seen == [1, 4, 1, 4]


def test_sums_in_a_loss_keep_their_gradients(threads):
    x, y = draw(20, 3).requires_grad_(), draw(20, 2)
    moments = Moments.of(x, y)
    loss = moments.xx.trace() + moments.xy.square().sum()
    loss.backward()
    centred, other = x.detach() - x.detach().mean(0), y - y.mean(0)
    torch.testing.assert_close(x.grad, 2 * centred + 2 * other @ (centred.T @ other).T)
    with torch.no_grad():
        assert not inner(x).requires_grad


def test_half_precision_is_left_to_torch(threads):
    x = draw(20, 3)
    torch.testing.assert_close(inner(x.bfloat16()).double(), x.T @ x, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("band", [1, 2, 5, 100], ids=lambda rows: f"{rows} rows at a time")
@pytest.mark.parametrize("alone", [False, True], ids=["two sides", "one side"])
def test_large_products_are_added_in_bands(threads, monkeypatch, band, alone):
    x, y = draw(30, 7), None if alone else draw(30, 4)
    sums = draw(7, 7 if alone else 4)
    wanted = sums + inner(x, y)
    made, real = [], products.inner
    monkeypatch.setattr(products, "_BAND", band * 8 * sums.shape[1])
    monkeypatch.setattr(products, "inner", lambda *sides: made.append(real(*sides)) or made[-1])
    products.add_inner(sums, x, y)
    torch.testing.assert_close(sums, wanted)
    assert max(len(part) for part in made) == min(band, 7)
    assert len(made) == -(-7 // min(band, 7))


def sums(rows, columns=WIDE, dtype=torch.float64, dead=3):
    x = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:, :dead] = 0
    x -= x.mean(0)
    return (x.T @ x).to(dtype)


@pytest.mark.parametrize(("rows", "columns", "is_few"), [(256, 512, True), (257, 512, False), (10, 511, False)])
def test_few_are_at_most_half_the_columns_of_a_wide_layer(rows, columns, is_few):
    assert few(rows, columns) is is_few
    assert (root(sums(rows, columns), rows) is not None) is is_few


@pytest.mark.parametrize("rows", [2, 40, 200])
def test_a_root_times_itself_is_the_matrix(rows):
    square = sums(rows)
    half = root(square, rows)
    assert half.shape == (WIDE, rows - 1)
    assert torch.allclose(half @ half.T, square, atol=1e-10)


@pytest.mark.parametrize("rows", [40, 200, 400])
def test_a_spectrum_is_that_of_the_whole_matrix(rows):
    square = sums(rows)
    values, vectors = spectrum(square, rows)
    whole = torch.linalg.eigvalsh(square)
    assert torch.allclose(values, whole[-len(values) :], rtol=1e-9, atol=1e-9)
    assert float(whole[: -len(values)].abs().sum()) < 1e-8
    assert torch.allclose(vectors.T @ vectors, torch.eye(len(values), dtype=torch.float64), atol=1e-9)
    assert torch.allclose((vectors * values) @ vectors.T, square, atol=1e-9)


def test_nothing_and_what_is_not_finite_are_left_to_the_plain_way():
    assert spectrum(torch.zeros(WIDE, WIDE, dtype=torch.float64), 10)[0].abs().max() == 0
    broken = sums(40)
    broken[5, 5] = torch.nan
    assert root(broken, 40) is None
