"""Whether a module is one function of its inputs, and its trace the same one.

Both are run and held against each other.
"""

from __future__ import annotations

import gc
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ...errors import NetworkError, TraceError, first_line
from ...support.user_code import contents
from .clean import is_random
from .hooks import HookTrial, Key, global_hooks_out, hooks_of
from .inputs import InputForm
from .kept import Reach
from .lines import SourceLine, is_outside, is_own, line_here, line_of_error
from .outputs import choose_output
from .rng import SOURCES, rng_kept, set_rng, states
from .trace import Trace, cannot_trace
from .twin import make_twin

LOW, HIGH = dict.fromkeys(SOURCES, False), dict.fromkeys(SOURCES, True)
_TRACING = (
    "is_compiling",
    "is_exporting",
    "is_tracing",
    "is_scripting",
    "is_in_onnx_export",
    "is_dynamo_compiling",
    "is_torchdynamo_compiling",
    "is_torchdynamo_exporting",
    "is_fx_tracing",
    "is_fx_symbolic_tracing",
)
_CLOCKS = (
    "time",
    "time_ns",
    "perf_counter",
    "perf_counter_ns",
    "monotonic",
    "process_time",
    "now",
    "utcnow",
    "today",
    "urandom",
)
_GRAD = ("is_grad_enabled",)


class Eager:
    """The module as it runs, in eval mode and without gradients, on inputs that are copies.

    Nothing of the owner's changes.

    Calls of one object go to one copy of the module, so that what it keeps between calls shows.

    Args:
        outside: tensors that its code reaches without holding them.
        hooks: those of its hooks that run; where nothing is said, all, and the first call tells which act.
    """

    def __init__(
        self,
        module: nn.Module,
        form: InputForm,
        output: str | int | None,
        name: str,
        outside: Sequence[Tensor] = (),
        hooks: set[Key] | None = None,
    ) -> None:
        self.module, self.form, self.output, self.name, self._outside = module, form, output, name, outside
        self.twin, self.hooks = make_twin(module, frozen=True, hooks=hooks), hooks
        self._asked = HookTrial(self.twin) if hooks is None else None
        self._reach = Reach(hooks_of(module).values() if hooks is None else ())
        self.watch = _Guard(module, self._reach.tensors, outside)
        self.drawn: set[str] = set()  # the sources of random numbers that a call has drawn from

    def settle_hooks(self) -> None:
        """Go on, after a first call, with the hooks alone that act."""
        if self._asked is not None:
            self._asked.settle()
            self.hooks, self._asked = self._asked.acting, None
            if self.leaves_out:
                self._reach.blank()  # what one hook collected another one must not find

    @property
    def leaves_out(self) -> bool:
        """Whether there are hooks that do not run."""
        return self.hooks is not None and self.hooks != set(hooks_of(self.module))

    def keep_hooks(self) -> None:
        """Go on with all hooks, on a copy that was never called."""
        self._reach.put_back()
        self.hooks, self._asked = set(hooks_of(self.module)), None
        self.twin = make_twin(self.module, frozen=True)

    def on_meta(self, leaves: list[Tensor]) -> bool:
        """Whether there are no numbers to run it on."""
        held = (*leaves, *self.module.parameters(), *self.module.buffers())
        return any(tensor.device.type == "meta" for tensor in held)

    def again(self) -> Eager:
        """The module as it was before any call."""
        return Eager(self.module, self.form, self.output, self.name, self._outside, self.hooks)

    def __call__(self, leaves: list[Tensor], rng: dict[str, bool], grad: bool = False) -> Tensor:
        """The chosen output, with random numbers from the given states."""
        args, kwargs = self.form.rebuild([leaf.detach().clone() for leaf in leaves])
        asked = self._asked is not None
        with _as_usual(), global_hooks_out(self.name, asked), torch.set_grad_enabled(grad), self.watch:
            set_rng(rng)
            before = states()
            result = self.twin(*args, **kwargs)
            after = states()
            self.drawn |= {source for source in SOURCES if after[source] != before[source]}
            return choose_output(result, self.output)[1].detach()


