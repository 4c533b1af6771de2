"""A module's copies: one for tracing that shares every tensor, one with its own, and one that runs unseen.

The last runs in plain eager mode, on inputs that are copies: nothing of the owner's changes. Random numbers come from
states that make rare draws show, and are what they would have been afterwards.
"""

from __future__ import annotations

import copy
import io
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ...errors import NetworkError, TraceError, first_line
from .clean import is_random
from .form import InputForm, choose_output
from .lines import SourceLine, line_here
from .owner import HookTrial, Key, Reach, global_hooks_out, hooks_of, rebind_hooks, share_hooks

_DROPOUTS = {
    kind.forward
    for kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
}


_PARALLEL = ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")


def unwrapped(module: Any) -> nn.Module:
    """The module itself; of a compiled one the original, which computes the same under its own layer names.

    Raises:
        NetworkError: if it is no module, has lazy parts that never ran, is wrapped for several devices, or compiled by
            TorchScript, which cannot be traced.
    """
    if not isinstance(module, nn.Module):
        given = f"the class {module.__name__}" if isinstance(module, type) else f"a {type(module).__name__}"
        raise NetworkError(
            f"The network is no module: expected an nn.Module, found {given}; make one of a class, wrap a function in "
            "a module whose forward calls it, and of an exported program pass the module from before torch.export."
        )
    while isinstance(module, torch._dynamo.OptimizedModule):
        module = module._orig_mod
    found: nn.Module = module
    kind = type(module).__name__
    if kind in _PARALLEL:
        raise NetworkError(f"The network is wrapped in {kind}: expected the module inside it; pass model.module.")
    if isinstance(module, torch.jit.ScriptModule):
        raise NetworkError(
            f"The network is a module of TorchScript ({kind}): expected an ordinary module; pass the original module, "
            "from before torch.jit.script or torch.jit.trace."
        )
    lazy = [name for name, tensor in (*found.named_parameters(), *found.named_buffers()) if is_lazy(tensor)]
    if lazy:
        raise NetworkError(
            f"The network has weights that are not made yet ({lazy[0]}): expected a trained module; run it once, "
            "module(example), or load its weights."
        )
    return found


class NoDropout(nn.Identity):
    """Stands for a dropout module: does nothing, and still answers those who read its rate."""

    p = 0.0
    inplace = False

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind


class Scripted(nn.Module):
    """Stands for a part that TorchScript compiled: one layer, which runs a copy of it in eval mode."""

    def __init__(self, part: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.kind = part.original_name
        # As a plain attribute it would be a part of this one, and the tracer would go into it.
        vars(self)["part"], vars(self)["copy"] = part, copy.deepcopy(part).eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)["copy"]._c._get_method("forward")(*args, **kwargs)

    def weights(self) -> dict[int, tuple[str, Tensor, str]]:
        """The owner's name, tensor and kind of every weight, by where the copy's lies in memory."""
        part, twin = vars(self)["part"], vars(self)["copy"]
        own = {name: (name, tensor, "buffer") for name, tensor in part.named_buffers()}
        own |= {name: (name, tensor, "parameter") for name, tensor in part.named_parameters()}
        return {t.data_ptr(): own[name] for name, t in (*twin.named_parameters(), *twin.named_buffers())}


def make_twin(module: nn.Module, *, frozen: bool = False, hooks: set[Key] | None = None) -> nn.Module:
    """A copy that shares every tensor, in eval mode, with dropout taken out and caches switched off.

    Args:
        frozen: its parameters are others, of the same memory, that want no gradients.
        hooks: those that it has; all of them where nothing is said.

    Raises:
        TraceError: if the module cannot be copied.
    """
    shared: dict[int, Any] = {id(t): t for t in _tensors(module)}
    if frozen:
        shared |= {id(p): _frozen(p) for p in module.parameters()}
    try:
        _keep_scripted(module, shared)
        share_hooks(module, shared)
        twin = copy.deepcopy(module, shared)
    except Exception as error:  # whatever the module's own __deepcopy__ or __reduce__ raises
        raise TraceError(
            f"The network cannot be copied for tracing ({type(error).__name__}: {first_line(error)}): expected a "
            "module that copy.deepcopy accepts; remove open files, locks or generators stored on it."
        ) from error
    rebind_hooks(twin, shared, hooks)
    twin.eval()
    for parent in list(twin.modules()):
        config: Any = getattr(parent, "config", None)
        if getattr(config, "use_cache", None):
            config.use_cache = False  # a cache object among the outputs breaks the trace; the numbers are the same
        for name, child in parent._modules.items():
            if child is not None and _is_dropout(child):
                setattr(parent, name, NoDropout(type(child).__name__))
    return twin


def deep_copy(module: nn.Module) -> nn.Module:
    """A copy with tensors of its own; what is computed rather than a leaf is copied detached.

    ``copy.deepcopy`` refuses such tensors: a kept activation, the weight of a pruned or weight-normalised layer.
    """
    kept = [t for t in _tensors(module) if not t.is_leaf]
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in kept})


def _keep_scripted(module: nn.Module, shared: dict[int, Any]) -> None:
    """Let what TorchScript compiled be copied in its own way: parts as one layer each, functions not at all."""
    shared |= {id(value): value for value in vars(module).values() if isinstance(value, torch.jit.ScriptFunction)}
    for part in module.children():
        if not isinstance(part, torch.jit.ScriptModule):
            _keep_scripted(part, shared)
        elif id(part) not in shared:
            shared[id(part)] = Scripted(part)


def _frozen(parameter: nn.Parameter) -> nn.Parameter:
    plain = type(parameter) is nn.Parameter and not parameter.is_inference()
    return nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter


def _tensors(module: nn.Module) -> list[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes (which need not be leaves: old weight_norm)."""
    # what lists, tuples and dicts hold, too; not parts, whose attributes are seen
    plain = [leaf for part in module.modules() for leaf in pytree.tree_leaves(list(vars(part).values()))]
    return [*module.parameters(), *module.buffers(), *(leaf for leaf in plain if isinstance(leaf, Tensor))]


def _is_dropout(module: nn.Module) -> bool:
    """Whether it is torch's own dropout and nothing more.

    One that a user changed, or hooked, may do something in eval mode.
    """
    kept = module._forward_hooks or module._forward_pre_hooks or vars(module).get("forward") or module._modules
    return not kept and type(module).forward in _DROPOUTS


def kind_of(module: nn.Module) -> str:
    """The class name of a twin's module, as the caller knows it."""
    return module.kind if isinstance(module, NoDropout | Scripted) else type(module).__name__


SOURCES = ("Python's random", "numpy.random", "torch")
_SEEDS = (1315, 155)  # torch.rand(2) then gives 0.02, 0.04 and 0.996, 0.96
# What the twister gives first, 32 bits each: uniform numbers of 0.001 and 0.999; draws of whole numbers, which refuse
# what is too large and draw again, then take the number in between.
_LOW, _HIGH = (0x00400000,), (0xFFBFFFFF, 0xFFBFFFFF, 0x7FBF5555, 0x7FBF5555)
_WORDS, _EXTREME = 624, 600  # of a Mersenne twister's state
LOW, HIGH = dict.fromkeys(SOURCES, False), dict.fromkeys(SOURCES, True)


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
        with as_usual(), global_hooks_out(self.name, asked), torch.set_grad_enabled(grad), self.watch:
            set_rng(rng)
            before = states()
            result = self.twin(*args, **kwargs)
            after = states()
            self.drawn |= {source for source in SOURCES if after[source] != before[source]}
            return choose_output(result, self.output)[1].detach()


@contextmanager
def as_usual() -> Iterator[None]:
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
def rng_kept() -> Iterator[None]:
    """What Python, numpy and torch draw afterwards is what they would have drawn."""
    python, numpy, state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if _on_gpu() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def set_rng(high: dict[str, bool]) -> None:
    """Put each of ``SOURCES`` into one of two states, whose uniform numbers are all but 0, or all but 1.

    Two plain seeds would mostly agree on a branch that is taken once in a hundred calls. Of torch, whose draws are seen
    in the graph, only the first two numbers are so.
    """
    words = {source: _words(high[source]) for source in SOURCES[:2]}
    random.setstate((3, (*words[SOURCES[0]], 0), None))
    np.random.set_state(("MT19937", np.array(words[SOURCES[1]], dtype=np.uint32), 0, 0, 0.0))
    seed = _SEEDS[high[SOURCES[2]]]
    torch.default_generator.manual_seed(seed)
    if _on_gpu():
        torch.cuda.manual_seed_all(seed)


def states() -> dict[str, Any]:
    """What tells whether numbers were drawn, by source."""
    numpy: Any = np.random.get_state()
    return {
        SOURCES[0]: random.getstate(),
        SOURCES[1]: (numpy[2], numpy[1].tobytes()),
        SOURCES[2]: torch.get_rng_state().numpy().tobytes(),
    }


def _on_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _words(high: bool) -> list[int]:
    ahead = [_untempered(n) for n in (_HIGH if high else _LOW)]
    rest = random.Random(int(high))  # some draws are made anew until they suit: the extremes must end
    return ahead * (_EXTREME // len(ahead)) + [rest.getrandbits(32) for _ in range(_WORDS - _EXTREME)]


def _untempered(number: int) -> int:
    """The word of the state from which the Mersenne twister makes ``number``."""
    number ^= number >> 18
    number ^= (number << 15) & 0xEFC60000
    first = number
    for _ in range(4):
        number = first ^ ((number << 7) & 0x9D2C5680)
    first = number
    for _ in range(2):
        number = first ^ (number >> 11)
    return number


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
