"""Which sub-folders of an image folder are splits and classes, what is passed over, and what is said."""

from __future__ import annotations

import importlib
import os

import pytest
import torch
from PIL import Image
from torch import nn

import modelstitch as ms
from modelstitch.data.load import load_data
from modelstitch.errors import DataError


def fill(folder, n=6, *, suffix=".png", start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + n):
        Image.new("RGB", (4, 4), (i, 3 * i, 7)).save(folder / f"{i}{suffix}")


def laid(root, **parts):
    for part, classes in parts.items():
        for name in classes:
            fill(root / part / name)
    return root


def load(root, option=""):
    return load_data(f"folder:{root}{option}")


def parts_of(data, root):
    """The folder below root that each split's files come from."""
    return {s: {path.relative_to(root).parts[0] for path in data.dataset(s).paths} for s in ("fit", "val", "test")}


LEFTOVERS = [".ipynb_checkpoints", "__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", ".git", "__pycache__", "empty"]


@pytest.mark.parametrize("split", [False, True])
def test_leftovers_are_no_classes_and_no_images(tmp_path, split):
    bases = [tmp_path / "train", tmp_path / "test"] if split else [tmp_path]
    for base in bases:
        for name in ("a", "b"):
            fill(base / name, 10)
            for file in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png", "notes.txt"):
                (base / name / file).write_bytes(b"no image")
            fill(base / name / ".ipynb_checkpoints", 2)  # copies of images
            fill(base / name / "@eaDir", 1)
        for name in LEFTOVERS:
            (base / name).mkdir()
            if name != "empty":
                fill(base / name / "a", 2)
        (base / "texts").mkdir()
        (base / "texts" / "a.txt").write_text("a")
    data = load(tmp_path)
    assert data.classes == ("a", "b")
    assert sum(data.size(s) for s in ("fit", "val", "test")) == 20 * len(bases)
    assert all(note.startswith("2 sub-folder(s) of") and "(empty, texts)" in note for note in data.notes)
    assert len(data.notes) == len(bases)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val", "VALIDATION"])
