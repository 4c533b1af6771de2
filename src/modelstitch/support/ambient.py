"""The surroundings of a call, put aside: what a caller has set for other work moves no number here.

A notebook's cell may run inside autocast, under another default type or device, without gradients, or with numpy's
errors raised. Every public door enters ``settled``, which sets what differs to what every program begins with, and
sets it back. In ordinary surroundings it does nothing. What a call finds out while it runs, so that it need not find it
again, is there with it (``found``), and gone when it ends.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import torch

_HELD: ContextVar[dict[str, Any] | None] = ContextVar("found", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Remember for a while; within another such while, that one's memory is used."""
    if _HELD.get() is not None:
        yield
        return
    before = _HELD.set({})
    try:
        yield
    finally:
        _HELD.reset(before)


def found() -> dict[str, Any] | None:
    """What the call that runs has found out, to read and to add to; None where none runs."""
    return _HELD.get()


F = TypeVar("F", bound=Callable[..., Any])

_NUMPY = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _matmul_precision() -> str:
    """As the older of torch's two ways has it.

    Who went the newer one cannot be asked so, and is settled by ``_PRECISIONS``.
    """
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "highest"


# How a number is computed, and what every program begins with: (read, set, usual). Flags that ask for deterministic
# algorithms are
# left alone: on a CPU they move nothing, and on a GPU a caller who sets them means them.
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any], Any], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (*_attribute(torch.backends.cudnn, "benchmark"), False),
    (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, True),
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp, True),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp, True),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp, True),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp, True),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, True),
)
# Where single precision may be computed with fewer digits; each asks the one before it where it says nothing itself.
_PRECISIONS: tuple[Any, ...] = tuple(
    owner
    for owner in (
        torch.backends,
        *(getattr(torch.backends.mkldnn, kind, None) for kind in ("matmul", "conv", "rnn")),
        torch.backends.cuda.matmul,
    )
    if hasattr(owner, "fp32_precision")
)
_FEWER_DIGITS = ("tf32", "bf16")
_DEVICES = ("cpu", "cuda", "mps", "xpu")  # that have an autocast of their own


def _set_precisions(wanted: list[tuple[Any, str]]) -> None:
    """One after the other, since those that say nothing themselves follow the first.

    What is right already is left alone.
    """
    for owner, value in wanted:
        if owner.fp32_precision != value:
            owner.fp32_precision = value


@contextmanager
def _all_digits() -> Iterator[None]:
    """Single precision with all of its digits, where a caller asked for fewer."""
    before = [(owner, owner.fp32_precision) for owner in _PRECISIONS]
    if not any(value in _FEWER_DIGITS for _, value in before):
        yield
        return
    _set_precisions([(owner, "ieee" if value in _FEWER_DIGITS else value) for owner, value in before])
    try:
        yield
    finally:
        _set_precisions(before)


@contextmanager
def settled() -> Iterator[None]:
    """Ordinary surroundings for a while: float32 on the CPU by default, no autocast, warnings that are no errors.

    What is found out within it is remembered until it ends (``found``).

    The gradient mode is the caller's: fits set their own, and tensors made in inference mode can be read in no other.
    """
    with ExitStack() as stack:
        stack.enter_context(remembering())
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for read, write, usual in _SETTINGS:
            before = read()
            if before != usual:
                stack.callback(write, before)
                write(usual)
        stack.enter_context(_all_digits())
        if np.geterr() != _NUMPY:
            stack.enter_context(np.errstate(**cast(Any, _NUMPY)))
        if any(action == "error" for action, *_ in warnings.filters):
            stack.enter_context(_warnings_that_are_no_errors())
        yield


@contextmanager
def _warnings_that_are_no_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filters[:] = [  # type: ignore[index]
            ("default" if action == "error" and not _ours(module) else action, message, category, module, line)
            for action, message, category, module, line in warnings.filters
        ]
        yield


def in_settled(function: F) -> F:
    """The function in ordinary surroundings.

    A generator in them at every step, while its caller keeps its own in between.
    """
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            inner = function(*args, **kwargs)
            try:
                while True:
                    with settled():
                        try:
                            item = next(inner)
                        except StopIteration:
                            return
                    yield item
            finally:
                inner.close()

        return cast(F, steps)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with settled():
            return function(*args, **kwargs)

    return cast(F, call)


def _ours(module: Any) -> bool:
    """Whether a filter is about this package's own warnings: these stay what the caller makes of them."""
    pattern = getattr(module, "pattern", module)
    return isinstance(pattern, str) and __package__.partition(".")[0] in pattern
