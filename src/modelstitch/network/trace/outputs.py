"""What a module returns: the one output that is compared, and the first tensor of any nest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from ...errors import NetworkError


def choose_output(result: Any, wanted: str | int | None) -> tuple[str, Tensor]:
    """The one output that is compared: the wanted one, else ``logits``, else the first tensor.

    Raises:
        NetworkError: if the wanted output is missing or no output is a tensor.
    """
    named = _named_outputs(result)
    if wanted is not None:
        key = str(wanted)
        if key not in named:
            raise NetworkError(
                f"The network has no output {key!r}: it returns {', '.join(named) or type(result).__name__}; "
                "choose output= from these."
            )
        value = first_tensor(named[key])
        if value is None:
            raise NetworkError(
                f"The output {key!r} of the network is not a tensor but {type(named[key]).__name__}: choose output= "
                f"from {', '.join(named)}."
            )
    elif "logits" in named:
        key, value = "logits", first_tensor(named["logits"])
    else:
        found = [(k, tensor) for k, v in named.items() if (tensor := first_tensor(v)) is not None]
        key, value = found[0] if found else ("", None)
    if value is None:
        raise NetworkError(f"No output of the network is a tensor: it returns {type(result).__name__}; choose output=.")
    return key, value


def first_tensor(result: Any) -> Tensor | None:
    """The first tensor in a nest of tuples, lists, mappings and dataclasses; None if there is none."""
    if isinstance(result, Tensor):
        return result
    for value in _named_outputs(result).values() if not isinstance(result, (str, bytes)) else ():
        if value is not result and (tensor := first_tensor(value)) is not None:
            return tensor
    return None


def _named_outputs(result: Any) -> dict[str, Any]:
    if isinstance(result, Tensor):
        return {"0": result}
    if isinstance(result, Mapping):
        return {str(k): v for k, v in result.items() if v is not None}
    if is_dataclass(result) and not isinstance(result, type):
        return {f.name: getattr(result, f.name) for f in fields(result) if getattr(result, f.name) is not None}
    if hasattr(result, "_fields"):
        return {k: v for k, v in zip(result._fields, result) if v is not None}
    if isinstance(result, (tuple, list)):
        return {str(i): v for i, v in enumerate(result) if v is not None}
    return {}