def test_val_without_test_is_the_test_split(tmp_path, name):
    data = load(laid(tmp_path, **{"train": "ab", name: "ab"}))
    assert parts_of(data, tmp_path) == {"fit": {"train"}, "val": {"train"}, "test": {name}}
    said = f"there is no test folder: {name}/ is the test split, and validation samples are held out of train/"
    assert data.notes == (said,)
    assert said in data.describe()["splits"]
    for other in (data.subset(4), data.shorter(test=4), data.relabelled({}, name="x", classes="ab")):
        assert other.notes == data.notes
    example = torch.zeros(2, 3, 4, 4)
    net = ms.Network(nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Linear(4, 2)), example, "net")
    assert f"caution: {said}" in ms.stitch(net, net, at="1", data=data, objective="match").record["notes"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "test"), {"fit": {"train"}, "val": {"train"}, "test": {"test"}}),
        (("training", "testing"), {"fit": {"training"}, "val": {"training"}, "test": {"testing"}}),
        (("Train", "Valid", "Test"), {"fit": {"Train"}, "val": {"Valid"}, "test": {"Test"}}),
        (("train", "val", "test", "extra"), {"fit": {"train"}, "val": {"val"}, "test": {"test"}}),
        (("train",), {"fit": {"train"}, "val": {"train"}, "test": {"train"}}),
    ],
)
def test_split_folders(tmp_path, names, expected):
    data = load(laid(tmp_path, **dict.fromkeys(names, "ab")))
    assert parts_of(data, tmp_path) == expected
    assert data.notes == (("extra/ is no split by name, and was passed over",) if "extra" in names else ())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train", "eval"),
            r"has eval/ with the classes of train/, and no val/ or test/: expected the samples to measure on in test/",
        ),
        (("train_set", "test_set"), r"sub-folders test_set/, train_set/ of .* hold the same sub-folders each \(a, b\)"),
        (("seg_train", "seg_eval"), r"expected train/, val/ and test/ with a sub-folder for each class"),
        (
            ("a/train", "b/train", "a/test", "b/test"),
            r"sub-folders a/, b/ of .* hold the same sub-folders each \(test, train\)",
        ),
    ],
)
def test_splits_of_other_names_are_no_classes_and_not_left_out(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        load(laid(tmp_path, **dict.fromkeys(names, "ab")))


def test_folders_within_classes_are_read(tmp_path):
    data = load(laid(tmp_path, **{"cat/images": "ab", "dog/images": "ab"}))
    assert data.classes == ("cat", "dog")
    fill(tmp_path / "x" / "cat" / "left")
    fill(tmp_path / "x" / "cat" / "right")
    fill(tmp_path / "x" / "dog" / "left")
    fill(tmp_path / "x" / "dog" / "right")
    assert load(tmp_path / "x").classes == ("cat", "dog")


def test_a_pipe_among_images_is_named(tmp_path):
    laid(tmp_path, a=["x"], b=["x"])
    os.mkfifo(tmp_path / "a" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png \(no file, but a pipe or a device\)"):
        load(tmp_path)


def test_classes_are_numbered_as_image_folders_are_elsewhere(tmp_path):
    laid(tmp_path, train=[str(i) for i in range(12)], test=["10", "2"])
    data = load(tmp_path)
    assert data.classes == ("0", "1", "10", "11", *"23456789")
    assert data.labels("test").unique().tolist() == [2, 4]
    assert data.notes == ("test/ (test) has no images of 10 of 12 classes (0, 1, 11, 3 and 6 more)",)
    torchvision = importlib.import_module("torchvision.datasets")
    found = torchvision.ImageFolder(str(tmp_path / "train"))
    assert tuple(found.classes) == data.classes
    names = [os.path.relpath(path, tmp_path / "train").split(os.sep)[0] for path, _ in found.samples]
    assert all(data.classes[label] == name for (_, label), name in zip(found.samples, names))


def test_a_class_called_as_a_split_is_a_class(tmp_path):
    for name in ("train", "car", "bus"):
        fill(tmp_path / name)
    assert load(tmp_path).classes == ("bus", "car", "train")


def test_links_and_capital_suffixes(tmp_path):
    fill(tmp_path / "elsewhere" / "deep", suffix=".JPEG")
    root = tmp_path / "set"
    fill(root / "b", suffix=".PNG")
    (root / "a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    data = load(root)
    assert data.classes == ("a", "b")
    assert sum(data.size(s) for s in ("fit", "val", "test")) == 12


def test_tiny_imagenet(tmp_path):
    for name in ("n01", "n02"):
        fill(tmp_path / "train" / name / "images", 8, suffix=".JPEG")
        (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("0.JPEG\t0\t0\t1\t1\n")
    fill(tmp_path / "val" / "images", 6, suffix=".JPEG")
    rows = [f"{i}.JPEG\tn0{1 + i % 2}\t0\t0\t1\t1\n" for i in range(6)]
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(rows))
    fill(tmp_path / "test" / "images", 5, suffix=".JPEG")
    data = load(tmp_path)
    assert [data.size(s) for s in ("fit", "val", "test")] == [15, 1, 6]
    found = {path.name: int(label) for path, label in zip(data.dataset("test").paths, data.labels("test"))}
    assert found == {f"{i}.JPEG": i % 2 for i in range(6)}
    assert "test/images was passed over: its images are in no class" in data.notes
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(rows[:5]))
    with pytest.raises(DataError, match=r"1 images of .* have no class in val_annotations.txt, the first is 5.JPEG"):
        load(tmp_path)
    (tmp_path / "val" / "val_annotations.txt").write_text("0.JPEG n01\n")
    with pytest.raises(DataError, match=r"Line 1 of .* is '0.JPEG n01': expected the name of a file in images/, a tab"):
        load(tmp_path)


def unsorted(root):
    laid(root, train="ab")
    fill(root / "val")


def linked(root):
    laid(root, train="ab", test="b")
    (root / "test" / "a").mkdir()
    (root / "test" / "a" / "0.png").symlink_to(root / "train" / "a" / "0.png")


REFUSED = {
    "no training images": (lambda r: laid(r, val="ab", test="ab"), r"has val/ and test/ and no train/"),
    "a class that was not trained on": (
        lambda r: laid(r, train="ab", val="ab", test="abc"),
        r"class 'c' of the folder .*test' is not in the training folder 'train': "
        r"expected one of its 2 classes \(a, b\)",
    ),
    "images without a class": (unsorted, r"val' holds images that are in no class: expected a sub-folder for each"),
    "two names of one split": (
        lambda r: laid(r, train="ab", val="ab", valid="ab"),
        r"val/ and valid/: expected one of",
    ),
    "one file in two splits": (linked, r"The fit and the test split hold one file, .*0.png and .*0.png"),
    "one class": (lambda r: laid(r, train="a", test="ab"), r"train' has 1 sub-folder\(s\): expected two or more"),
    "nothing readable": (
        lambda r: [(r / name).mkdir() or (r / name / "x.dcm").write_text("") for name in "ab"],
        r"has 0 sub-folder\(s\): expected two .* \(2 sub-folder\(s\) of .* without images were passed over \(a, b\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(tmp_path, name):
    make, words = REFUSED[name]
    make(tmp_path)
    with pytest.raises(DataError, match=words):
        load(tmp_path)
