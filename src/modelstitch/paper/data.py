"""The data of a scale, or the sentence that says what to fetch and where to put it."""

from __future__ import annotations

from .. import Data, load_data
from ..errors import DataError
from .scales import Scale

_OWN = {"digits": "scikit-learn's digits", "cifar10": "CIFAR-10", "fashion-mnist": "Fashion-MNIST"}
# How data are known that come under the name of the user's folder: sample shape, classes, training and test samples.
_SIZES = {
    "cifar10": ((3, 32, 32), 10, (50_000, 10_000)),
    "fashion-mnist": ((1, 28, 28), 10, (60_000, 10_000)),
}
_FOLDERS = {"cifar10": "uoft-cs/cifar10", "fashion-mnist": "zalando-datasets/fashion_mnist"}


def other(data: Data, scale: Scale) -> str:
    """The data in words where they are not those that the scale is made for, else ""."""
    shape = tuple(next(data.batches("test", 1)).inputs.shape[1:])
    sizes = (data.size("fit") + data.size("val"), data.size("test"))
    known = _SIZES.get(scale.data)
    same = data.name == scale.data if known is None else (shape, data.n_classes, sizes) == known
    seen = " x ".join(str(n) for n in shape)
    return "" if same else f"{data.name} ({seen}, {data.n_classes} classes), not {_OWN.get(scale.data, scale.data)}"


def complete(data: Data) -> None:
    """Refuse data of which a class has no sample to fit, or none to measure on.

    Raises:
        DataError: naming the class.
    """
    for split in ("fit", "test"):
        seen = set(data.labels(split).tolist())
        gone = [c for c in range(data.n_classes) if c not in seen]
        if gone:
            raise DataError(
                f"The {split} split of {data.name} holds no sample of class {gone[0]}: expected all {data.n_classes} "
                "classes; use more data, or data in random order."
            )


def without_paths(spec: str) -> str:
    """A data spec as a page may print it: ``parquet:DIR`` for ``parquet:/home/me/images``, options kept."""
    kind, colon, rest = spec.partition(":")
    _, mark, options = rest.partition("?")
    return f"{kind}{colon}{'DIR' * bool(colon)}{mark}{options}"


def load(spec: str, scale: Scale) -> Data:
    """The data of that spec.

    Raises:
        DataError: with what to download and where to put it, if it is missing.
    """
    if spec in _SIZES:
        raise DataError(f"The scale {scale.name!r} needs data: {_fetch(spec)}.")
    try:
        return load_data(spec)
    except DataError as error:
        if scale.data in _SIZES:
            raise DataError(f"{str(error).rstrip('.')}; scale {scale.name!r}: {_fetch(scale.data)}.") from error
        raise


def _fetch(name: str) -> str:
    return (
        f"expected {_OWN[name]} as a folder of Parquet files in the Hugging Face image layout (train-*.parquet, "
        f"test-*.parquet; {_FOLDERS[name]} is one), given as --data parquet:DIR, or torchvision's copy, given as "
        f"--data {name}:DIR"
    )
