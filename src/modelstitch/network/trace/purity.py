"""Whether a module is one function of its inputs, for batches of every size, and its trace the same one.

Both are run and held against each other.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...errors import NetworkError, TraceError, first_line
from ...support.user_code import contents
from .form import InputForm
from .lines import SourceLine, is_outside, is_own, line_here, line_of_error
from .owner import owners_kept
from .trace import Trace, cannot_trace
from .twin import HIGH, LOW, SOURCES, Eager, as_usual, states

_GRAD = ("is_grad_enabled",)
_TRACING_NAMES = """
    is_compiling is_exporting is_tracing is_scripting is_in_onnx_export is_dynamo_compiling is_torchdynamo_compiling
    is_torchdynamo_exporting is_fx_tracing is_fx_symbolic_tracing
"""
_TRACING = tuple(_TRACING_NAMES.split())
_CLOCK_NAMES = "time time_ns perf_counter perf_counter_ns monotonic process_time now utcnow today urandom"
_CLOCKS = tuple(_CLOCK_NAMES.split())
LARGEST = 4096  # samples: a branch beyond concerns nothing that is computed here, and would take long to try


@contextmanager
def _no_collector() -> Iterator[None]:
    """Let the garbage collector wait: its callbacks and finalisers are others' code, which may read a clock."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_no_collector()
def run_twice(eager: Eager, leaves: list[Tensor]) -> Tensor:
    """The module's output on the example; twice the same, whatever random numbers there are, and nothing written.

    Raises:
        TraceError: with the cause.
    """
    watch, name = eager.watch, eager.name
    try:
        first = eager(leaves, LOW)
    except NetworkError:
        raise
    except Exception as error:  # whatever the module's own code raises
        if not watch.written:
            raise TraceError(cannot_trace(name, error, eager.form, leaves, "be run on its example")) from error
    if watch.written:
        kind, tensor, line = watch.written
        what = f"its {kind} {tensor!r}" if "own" not in kind else f"a {kind} ({tensor})"
        raise TraceError(
            f"The network {name!r} writes {what} in eval mode{_at(line)}: expected a frozen network; "
            "keep the statistics fixed in eval mode before stitching."
        )
    eager.settle_hooks()
    second: Tensor | Exception = _outcome(eager, leaves, HIGH)
    # a hook may act through something that another part looks at; what it left there in the first call, a new copy has
    # not
    if eager.leaves_out and not all(_equals(first, o) for o in (second, _outcome(eager.again(), leaves, LOW))):
        eager.keep_hooks()
        _outcome(eager, leaves, LOW)
        second = _outcome(eager, leaves, HIGH)
    if isinstance(second, Exception):
        raise TraceError(
            f"The network {name!r} runs once and then fails ({type(second).__name__}: {first_line(second)}"
            f"){_at(line_of_error(second))}: expected a function of its input alone; {_cause(eager, leaves)}."
        ) from second
    if not alike(first, second):
        raise TraceError(
            f"The network {name!r} {_cause(eager, leaves)}: its output differs from call to call, expected a "
            "function of its input alone; fix the noise, or take out what changes, before stitching."
        )
    return first


def _equals(wanted: Tensor, outcome: Tensor | Exception) -> bool:
    return isinstance(outcome, Tensor) and alike(wanted, outcome)


def _outcome(eager: Eager, leaves: list[Tensor], rng: dict[str, bool]) -> Tensor | Exception:
    try:
        return eager(leaves, rng)
    except Exception as error:  # whatever the module's own code raises
        return error


