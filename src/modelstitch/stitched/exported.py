"""A model as one file that runs without this library: written, read and run again."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..engine.joined import Joined
from ..errors import StitchError, first_line
from ..network import Network
from ..support.files import make_folder, write_atomic
from ..support.optional import need

ENDINGS = (".onnx", ".pt2")
_NEAR = 1e-3  # of the largest output: how far another engine may be off

FileCall = Callable[[], Any]


def write_program(model: nn.Module, inputs: tuple[Any, ...], path: Path, name: str) -> None:
    """Write a model as a file, and see that the file computes what the model does.

    Args:
        model: in CPU memory, in eval mode.
        inputs: of a batch of two samples; the file takes batches of any size.
        path: its ending says how.
        name: how messages call the model.

    Raises:
        StitchError: the ending is another one, torch cannot export an operation, or the file computes otherwise.
        MissingExtraError: a package for ``.onnx`` is missing.
        StudyError: the file cannot be written.
    """
    if path.suffix not in ENDINGS:
        raise StitchError(f"The file {path} has no known ending: expected {' or '.join(ENDINGS)}.")
    if path.suffix == ".onnx":
        need("onnxscript")
        need("onnxruntime")
    try:
        program = torch.export.export(model, inputs, dynamic_shapes=_free_batch(inputs), strict=False)
        content = _onnx(program) if path.suffix == ".onnx" else _saved(program)
    except Exception as error:  # torch raises many kinds, its own among them
        raise StitchError(
            f"{name} cannot be exported to {path.suffix} ({type(error).__name__}: {first_line(error)}): "
            f"expected operations that torch exports; try {' or '.join(e for e in ENDINGS if e != path.suffix)}, or "
            "keep a stitch with .save(folder, whole=True)."
        ) from error
    make_folder(path.parent)
    write_atomic(path, content)
    with torch.no_grad():
        wanted, found = model(*inputs), torch.as_tensor(running(path, inputs)())
    apart = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    if not apart <= _NEAR * max(float(wanted.abs().max()), 1e-6):
        path.unlink()
        raise StitchError(
            f"{name} as {path.suffix} computes otherwise: expected outputs within a thousandth of the largest, found "
            f"{apart:.2g} apart; try {' or '.join(e for e in ENDINGS if e != path.suffix)}."
        )


def running(path: Path, inputs: tuple[Any, ...]) -> FileCall:
    """Open a file and give a call that runs it on these inputs, on as many threads as torch has.

    Args:
        path: that ``write_program`` wrote.
        inputs: of a batch of any size.
    """
    if path.suffix != ".onnx":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of how it wrote weights itself
            module = torch.export.load(path).module()
        return lambda: module(*inputs)
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    leaves = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    fed = {put.name: leaf.numpy() for put, leaf in zip(session.get_inputs(), leaves, strict=True)}
    return lambda: session.run(None, fed)[0]


def inputs_of(stitched: Joined, networks: tuple[Network, Network], n: int) -> tuple[Any, ...]:
    """What a stitched model is called with for n samples: the bottom's input, and the top's where it differs."""
    low, high = networks
    if stitched.top.needs_input or high.sample_shape != low.sample_shape:
        return low.batch_of(n), high.batch_of(n)
    return (low.batch_of(n),)


def engine_of(path: Path) -> str:
    """What runs a file, in words."""
    if path.suffix == ".onnx":
        return f"onnxruntime {need('onnxruntime').__version__}"
    return f"torch {torch.__version__}"


def _free_batch(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first dimension of what has two samples may be any."""
    free = {0: torch.export.Dim.AUTO}
    found: tuple[Any, ...] = pytree.tree_map(
        lambda leaf: free if isinstance(leaf, Tensor) and len(leaf) == 2 else None, inputs
    )
    return found


def _saved(program: torch.export.ExportedProgram) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()


def _onnx(program: torch.export.ExportedProgram) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(program, (), dynamo=True, verbose=False)
    assert made is not None
    content = io.BytesIO()
    need("onnx").save(made.model_proto, content)
    return content.getvalue()
