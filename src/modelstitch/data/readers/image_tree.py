"""What lies below an image folder: which sub-folders are splits, which are classes, and what is passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ...errors import DataError
from ...support.words import first_of

_PICTURE = re.compile(r"\.(png|jpe?g|jfif|webp|bmp|gif|tiff?|p[pgbn]m|jp2|avif)$", re.IGNORECASE)
NAMES = {
    "fit": ("train", "training", "fit"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# Left behind by file managers, archives, servers and notebooks; hidden names are, too.
_LEFTOVERS = frozenset(
    ["__macosx", "__pycache__", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"]
)
_SPLIT_WORD = re.compile(
    r"train|test|valid|eval|(^|[^a-z])(val|dev|fit)([^a-z]|$)"
)  # in the name of a folder of folders
_UNSORTED = (
    "images"  # Tiny ImageNet: val/images beside val/val_annotations.txt, and the same for the pictures of a class
)


@dataclass
class Part:
    """The images of one split.

    Attributes:
        base: its folder.
        files: the images of each class, in order.
    """

    base: Path
    files: dict[str, list[Path]]

    def listed(self, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
        """The files sorted by class, and the number of each one's class."""
        paths = [path for name in classes for path in self.files.get(name, [])]
        return paths, [label for label, name in enumerate(classes) for _ in self.files.get(name, [])]


@dataclass
class Tree:
    """The splits of an image folder, ``{"fit": ...}`` alone where it is not split.

    ``said`` is what a reader should know.
    """

    parts: dict[str, Part]
    classes: list[str]
    said: list[str] = field(default_factory=list)


def read_tree(root: Path) -> Tree:
    """Find splits, classes and images below a folder. Classes are those of the training images, sorted by name.

    Raises:
        DataError: if there are fewer than two classes, a split without classes, or a class that was not trained on.
    """
    said: list[str] = []
    folders = _splits(root)
    if not folders:
        _check_unnamed(root)
        folders = {"fit": root}
    elif "fit" not in folders:
        found = " and ".join(f"{path.name}/" for path in folders.values())
        raise DataError(
            f"The folder {str(root)!r} has {found} and no train/: expected the images to fit on, too, in train/."
        )
    parts = {}
    for split, base in folders.items():
        part = _part(base, split, said)
        if part is not None:
            parts[split] = part
    if root not in folders.values():
        _check_beside(root, folders, set(parts["fit"].files), said)
    if "val" in parts and "test" not in parts:
        parts["test"] = parts.pop("val")
        said.append(
            f"there is no test folder: {parts['test'].base.name}/ is the test split, and validation samples are "
            f"held out of train/"
        )
    return Tree(parts, _checked_classes(parts, said), said)


def _checked_classes(parts: Mapping[str, Part], said: list[str]) -> list[str]:
    """The classes of the training images; those that another split lacks are told, those it has beside are refused."""
    base, classes = parts["fit"].base, sorted(parts["fit"].files)
    if len(classes) < 2:
        passed = f", with images in them ({'; '.join(said)})" if said else ""
        raise DataError(
            f"The folder {str(base)!r} has {len(classes)} sub-folder(s): expected two or more, one for each class"
            f"{passed}."
        )
    for split, part in parts.items():
        unknown = sorted(set(part.files) - set(classes))
        if unknown:
            raise DataError(
                f"The class {unknown[0]!r} of the folder {str(part.base)!r} is not in the training folder "
                f"{base.name!r}: expected one of its {len(classes)} classes ({first_of(classes)}); rename it, or move "
                "it away."
            )
        absent = [name for name in classes if name not in part.files]
        if absent:
            said.append(
                f"{part.base.name}/ ({split}) has no images of {len(absent)} of {len(classes)} classes "
                f"({first_of(absent)})"
            )
    return classes


def _splits(root: Path) -> dict[str, Path]:
    """The split folders below ``root``: named so in any case, with sub-folders.

    One of images alone is a class of that name.
    """
    found: dict[str, Path] = {}
    flat: list[Path] = []
    below = {path.name.lower(): path for path in sorted(_folders(root), reverse=True)}
    for split, names in NAMES.items():
        here = [below[name] for name in names if name in below]
        deep = [path for path in here if any(_folders(path))]
        if len(deep) > 1:
            raise DataError(
                f"The folder {str(root)!r} has {deep[0].name}/ and {deep[1].name}/: expected one of them for its "
                f"{split} split; move the other away."
            )
        flat += [path for path in here if path not in deep]
        if deep:
            found[split] = deep[0]
    for path in flat if "fit" in found else ():
        if any(_images(path)):
            raise DataError(
                f"The folder {str(path)!r} holds images that are in no class: expected a sub-folder for each "
                f"class, as in {found['fit'].name}/; sort its images into such, or move it away."
            )
    return found