@_no_collector()
def check_trace(
    trace: Trace, traced: nn.Module, eager: Eager, leaves: list[Tensor], first: Tensor, one: list[Tensor]
) -> None:
    """Hold the traced network against the module.

    On the example, and on a batch of one, other values and with gradients on.

    Raises:
        TraceError: where they differ, with the cause as far as it is known.
    """
    name = eager.name
    found = _graph(traced, trace, leaves, name)
    if not alike(found, first):
        raise TraceError(_differs(eager, leaves, found, first, name))
    try:
        wanted = eager(one, HIGH, grad=True)
    except Exception:  # it may refuse a batch of one in its own way; unless it keeps something of the last batch
        try:
            eager.again()(one, HIGH)
        except Exception:  # it refuses one sample always: that is its own way
            return
        raise TraceError(
            f"The network {name!r} fails on a batch of one after the example's of "
            f"{len(leaves[trace.form.data_position])}: expected "
            "a function of its input alone; do not keep what was made for one batch in an attribute."
        ) from None
    found = _graph(traced, trace, one, name)
    if not alike(found, wanted) and not alike(found.flatten(), wanted.flatten()):  # squeeze() may take the batch of one
        if alike(found, eager(one, HIGH)):
            where = _called(eager, one, _GRAD)
            raise TraceError(
                f"The network {name!r} computes something else where gradients are on{_at(where)}: expected one "
                "function; take the branch on the gradient mode out of forward()."
            )
        if alike(found, eager.again()(one, HIGH)):
            raise TraceError(
                f"The network {name!r} {_kept(eager, leaves)}: expected a function of its input alone; do not keep "
                "what was made for one batch for the next."
            )
        raise TraceError(
            f"The network {name!r} computes something else on a batch of one than on the example's of "
            f"{len(leaves[trace.form.data_position])} (off by {_off(found, wanted)}): expected one function for any "
            "batch; look for squeeze() without a dimension, branches on the batch size or on the values, and tensors "
            "made for one batch."
        )


def alike(found: Tensor, wanted: Tensor, *, loosely: bool = False) -> bool:
    """Whether two outputs are equal, up to the rounding of another kernel; ``loosely``, of another order of sums."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if torch.equal(found, wanted):
        return True
    if not (wanted.is_floating_point() or wanted.is_complex()):
        return False
    largest = wanted.abs()
    largest = torch.where(largest.isfinite(), largest, 0)
    eps = torch.finfo(wanted.dtype).eps
    share = eps**0.5 if loosely else eps * (32 if eps < 1e-5 else 4)
    near = share * float(largest.max()) if largest.numel() else 0.0
    return torch.allclose(found, wanted, rtol=0, atol=near, equal_nan=True)


def _run(traced: nn.Module, form: InputForm, leaves: list[Tensor]) -> Tensor:
    """The traced network's output for copies of a call's tensors."""
    args, kwargs = form.rebuild([leaf.detach().clone() for leaf in leaves])
    with as_usual(), torch.no_grad():
        result: Tensor = traced(*args, **kwargs)
    return result


def _graph(traced: nn.Module, trace: Trace, leaves: list[Tensor], name: str) -> Tensor:
    try:
        return _run(traced, trace.form, leaves)
    except Exception as error:
        n = len(leaves[trace.form.data_position])
        raise TraceError(
            f"The trace of {name!r} cannot be run on a batch of {n} ({type(error).__name__}: {first_line(error)}), "
            "where the module can: expected one function for any batch size; take what depends on the batch size "
            "out of forward()."
        ) from error


def _differs(eager: Eager, leaves: list[Tensor], found: Tensor, wanted: Tensor, name: str) -> str:
    where = _called(eager, leaves, _TRACING)
    text = f"The network {name!r} computes something else while it is traced (off by {_off(found, wanted)})"
    if where is not None:
        return f"{text}{_at(where)}: expected one function; take the branch on tracing or compiling out of forward()."
    return (
        f"{text}: expected one function; take out of forward() what tracing changes: values of the sample read as "
        "Python numbers, what is kept from an earlier call, and errors that are caught."
    )


def _cause(eager: Eager, leaves: list[Tensor]) -> str:
    """Why two calls differ, in words that follow the network's name."""
    try:
        same = alike(eager.again()(leaves, LOW), eager.again()(leaves, LOW))
        asked = {s: (eager.again()(leaves, LOW), eager.again()(leaves, {**LOW, s: True})) for s in eager.drawn}
        drawn = [s for s in SOURCES if s in asked and not alike(*asked[s])]
    except Exception:  # a module that fails now and then
        same, drawn = False, []
    if same and drawn == [SOURCES[2]] and eager.watch.random:
        operation, line = eager.watch.random
        return f"draws random numbers in eval mode ({operation}{', ' if line else ''}{line or ''})"
    if same and drawn:
        return f"draws random numbers in eval mode ({drawn[0]}{_drawn_at(eager, leaves, drawn[0])})"
    clock = _called(eager, leaves, _CLOCKS)
    if clock is not None:
        return f"reads a clock or the system's random numbers{_at(clock)}"
    if same:
        return _kept(eager, leaves)
    return "depends on something beside its inputs (a clock, a generator of its own, a global that it changes)"


