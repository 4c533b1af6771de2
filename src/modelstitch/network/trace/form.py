"""How a network is called, flattened to the tensors the graph wants, and which of what it returns is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...errors import NetworkError


@dataclass(frozen=True)
class InputForm:
    """How a network is called, learnt from one example.

    Attributes:
        spec: the tree of (args, kwargs).
        paths: a readable name for each leaf ("0", "pixel_values", ...).
        constants: the leaves that are not tensors, by position; baked into the trace.
        data: position, among the leaves, of the input that carries the sample.
    """

    spec: pytree.TreeSpec
    paths: tuple[str, ...]
    constants: dict[int, Any]
    data: int

    @classmethod
    def learn(cls, example: Any, data: str | int | None) -> tuple[InputForm, list[Any]]:
        """Read the form of an example: a tensor, a tuple of positional, or a dict of keyword inputs."""
        args, kwargs = _as_call(example)
        with_paths, spec = pytree.tree_flatten_with_path((args, kwargs))
        paths = tuple(_path_name(path) for path, _ in with_paths)
        leaves = [leaf for _, leaf in with_paths]
        constants = {i: leaf for i, leaf in enumerate(leaves) if not isinstance(leaf, Tensor)}
        tensors = [i for i in range(len(leaves)) if i not in constants]
        if not tensors:
            raise NetworkError(
                "The example holds no tensor: expected a tensor, a tuple or a dict of tensors, found "
                f"{type(example).__name__}; of an array make one with torch.as_tensor, of a shape with torch.zeros."
            )
        where = next((i for i in tensors if data is None or paths[i] == str(data)), None)
        if where is None:
            raise NetworkError(
                f"No input is called {str(data)!r}: the example has {', '.join(paths[i] for i in tensors)}; "
                "choose data= from these."
            )
        return cls(spec, paths, constants, where), leaves

    def rebuild(self, tensors: list[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The (args, kwargs) of the module for a flat list of tensors, constants put back."""
        rest = iter(tensors)
        leaves = [self.constants[i] if i in self.constants else next(rest) for i in range(len(self.paths))]
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return args, kwargs

    @property
    def tensor_paths(self) -> list[str]:
        """The names of the tensor inputs, in the order of ``flatten``."""
        return [path for i, path in enumerate(self.paths) if i not in self.constants]

    @property
    def data_position(self) -> int:
        """Position of the data input among the tensor inputs."""
        return sum(i not in self.constants for i in range(self.data))

    def carrying(self, inputs: Any) -> Any:
        """Of a call's inputs, in the form of the example, what stands where the sample does.

        Raises:
            NetworkError: if they have another structure.
        """
        for path, leaf in pytree.tree_flatten_with_path(_as_call(inputs))[0]:
            if _path_name(path) == self.paths[self.data]:
                return leaf
        raise NetworkError("The input has another structure than the example the network was traced with.")

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        """The tensors of a call, in graph order.

        Accepts the form of the example as one argument (tensor, tuple, dict) or the module's own calling convention.
        """
        if len(args) == 1 and not kwargs and isinstance(args[0], (tuple, Mapping)):
            args, kwargs = _as_call(args[0])
        expected_args, expected_kwargs = pytree.tree_unflatten(list(range(len(self.paths))), self.spec)
        if set(kwargs) != set(expected_kwargs) or len(args) != len(expected_args):
            raise NetworkError(
                f"The network is called with {len(args)} positional and keyword inputs {sorted(kwargs)}: expected "
                f"{len(expected_args)} and {sorted(expected_kwargs)}, as in the example it was traced "
                f"with{_way_out(kwargs, expected_kwargs)}."
            )
        leaves, spec = pytree.tree_flatten((tuple(args), {k: kwargs[k] for k in expected_kwargs}))
        if spec != self.spec:
            raise NetworkError("The input has another structure than the example the network was traced with.")
        for i, leaf in enumerate(leaves):
            if i in self.constants and not _equal(leaf, self.constants[i]):
                raise NetworkError(
                    f"The input {self.paths[i]!r} is fixed to {self.constants[i]!r} by the example: found {leaf!r}; "
                    "trace the network with another example to change it."
                )
            if i not in self.constants and not isinstance(leaf, Tensor):
                raise NetworkError(
                    f"The input {self.paths[i]!r} is no tensor: expected one, as in the example, found "
                    f"{type(leaf).__name__}."
                )
        return [leaf for i, leaf in enumerate(leaves) if i not in self.constants]


def repeat_batch(leaves: list[Any], form: InputForm) -> list[Any]:
    """Leaves with a batch of at least two: a batch of one would be taken for a constant by the tracer."""
    size = leaves[form.data].shape[0] if leaves[form.data].ndim else 0
    if size != 1:
        return leaves
    return [
        torch.cat([leaf, leaf]) if isinstance(leaf, Tensor) and leaf.ndim and leaf.shape[0] == 1 else leaf
        for leaf in leaves
    ]


def _equal(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and bool(a == b))


def _as_call(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, tuple):
        return example, {}
    return (example,), {}


def _way_out(given: dict[str, Any], expected: dict[str, Any]) -> str:
    """What to do where a call has other keyword inputs than the example."""
    if expected and set(given) > set(expected):
        return (
            f"; where samples hold more, take what it knows: view=lambda x: {{key: x[key] for key in "
            f"{sorted(expected)}}}"
        )
    lacking = sorted(set(expected) - set(given)) if given else []
    return f"; the call lacks {', '.join(map(repr, lacking))}" if lacking else ""


def _path_name(path: tuple[Any, ...]) -> str:
    # The first key tells positional from keyword inputs; the user thinks only of what follows.
    return ".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path[1:])


def choose_output(result: Any, wanted: str | int | None) -> tuple[str, Tensor]:
    """The one output that is compared: the wanted one, else ``logits``, else the first tensor.

    Raises:
        NetworkError: if the wanted output is missing or no output is a tensor.
    """
    named = _named_outputs(result)
    tensors = {key: tensor for key, value in named.items() if (tensor := first_tensor(value)) is not None}
    key = str(wanted) if wanted is not None else "logits" if "logits" in named else next(iter(tensors), "")
    if wanted is not None and key not in named:
        raise NetworkError(
            f"The network has no output {key!r}: it returns {', '.join(named) or type(result).__name__}; "
            "choose output= from these."
        )
    if wanted is not None and key not in tensors:
        raise NetworkError(
            f"The output {key!r} of the network is not a tensor but {type(named[key]).__name__}: choose output= "
            f"from {', '.join(named)}."
        )
    if key not in tensors:
        raise NetworkError(f"No output of the network is a tensor: it returns {type(result).__name__}; choose output=.")
    return key, tensors[key]


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
