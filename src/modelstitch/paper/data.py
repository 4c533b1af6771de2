"""The data of a scale, or the sentence that says what to fetch and where to put it."""

from __future__ import annotations

from .. import Data, load_data
from ..errors import DataError
from .scales import Scale

_FETCH = (
    "expected CIFAR-10 as a folder of Parquet files in the Hugging Face image layout (train-*.parquet, test-*.parquet; "
    "uoft-cs/cifar10 is one), given as --data parquet:DIR, or torchvision's copy, given as --data cifar10:DIR"
)


_OWN = {"digits": "scikit-learn's digits", "cifar10": "CIFAR-10"}


def other(data: Data, scale: Scale) -> str:
    """The data in words where they are not those that the scale is made for, else "".

    CIFAR-10 is known by its size, since it comes under the name of the user's folder.
    """
    shape = tuple(next(data.batches("test", 1)).inputs.shape[1:])
    sizes = (data.size("fit") + data.size("val"), data.size("test"))
    if scale.data == "cifar10":
        same = (shape, data.n_classes, sizes) == ((3, 32, 32), 10, (50_000, 10_000))
    else:
        same = data.name == scale.data
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
        DataError: with what to download and where to put it, if CIFAR-10 is missing.
    """
    if spec == "cifar10":
        raise DataError(f"The scale {scale.name!r} needs data: {_FETCH}.")
    try:
        return load_data(spec)
    except DataError as error:
        if scale.data == "cifar10":
            raise DataError(f"{str(error).rstrip('.')}; scale {scale.name!r}: {_FETCH}.") from error
        raise