def _kept(eager: Eager, leaves: list[Tensor]) -> str:
    """The attribute in which a module keeps something from call to call."""
    fresh = eager.again()
    before = _attributes(fresh.twin)
    fresh(leaves, LOW)
    after = _attributes(fresh.twin)
    changed = sorted(key for key in after if after[key] != before.get(key))
    if changed:
        return f"keeps something from call to call in its attribute {changed[0]!r}"
    return "keeps something from call to call, in no attribute of its own (a global, or what a function holds)"


def _attributes(module: nn.Module) -> dict[str, str]:
    """What each attribute of a module and its parts holds, as a hash.

    Parameters, buffers and parts are seen elsewhere.
    """
    plain = vars(nn.Module()).keys() - {"training"}
    return {
        f"{prefix}.{key}" if prefix else key: contents(value)
        for prefix, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in plain and not isinstance(value, nn.Module)
    }


def _called(eager: Eager, leaves: list[Tensor], names: tuple[str, ...]) -> SourceLine | None:
    """The first line of the module's code that calls a function of one of the given names."""
    found: list[SourceLine] = []

    def noted(frame: FrameType, event: str, function: Any) -> None:
        called = frame.f_code.co_name if event == "call" else getattr(function, "__name__", "")
        caller = frame.f_back if event == "call" else frame
        if event in ("call", "c_call") and called in names and caller is not None and not found:
            line = line_here(caller)
            if line is not None and is_outside(caller.f_code.co_filename):  # torch's own code asks too
                found.append(line)

    _watched(eager, leaves, sys.getprofile, sys.setprofile, noted)
    return found[0] if found else None


def _drawn_at(eager: Eager, leaves: list[Tensor], source: str) -> str:
    """The line of the user's that draws from ``source``, found by looking at its state before every line."""
    found: list[SourceLine] = []
    last: list[Any] = [None, None]  # the state, and the line that was begun with it

    def look(frame: FrameType, event: str, _: Any) -> Any:
        if not is_own(frame.f_code.co_filename) or found:
            return None
        now = states()[source]
        if last[1] is not None and now != last[0]:
            found.append(last[1])
        last[:] = now, SourceLine(frame.f_code.co_filename, frame.f_lineno)
        return look

    _watched(eager, leaves, sys.gettrace, sys.settrace, look)
    return f", {found[0]}" if found else ""


def _watched(
    eager: Eager, leaves: list[Tensor], get: Callable[[], Any], put: Callable[[Any], None], look: Callable[..., Any]
) -> None:
    """Run the module once, while Python tells ``look`` of its calls or lines."""
    before, fresh = get(), eager.again()
    try:
        put(look)
        fresh(leaves, LOW)
    except Exception:  # what is looked for was met before it, or there is no line to name: the refusal stands
        pass
    finally:
        put(before)


