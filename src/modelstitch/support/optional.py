"""Optional packages: imported when asked for, with one sentence where that fails."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import MissingExtraError, first_line

EXTRA_OF = {
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "hf",
    "open_clip": "openclip",
    "pyarrow": "pandas",
    "datasets": "datasets",
    "huggingface_hub": "hf",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
}


def need(package: str) -> Any:
    """The imported package.

    Raises:
        MissingExtraError: if it is not installed, or fails when imported (torchvision does so with a RuntimeError
            where it was built for another torch); the sentence names the extra to install.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError, OSError) as error:
        extra = EXTRA_OF.get(package.split(".")[0], package)
        raise MissingExtraError(
            f"The package {package!r} cannot be imported ({type(error).__name__}: {first_line(error)}): install it "
            f"with pip install 'modelstitch[{extra}]', from the same index as torch."
        ) from error
