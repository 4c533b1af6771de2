"""Whether networks take the samples that data give: what their views make of them, and of which size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..data.access import of_images
from ..data.data import Data
from ..errors import NetworkError, StitchError

if TYPE_CHECKING:
    from ..network import Network


def check_sizes(networks: Iterable[Network], data: Data) -> None:
    """Refuse a network that was traced at another size than it sees the data at.

    What its layers' shapes decide, adapters and class noise above all, is worked out at the size of the trace.

    Raises:
        NetworkError: with both sizes, or with what is wrong with a view.
    """
    batch = next(iter(data.batches("val", 2)))
    for network in networks:
        try:
            seen = network.view(batch.inputs)
        except StitchError:
            raise
        except Exception as error:  # a view of the user's own may raise anything
            line = (str(error).strip().splitlines() or [""])[0][:200]
            raise NetworkError(
                f"The view of {network.name!r} fails on a batch of the data ({type(error).__name__}: {line}): expected "
                f"a function of a batch, here {_held(batch.inputs)}; give a transform of single images as it is, "
                "without a function around it."
            ) from error
        check_view(network, seen, len(batch))
        network.check_sample(seen)
        _check_size(network, seen)


def check_view(network: Network, seen: Any, n: int) -> None:
    """Refuse what a view made of ``n`` samples where it is no tensor, or holds another number of samples.

    Raises:
        NetworkError: naming the view's network.
    """
    if isinstance(seen, list) and of_images(seen):
        raise NetworkError(
            f"The images have several sizes, and the view of {network.name!r} "
            f"{'leaves them so' if network.has_view else 'is not set'}: "
            "expected a view= that brings them to one size, such as the evaluation's own transform; or resize them "
            "in the data."
        )
    try:
        found = network.data_input(seen)
    except NetworkError:  # a forward says more
        return
    if not isinstance(found, Tensor):
        raise NetworkError(
            f"The view of {network.name!r} returned {_kind(found)}: expected a tensor of {n} samples; end it with "
            f"torch.as_tensor()."
        )
    if not found.ndim or len(found) != n:
        raise NetworkError(
            f"The view of {network.name!r} returned {len(found) if found.ndim else 1} samples for {n}: expected one "
            "for each, in their order; check its view=."
        )


def _check_size(network: Network, seen: Any) -> None:
    try:
        found = network.data_input(seen)
    except NetworkError:
        return
    wanted, shape = network.sample_shape, tuple(found.shape[1:])
    comparable = found.is_floating_point() and len(shape) == len(wanted) > 1  # ids and vectors are told of by a forward
    if not comparable or shape == wanted or (len(shape) > 2 and shape[0] != wanted[0]):
        return
    raise NetworkError(
        f"The network {network.name!r} was traced with samples of {wanted}, the data give {shape}: expected one size, "
        "at which layers can meet; give it a view= that resizes, such as Normalise(mean, std, size=...) (--mean and "
        "--std on the command line), or an example of the data's size."
    )


def _held(inputs: Any) -> str:
    if isinstance(inputs, Tensor):
        return f"a tensor {tuple(inputs.shape)} of {inputs.dtype}"
    return f"{_kind(inputs)} of {', '.join(map(str, inputs))}" if isinstance(inputs, dict) else _kind(inputs)


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
