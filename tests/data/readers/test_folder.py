"""Image folders, with and without split folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from modelstitch.data.load import load_data
from modelstitch.errors import DataError

RNG = np.random.default_rng(0)


def fill(folder, n, size=(8, 8)):
    folder.mkdir(parents=True)
    for i in range(n):
        pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def test_split_folders(tmp_path):
    for part, n in (("train", 6), ("val", 2), ("test", 3)):
        for name in ("cat", "dog"):
            fill(tmp_path / part / name, n)
    data = load_data(f"folder:{tmp_path}")
    assert [data.size(split) for split in ("fit", "val", "test")] == [12, 4, 6]
    assert data.classes == ("cat", "dog")
    batch = next(data.batches("test", 6))
    first = np.asarray(Image.open(tmp_path / "test" / "cat" / "0.png"))
    assert np.array_equal((batch.inputs[0] * 255).round().byte().permute(1, 2, 0).numpy(), first)
    assert batch.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_seeded_split_is_disjoint_and_the_test_part_does_not_move(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / name, 20)
    one, two = load_data(f"folder:{tmp_path}"), load_data(f"folder:{tmp_path}", seed=1)
    paths = [set(one.dataset(split).paths) for split in ("fit", "val", "test")]
    assert [len(part) for part in paths] == [29, 3, 8]
    assert len(set.union(*paths)) == 40
    assert one.dataset("test").paths == two.dataset("test").paths
    assert one.dataset("val").paths != two.dataset("val").paths
    assert one.fingerprint != two.fingerprint
    assert one.test_fingerprint == two.test_fingerprint == one.subset(10).test_fingerprint
    few = load_data(f"folder:{tmp_path}", limit=10)
    assert few.size("fit") + few.size("val") == 10


@pytest.mark.parametrize("parts", [("",), ("train",), ("train", "val", "test")])
def test_the_first_fit_samples_hold_every_class_in_proportion(tmp_path, parts):
    for part in parts:
        for name, n in (("a", 60), ("b", 30), ("c", 30)):
            fill(tmp_path / part / name, n)
    data = load_data(f"folder:{tmp_path}")
    labels = data.labels("fit")
    whole = labels.bincount() / len(labels)
    for n in (16, 32, min(1024, len(labels))):
        assert (labels[:n].bincount(minlength=3) / n - whole).abs().max() <= 1.5 / n, n
    assert len(set(data.dataset("fit").paths)) == data.size("fit")
    assert all(path.parent.name == "abc"[label] for path, label in zip(data.dataset("fit").paths, labels))
    assert "interleaved" in data.describe()["splits"]
    for seed in (0, 1):  # with a val folder of its own nothing is drawn by the seed
        again = load_data(f"folder:{tmp_path}", seed=seed)
        assert (again.dataset("fit").paths == data.dataset("fit").paths) is (seed == 0 or "val" in parts)


def test_sizes_and_refusals(tmp_path):
    fill(tmp_path / "a", 10)
    with pytest.raises(DataError, match=r"has 1 sub-folder.s.: expected two or more, one for each class"):
        load_data(f"folder:{tmp_path}")
    fill(tmp_path / "b", 10, size=(12, 8))
    mixed = load_data(f"folder:{tmp_path}")
    with pytest.raises(DataError, match=r"have 2 sizes .*add '\?size=224'"):
        list(mixed.batches("fit", 20))
    sized = load_data(f"folder:{tmp_path}?size=6")
    assert next(sized.batches("fit", 3)).inputs.shape == (3, 3, 6, 6)
    with pytest.raises(DataError, match="option 'sise=6' is not known"):
        load_data(f"folder:{tmp_path}?sise=6")
    (tmp_path / "a" / "x.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 21 files are no images, the first is .*x.png"):
        load_data(f"folder:{tmp_path}")
