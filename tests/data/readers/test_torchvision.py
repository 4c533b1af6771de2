"""torchvision's sets: one written here in its own file format, and what a missing one says."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from modelstitch.data.load import load_data
from modelstitch.errors import DataError


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.mark.parametrize("spec", ["mnist:{}", "torchvision:mnist:{}"])
def test_mnist_files_are_read(tmp_path, spec):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = {part: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in (("train", 40), ("t10k", 10))}
    for part, array in pixels.items():
        write_idx(raw / f"{part}-images-idx3-ubyte", array)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(len(array), dtype=np.uint8) % 10)
    data = load_data(spec.format(tmp_path))
    assert [data.size(split) for split in ("fit", "val", "test")] == [36, 4, 10]
    assert torch.equal(data.dataset("test").inputs[:, 0], torch.from_numpy(pixels["t10k"]))
    assert "flip" not in data.augment.recipe
    assert load_data(spec.format(tmp_path), limit=20).size("fit") == 18


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cifar10", "put the folder 'cifar-10-batches-py'"),
        ("cifar100", "put the folder 'cifar-100-python'"),
        ("mnist", "into the folder 'MNIST/raw'"),
        ("fashion-mnist", "into the folder 'FashionMNIST/raw'"),
        ("svhn", "'train_32x32.mat' and 'test_32x32.mat'"),
    ],
)
def test_a_missing_set_says_what_to_put_where(tmp_path, name, wanted):
    with pytest.raises(DataError, match=r"is not in the folder .*download") as caught:
        load_data(f"{name}:{tmp_path}")
    assert wanted in str(caught.value)
