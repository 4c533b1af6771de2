"""Roots and spectra of sums of few rows are those of the whole matrix."""

import pytest
import torch

from modelstitch.support.fast.roots import WIDE, few, root, spectrum


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
