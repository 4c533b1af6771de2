"""Parquet in the Hugging Face image layout: written here by polars and Pillow, read back pixel by pixel."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
from PIL import Image

from modelstitch.data.load import load_data
from modelstitch.errors import DataError

RNG = np.random.default_rng(0)


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, pixels: list[np.ndarray], *, image="img", label="label", broken=(), classes=2) -> None:
    rows = [{"bytes": b"none" if i in broken else encoded(one), "path": f"{i}.png"} for i, one in enumerate(pixels)]
    polars.DataFrame({image: rows, label: [i % classes for i in range(len(rows))]}).write_parquet(path)


def pictures(n: int, *shape: int) -> list[np.ndarray]:
    return [RNG.integers(0, 256, shape or (6, 6, 3), dtype=np.uint8) for _ in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize(("image", "label"), [("img", "label"), ("image", "fine_label")])
def test_pixels_labels_and_splits(tmp_path, image, label):
    train, test = pictures(20), pictures(5)
    write(tmp_path / "train-00000-of-00002.parquet", train[:12], image=image, label=label)
    write(tmp_path / "train-00001-of-00002.parquet", train[12:], image=image, label=label)
    write(tmp_path / "test-00000-of-00001.parquet", test, image=image, label=label)
    data = load_data(f"parquet:{tmp_path}")
    assert [data.size(split) for split in ("fit", "val", "test")] == [18, 2, 5]
    expected = torch.from_numpy(np.stack(test)).permute(0, 3, 1, 2)
    assert torch.equal(data.dataset("test").inputs, expected)
    assert data.labels("test").tolist() == [0, 1, 0, 1, 0]
    held = {tuple(one.flatten().tolist()) for split in ("fit", "val") for one in data.dataset(split).inputs}
    assert held == {tuple(one.transpose(2, 0, 1).flatten().tolist()) for one in train}
    assert data.fingerprint == load_data(f"parquet:{tmp_path}").fingerprint


def test_grey_images_have_one_channel_and_own_validation_files_are_used(tmp_path):
    for name, n in (("train", 6), ("validation", 4), ("test", 4)):
        write(tmp_path / f"{name}-0.parquet", pictures(n, 6, 6))
    data = load_data(f"parquet:{tmp_path}")
    assert next(data.batches("val", 4)).inputs.shape == (4, 1, 6, 6)
    assert "flip" not in data.augment.recipe


@pytest.mark.slow
def test_limit_decodes_only_what_is_needed(tmp_path):
    write(tmp_path / "train-0.parquet", pictures(20), broken=[15])
    write(tmp_path / "test-0.parquet", pictures(4))
    data = load_data(f"parquet:{tmp_path}", limit=10)
    assert data.size("fit") + data.size("val") == 10
    with pytest.raises(DataError, match=r"1 of 20 images do not decode, the first is row 15 of train-0.parquet"):
        load_data(f"parquet:{tmp_path}")


def test_broken_images_are_counted_and_the_first_is_named(tmp_path):
    write(tmp_path / "train-0.parquet", pictures(8))
    write(tmp_path / "test-0.parquet", pictures(8), broken=[3, 5])
    with pytest.raises(DataError, match=r"2 of 8 images do not decode, the first is row 3 of test-0.parquet"):
        load_data(f"parquet:{tmp_path}")


@pytest.mark.slow
def test_other_refusals(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        load_data(f"parquet:{tmp_path / 'none'}")
    write(tmp_path / "train-0.parquet", [*pictures(4), *pictures(2, 7, 6, 3)])
    with pytest.raises(DataError, match=r"has no test-\*.parquet: found train-0.parquet"):
        load_data(f"parquet:{tmp_path}")
    write(tmp_path / "test-0.parquet", pictures(3))
    with pytest.raises(
        DataError, match=r"have 2 sizes \(row 0 of train-0.parquet is 6x6, row 4 .* is 6x7\): expected one"
    ):
        load_data(f"parquet:{tmp_path}")
    polars.DataFrame({"img": [1, 2], "label": [0, 1]}).write_parquet(tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="stored as Int64: expected bytes"):
        load_data(f"parquet:{tmp_path}")
    polars.DataFrame({"text": ["a"]}).write_parquet(tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="no column 'img' or 'image'"):
        load_data(f"parquet:{tmp_path}")
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_data(f"parquet:{tmp_path}")


def test_images_of_cifar10s_size(tmp_path):
    # The published files where they are at hand, else ones of the same form.
    default = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "cifar10"
    folder = Path(os.environ.get("MODELSTITCH_CIFAR10", default))
    if not folder.is_dir():
        folder = tmp_path
        for name in ("train", "test"):
            write(folder / f"{name}-0.parquet", pictures(300, 32, 32, 3), classes=10)
    data = load_data(f"parquet:{folder}", limit=200)
    assert data.augment.recipe == "random crop after padding by 4, random horizontal flip"
    assert next(data.batches("test", 8)).inputs.shape == (8, 3, 32, 32)
    assert data.n_classes == 10


def test_validation_files_without_test_files_are_the_test_split(tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    for name, n in (("train", 20), ("validation", 6)):
        write(tmp_path / "set" / "data" / f"{name}-0.parquet", pictures(n))
    data = load_data(f"parquet:{tmp_path / 'set'}")
    assert (data.name, [data.size(split) for split in ("fit", "val", "test")]) == ("set", [18, 2, 6])
    assert data.notes == (
        "there are no test files: validation-0.parquet is the test split, and validation samples are held out of "
        "those of train",
    )


def test_labels_that_are_names_are_numbered_in_their_order(tmp_path):
    rows = [{"bytes": encoded(one), "path": None} for one in pictures(4)]
    for part, names in (("train", ["dog", "cat", "dog", "eel"]), ("test", ["cat", "cat", "dog", "dog"])):
        polars.DataFrame({"image": rows, "label": names}).write_parquet(tmp_path / f"{part}-0.parquet")
    data = load_data(f"parquet:{tmp_path}")
    assert (data.classes, data.labels("test").tolist()) == (("cat", "dog", "eel"), [0, 0, 1, 1])


@pytest.mark.slow
def test_unlabelled_test_files_are_passed_over_where_there_are_validation_files(tmp_path):
    for name, n in (("train", 20), ("validation", 6), ("test", 4)):
        write(tmp_path / f"{name}-0.parquet", pictures(n))
    secret = polars.read_parquet(tmp_path / "test-0.parquet").with_columns(label=polars.lit(-1))
    secret.write_parquet(tmp_path / "test-0.parquet")
    data = load_data(f"parquet:{tmp_path}")
    assert [data.size(split) for split in ("fit", "val", "test")] == [18, 2, 6]
    assert "the labels of test-0.parquet are all -1: validation-0.parquet is the test split" in data.notes[0]