@contextmanager
def _as_usual() -> Iterator[None]:
    """Plain eager mode in which nothing is left behind or said."""
    fast, dtype = torch.backends.mha.get_fastpath_enabled(), torch.get_default_dtype()
    torch.backends.mha.set_fastpath_enabled(False)  # kernels for inference alone, with another rounding
    try:
        with warnings.catch_warnings(), rng_kept(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with torch.compiler.set_stance("force_eager"):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.set_default_dtype(dtype)


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
            f"){_at(line_of_error(second))}: expected a function of its input alone; {_cause(eager, leaves, watch)}."
        ) from second
    if not alike(first, second):
        raise TraceError(
            f"The network {name!r} {_cause(eager, leaves, watch)}: its output differs from call to call, expected a "
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


def alike(found: Tensor, wanted: Tensor) -> bool:
    """Whether two outputs are equal, up to the rounding of another kernel."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if torch.equal(found, wanted):
        return True
    if not (wanted.is_floating_point() or wanted.is_complex()):
        return False
    largest = wanted.abs()
    largest = torch.where(largest.isfinite(), largest, 0)
    eps = torch.finfo(wanted.dtype).eps
    near = eps * (32 if eps < 1e-5 else 4) * float(largest.max()) if largest.numel() else 0.0
    return torch.allclose(found, wanted, rtol=0, atol=near, equal_nan=True)


def _graph(traced: nn.Module, trace: Trace, leaves: list[Tensor], name: str) -> Tensor:
    args, kwargs = trace.form.rebuild([leaf.detach().clone() for leaf in leaves])
    try:
        with _as_usual(), torch.no_grad():
            result: Tensor = traced(*args, **kwargs)
    except Exception as error:
        n = len(leaves[trace.form.data_position])
        raise TraceError(
            f"The trace of {name!r} cannot be run on a batch of {n} ({type(error).__name__}: {first_line(error)}), "
            "where the module can: expected one function for any batch size; take what depends on the batch size "
            "out of forward()."
        ) from error
    return result


def _differs(eager: Eager, leaves: list[Tensor], found: Tensor, wanted: Tensor, name: str) -> str:
    where = _called(eager, leaves, _TRACING)
    text = f"The network {name!r} computes something else while it is traced (off by {_off(found, wanted)})"
    if where is not None:
        return f"{text}{_at(where)}: expected one function; take the branch on tracing or compiling out of forward()."
    return (
        f"{text}: expected one function; take out of forward() what tracing changes: values of the sample read as "
        "Python numbers, what is kept from an earlier call, and errors that are caught."
    )


def _cause(eager: Eager, leaves: list[Tensor], watch: _Guard) -> str:
    """Why two calls differ, in words that follow the network's name."""
    try:
        same = alike(eager.again()(leaves, LOW), eager.again()(leaves, LOW))
        drawn = [
            s
            for s in SOURCES
            if s in eager.drawn and not alike(eager.again()(leaves, LOW), eager.again()(leaves, {**LOW, s: True}))
        ]
    except Exception:  # a module that fails now and then
        same, drawn = False, []
    if same and drawn == [SOURCES[2]] and watch.random:
        operation, line = watch.random
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

    before = sys.getprofile()
    fresh = eager.again()
    try:
        sys.setprofile(noted)
        fresh(leaves, LOW)
    except Exception:  # what is looked for was met before it, or there is no line to name: the refusal stands
        pass
    finally:
        sys.setprofile(before)
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

    before = sys.gettrace()
    fresh = eager.again()
    try:
        sys.settrace(look)
        fresh(leaves, LOW)
    except Exception:  # as above
        pass
    finally:
        sys.settrace(before)
    return f", {found[0]}" if found else ""


class _Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the first random operation, and stops the first write into what the module's owner holds."""

    supports_higher_order_operators = True

    def __init__(self, module: nn.Module, collected: Sequence[Tensor], outside: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.random: tuple[str, SourceLine | None] | None = None
        self.written: tuple[str, str, SourceLine | None] | None = None
        self._collected = {_place(tensor) for tensor in collected}  # by hooks, which may go on with a copy
        foreign = "tensor that is not its own", "a global, or what a function holds"
        self._held: dict[int, tuple[str, str]] = {
            _place(t): foreign for t in outside if _place(t) not in self._collected | {0}
        }
        for prefix, part in module.named_modules():
            for kind, tensors in (("tensor", vars(part)), ("buffer", part._buffers), ("parameter", part._parameters)):
                for key, tensor in tensors.items():
                    if isinstance(tensor, Tensor) and (place := _place(tensor)):
                        self._held[place] = kind, f"{prefix}.{key}" if prefix else key

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, schema = kwargs or {}, getattr(func, "_schema", None)
        if schema is not None and schema.is_mutable:
            for at, argument in enumerate(schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write and at < len(args):
                    args = (*args[:at], self._written(args[at]), *args[at + 1 :])
        elif (
            schema is not None and "norm" in schema.name
        ):  # whose schema does not say that running statistics are written
            given = dict(zip((argument.name for argument in schema.arguments), args)) | kwargs
            if given.get("training", given.get("train", given.get("use_input_stats"))):
                self._written([given.get("running_mean"), given.get("running_var")])
        if self.random is None and is_random(func, args, kwargs):
            self.random = str(func), line_here()
        return func(*args, **kwargs)

    def _written(self, argument: Any) -> Any:
        """What may be written in the argument's place."""
        if isinstance(argument, list | tuple):
            return [self._written(part) for part in argument]
        place = _place(argument) if isinstance(argument, Tensor) else 0
        if place in self._held:
            self.written = self.written or (*self._held[place], line_here())
            raise RuntimeError(f"writes its {self.written[0]} {self.written[1]!r}")
        return argument.clone() if place and place in self._collected else argument


def _place(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, or of a library with storage of its own
        return 0


def _off(found: Tensor, wanted: Tensor) -> str:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{tuple(found.shape)} of {found.dtype} for {tuple(wanted.shape)} of {wanted.dtype}".replace(
            "torch.", ""
        )
    return f"{float((found.double() - wanted.double()).abs().max()):.2g}"


def _at(line: SourceLine | None) -> str:
    return f" at {line}" if line is not None else ""