def _check_unnamed(root: Path) -> None:
    """Refuse splits under names that are not known, and classes over splits.

    They would be read as classes, samples of all mixed.

    That is where several sub-folders hold the same several ones and no images of their own, and a name speaks of a
    split.
    """
    folders = sorted(_folders(root))
    below = [sorted(path.name for path in _folders(folder)) for folder in folders]
    alike = len(below) > 1 and len(below[0]) > 1 and below.count(below[0]) == len(below)
    if not alike or any(any(_images(folder, deep=False)) for folder in folders):
        return
    known = {name for names in NAMES.values() for name in names}
    if known & {name.lower() for name in below[0]} or any(_SPLIT_WORD.search(path.name.lower()) for path in folders):
        first, second = ", ".join(below[0][:3]), ", ".join(f"{path.name}/" for path in folders[:3])
        raise DataError(
            f"The sub-folders {second} of {str(root)!r} hold the same sub-folders each ({first}): expected train/, "
            "val/ and test/ with a sub-folder for each class in them; rename or move the folders so."
        )


def _check_beside(root: Path, folders: dict[str, Path], classes: set[str], said: list[str]) -> None:
    """Tell of folders beside the splits; one with their classes may be the test set that is missing, and is refused."""
    for path in sorted(_folders(root)):
        if path in folders.values() or not any(_images(path)):
            continue
        if len(folders) == 1 and len(classes & {inner.name for inner in _folders(path)}) > 1:
            raise DataError(
                f"The folder {str(root)!r} has {path.name}/ with the classes of {folders['fit'].name}/, and no val/ or "
                "test/: expected the samples to measure on in test/; rename it so, or move it away."
            )
        said.append(f"{path.name}/ is no split by name, and was passed over")


def _part(base: Path, split: str, said: list[str]) -> Part | None:
    """The images of one split by class; None for the unlabelled test images of Tiny ImageNet."""
    folders = sorted(_folders(base))
    if split != "fit" and [path.name for path in folders] == [_UNSORTED]:
        tables = sorted(base.glob("*_annotations.txt"))
        if tables:
            return Part(base, _annotated(tables[0], folders[0]))
        if not any(_folders(folders[0])):
            said.append(f"{base.name}/{_UNSORTED} was passed over: its images are in no class")
            return None
    return Part(base, _by_class(base, folders, split, said))


def _by_class(base: Path, folders: Sequence[Path], split: str, said: list[str]) -> dict[str, list[Path]]:
    """The images of each class that has some; what is passed over is told."""
    files = {path.name: sorted(_images(path)) for path in folders}
    empty = [name for name, found in files.items() if not found]
    if empty:
        said.append(f"{len(empty)} sub-folder(s) of {base.name}/ without images were passed over ({first_of(empty)})")
    loose = sum(1 for _ in _images(base, deep=False))
    if loose:
        said.append(f"{loose} image(s) beside the class folders of {base.name}/ were passed over")
    found = {name: paths for name, paths in files.items() if paths}
    if not found and split != "fit":
        raise DataError(f"The folder {str(base)!r} holds no images in class folders: expected .png, .jpg or the like.")
    return found


def _annotated(table: Path, folder: Path) -> dict[str, list[Path]]:
    """The images of ``folder`` by the class that a table (file, tab, class, ...) gives them."""
    files: dict[str, list[Path]] = {}
    images = {path.name: path for path in _images(folder)}
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"The table {str(table)!r} cannot be read ({error}): expected lines 'file, tab, class'."
        ) from error
    for number, line in enumerate(lines, 1):
        name, *rest = line.split("\t")
        if name in images and rest:
            files.setdefault(rest[0], []).append(images.pop(name))
        elif line.strip():
            raise DataError(
                f"Line {number} of {str(table)!r} is {line!r:.80}: expected the name of a file in {folder.name}/, a "
                f"tab and its class."
            )
    if images:
        first = min(images)
        raise DataError(
            f"{len(images)} images of {str(folder)!r} have no class in {table.name}, the first is {first}: expected "
            f"one for each."
        )
    return {name: sorted(paths) for name, paths in files.items()}


def _folders(base: Path) -> Iterator[Path]:
    try:
        with os.scandir(base) as entries:
            found = [Path(entry.path) for entry in entries if entry.is_dir() and not _leftover(entry.name)]
    except OSError as error:
        _unread(error)
    yield from found


def _images(base: Path, *, deep: bool = True) -> Iterator[Path]:
    """The image files below a folder; links are followed, once each."""
    seen = set()
    for folder, below, names in os.walk(base, onerror=_unread, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = [name for name in below if deep and not _leftover(name)] if real not in seen else []
        if real in seen:
            continue
        seen.add(real)
        for name in names:
            if not _leftover(name) and _PICTURE.search(name):
                yield Path(folder, name)


def pictures(base: Path) -> list[Path]:
    """The image files of a folder itself, sorted by name."""
    return sorted(_images(base, deep=False))


def _unread(error: OSError) -> NoReturn:
    raise DataError(
        f"The folder {str(error.filename)!r} cannot be read ({error.strerror}): check that you may read it; none is "
        f"dropped silently."
    ) from error


def _leftover(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFTOVERS
