"""Images of several sizes reach each network through its own view, as they are on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import modelstitch as ms
from modelstitch.errors import DataError, NetworkError

RANDOM = np.random.default_rng(0)


def pictures(n: int) -> list[Image.Image]:
    sides = [(40, 60), (61, 33), (32, 32)]
    return [Image.fromarray(RANDOM.integers(0, 256, (*sides[i % 3], 3)).astype(np.uint8)) for i in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("several")
    for part, n in (("train", 30), ("val", 9), ("test", 12)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for i, image in enumerate(pictures(n)):
                image.save(root / part / name / f"{i:02d}.png")
    return root


@pytest.mark.slow
def test_the_librarys_transform_sees_what_is_on_the_disk(folder: Path) -> None:
    data = ms.load_data(f"folder:{folder}?size=any")
    net = ms.load("timm:test_resnet?size=32", weights="random", classes=2)
    batch = next(data.batches("test", 6))
    assert [tuple(image.shape) for image in batch.inputs[:3]] == [(3, 40, 60), (3, 61, 33), (3, 32, 32)]
    config = timm.data.resolve_model_data_config(net.module) | {"input_size": (3, 32, 32), "crop_pct": 1.0}
    transform = timm.data.create_transform(**config)
    files = data.dataset("test").paths[:6]
    assert torch.equal(net.view(batch.inputs), torch.stack([transform(Image.open(file)) for file in files]))
    equal = next(ms.load_data(f"folder:{folder}?size=any").batches("test", 1)).inputs
    assert equal.shape == (1, 3, 40, 60)


@pytest.mark.slow
def test_they_are_stitched_and_compared(folder: Path) -> None:
    data = ms.load_data(f"folder:{folder}?size=any")
    nets = [
        ms.load("timm:test_resnet?size=32", weights="random", classes=2, seed=seed, name=f"net{seed}")
        for seed in (0, 1)
    ]
    seam = (nets[0].blocks[-2],) * 2
    s = ms.stitch(*nets, at=seam, data=data, steps=3, batch_size=8)
    assert np.isfinite(s.penalty)
    assert ms.similarity(*nets, data, measures=["cka"], layers=([seam[0]], [seam[0]])).frame.height == 1


def test_without_a_view_they_are_refused(folder: Path) -> None:
    data = ms.load_data(f"folder:{folder}?size=any")
    net = ms.Network(
        nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.zeros(2, 3, 32, 32), "own"
    )
    with pytest.raises(NetworkError, match=r"have several sizes, and the view of 'own' is not set: expected a view="):
        ms.stitch(net, net, at="0", data=data)
    net.view = ms.Normalise(0.5, 0.5, size=32)
    assert ms.similarity(net, net, data, measures=["cka"], split="test", layers=(["0"], ["0"])).frame.height == 1
    with pytest.raises(DataError, match=r"have \d sizes .*'\?size=any' to leave that to the networks' views"):
        list(ms.load_data(f"folder:{folder}").batches("test", 6))


def samples(n: int, **changed: Any) -> list[tuple[torch.Tensor, int]]:
    return [(torch.from_numpy(np.array(image)).permute(2, 0, 1), i % 2) for i, image in enumerate(pictures(n))]


def test_datasets_of_ones_own() -> None:
    data = ms.Data(samples(12), samples(6), samples(6))
    batch = next(data.batches("val", 4))
    assert [image.dtype for image in batch.inputs] == [torch.float32] * 4
    assert [len(piece.inputs) for piece in batch.pieces(3)] == [3, 1]
    assert ms.Normalise(0.5, 0.5, size=(8, 6))(batch.inputs).shape == (4, 3, 8, 6)
    assert len(data.fingerprint) == 64
    mixed = [(torch.zeros(1 + i, 4, 4 + i), i) for i in range(2)]
    with pytest.raises(DataError, match="cannot be stacked"):
        next(ms.Data(mixed, list(mixed), list(mixed)).batches("val", 2))
