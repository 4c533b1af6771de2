"""The data of a scale, or the sentence that says what to fetch and where to put it."""

from __future__ import annotations

from ..errors import DataError
from ..sources.data import Data
from ..sources.named import load_data
from .scales import Scale

_FETCH = (
    "expected CIFAR-10 as a folder of Parquet files in the Hugging Face image layout (train-*.parquet, test-*.parquet; "
    "uoft-cs/cifar10 is one), given as --data parquet:DIR, or torchvision's copy, given as --data cifar10:DIR"
)


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
