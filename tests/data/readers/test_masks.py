"""Images with masks: what pixels mean, which sample lies where, and the sentence for each folder that does not do."""

import numpy as np
import pytest
import torch
from PIL import Image

import modelstitch as ms
from modelstitch.data.readers.packaged import draw
from modelstitch.errors import DataError

IMAGES, MAPS = draw(20, 0)


def saved(root, images=IMAGES, maps=MAPS, mode="L"):
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for i, (image, found) in enumerate(zip(images, maps)):
        Image.fromarray((image[0] * 255).round().byte().numpy()).save(root / "images" / f"{i:02}.png")
        Image.fromarray(found.byte().numpy()).convert(mode).save(root / "masks" / f"{i:02}.png")
    return f"masks:{root}"


def test_pixels_are_classes_and_255_counts_for_nothing(tmp_path):
    maps = MAPS.clone()
    maps[:, 0] = 255
    data = ms.load_data(saved(tmp_path, maps=maps))
    assert [data.size(split) for split in ("fit", "val", "test")] == [15, 1, 4]
    labels = torch.cat([data.labels(split) for split in ("fit", "val", "test")])
    assert data.task.name == "dense"
    assert labels[:, 0].unique().tolist() == [-100]
    assert sorted(labels[:, 1:].flatten(1).sum(1).tolist()) == sorted(MAPS[:, 1:].flatten(1).sum(1).tolist())
    assert data.sample_shape == (1, 32, 32)


def test_folders_of_splits_stay(tmp_path):
    for name, some in (("train", slice(0, 10)), ("val", slice(10, 14)), ("test", slice(14, 20))):
        saved(tmp_path / name, IMAGES[some], MAPS[some])
    data = ms.load_data(f"masks:{tmp_path}")
    assert [data.size(split) for split in ("fit", "val", "test")] == [10, 4, 6]
    assert torch.equal(data.labels("test"), MAPS[14:])


def without_mask(root):
    saved(root)
    (root / "masks" / "03.png").unlink()


def other_size(root):
    saved(root)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "masks" / "03.png")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "has no images/: expected images/ and masks/, found nothing"),
        (without_mask, "1 of 20 images of .* have no mask, the first is 03.png"),
        (other_size, "is 8x8, its image 32x32: expected one size for both"),
        (lambda root: saved(root, mode="RGB"), "is a mask of colours .mode RGB.*20 of 20 images cannot be taken"),
        (lambda root: saved(root / "test"), "has folders of test and none to fit on"),
        (lambda root: saved(root, IMAGES[:1], MAPS[:1]), "has 1 samples: expected 3 at least"),
    ],
)
def test_folders_that_do_not_do(tmp_path, make, words):
    make(tmp_path)
    with pytest.raises(DataError, match=words):
        ms.load_data(f"masks:{tmp_path}")


def test_masks_are_not_resized(tmp_path):
    with pytest.raises(DataError, match="Masks are not resized"):
        ms.load_data(saved(tmp_path) + "?size=8")