def check_any_batch(trace: Trace, traced: nn.Module, eager: Eager, example: Any, name: str) -> None:
    """Refuse a network that computes something else in batches of other sizes than its graph was made for.

    A branch that changes no number (a large batch that goes through in pieces) is allowed: the module and the graph are
    tried on the nearest size beyond. A module that refuses such a batch itself is left to do so.

    Raises:
        TraceError: with the size at which it branches.
    """
    low, high = trace.sizes
    beyond = [(low - 1, f"fewer than {low}")] if low > 2 else []
    beyond += [(high + 1, f"more than {high}")] if high is not None and high < LARGEST else []
    for n, words in beyond:
        inputs = batch_of(trace, telling(example), n)
        try:
            wanted = eager.again()(inputs, LOW)
        except Exception:  # whatever its forward raises: it refuses such a batch itself
            continue
        if not alike(_run(traced, eager.form, inputs), wanted, loosely=True):
            raise TraceError(
                f"The network {name!r} computes something else in batches of {words} samples than in others: expected "
                "one function for any batch size; take the branch on the batch size (an `if` on x.shape[0]) out of "
                "forward()."
            )


def check_each_alone(trace: Trace, traced: nn.Module, eager: Eager, example: Any, name: str) -> None:
    """Refuse a network whose output for a sample depends on the other samples of the batch.

    Two batches of one size are run that differ in all samples but the first.

    Raises:
        TraceError: with the layer that computes over the batch, where it is one of torch's.
    """
    at = trace.form.data_position
    inputs = batch_of(trace, telling(example), 2)
    others = [leaf.clone() for leaf in inputs]
    rest = others[at][1:].flip(-1)
    others[at][1:] = -rest if rest.is_floating_point() else rest
    try:
        one, two = (_run(traced, trace.form, leaves) for leaves in (inputs, others))
    except Exception:  # a module that refuses such a batch says so where it is called
        return
    if one.shape != two.shape or len(one) != len(inputs[at]) or alike(one[0], two[0], loosely=True):
        return
    norms = [key for key, part in eager.module.named_modules() if getattr(part, "track_running_stats", None) is False]
    cause = f" (its part {norms[0]!r} has track_running_stats=False: the batch's own statistics)" if norms else ""
    raise TraceError(
        f"The network {name!r} mixes the samples of a batch{cause}: what it gives for one depends on the others, "
        "expected each sample by itself, in any company; take what is computed over the batch's axis out of "
        "forward(), such as means, sorting or shifts along axis 0, and norms without running statistics."
    )


def batch_of(trace: Trace, example: Any, n: int) -> list[Tensor]:
    """The example's inputs with ``n`` samples, which differ from each other where the data are no integers."""
    leaves = trace.form.flatten((example,), {})
    data = leaves[trace.form.data_position]
    several = [
        leaf[torch.arange(n, device=leaf.device) % len(leaf)] if trace.batched(node) else leaf
        for leaf, node in zip(leaves, trace.inputs, strict=True)
    ]
    if data.is_floating_point():
        scale = torch.linspace(0.5, 1.5, n, device=data.device, dtype=data.dtype)
        several[trace.form.data_position] *= scale.view(-1, *[1] * (data.ndim - 1))
    return several


def agrees(
    traced: nn.Module, module: nn.Module, form: InputForm, inputs: Any, output: str | int | None, name: str
) -> bool:
    """Whether a traced network gives what the module itself gives, bit for bit."""
    leaves = form.flatten((inputs,), {})
    with owners_kept(module) as reach:
        wanted = Eager(module, form, output, name, reach.tensors)(leaves, LOW)
    return torch.equal(wanted, _run(traced, form, leaves))


def telling(example: Any) -> Any:
    """The example with random numbers in place of zeros: without biases a network makes zeros of zeros."""
    generator = torch.Generator().manual_seed(0)

    def drawn(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or tensor.device.type == "meta" or bool(tensor.any()):
            return tensor
        return torch.rand(tensor.shape, generator=generator).to(tensor)

    return pytree.tree_map_only(Tensor, drawn, example)


def _off(found: Tensor, wanted: Tensor) -> str:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{tuple(found.shape)} of {found.dtype} for {tuple(wanted.shape)} of {wanted.dtype}".replace(
            "torch.", ""
        )
    return f"{float((found.double() - wanted.double()).abs().max()):.2g}"


def _at(line: SourceLine | None) -> str:
    return f" at {line}" if line is not None else ""
