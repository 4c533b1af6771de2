"""Weights from files into a module.

Whatever the module's own strict loading takes, under the names that wrappers gave.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from os.path import commonprefix
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SourceError
from ..support.words import first_of
from .weights_file import KEY, chosen, parts_of, read

# under what a checkpoint keeps the weights; averages where there is nothing else, or they are asked for
_PLAIN_NESTS = ("state_dict", "model_state_dict", "model", "net", "module", "network", "weights", "params")
_NESTS = (*_PLAIN_NESTS, "state_dict_ema", "model_ema", "ema_state_dict", "ema")
_AVERAGES = ("ema", "swa", "averag")  # in a prefix: not the network itself that was trained
_MARKS = re.compile(r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.")
_NEWER = re.compile(r"(^|\.)parametrizations\.weight\.original([01])$")  # names of weight normalisation
_EXTRA = "_extra_state"
_COUNTER = "num_batches_tracked"  # of BatchNorm, which files from before it lack, and loading does without
_SLACK = 64 * 2**20  # bytes: room for names, and for the small print of a checkpoint
_COPIES = 16  # a checkpoint may hold optimiser states and averages beside the weights, in double precision
_BESIDE, _EACH = 2 * 2**20, 8 * 2**10  # bytes of a checkpoint beside the numbers, in all and for each tensor
_DEEP = 6  # how far nests go down

Renamed = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class State(OrderedDict[str, Any]):
    """A state dict: tensors by name, with the versions of the parts that wrote them where a file tells them."""

    def __init__(self, held: Any = (), versions: Any = None) -> None:
        super().__init__(held)
        told = versions.items() if isinstance(versions, Mapping) else ()  # loading may write into each
        self._metadata = {k: dict(v) for k, v in told if isinstance(v, Mapping)} if versions is not None else None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What it holds beside extra states."""
        return {name: value for name, value in self.items() if isinstance(value, Tensor)}

    def again(self, more: Mapping[str, Any] | None = None) -> State:
        """A copy that loading may write into, with more in it."""
        return State({**self, **(more or {})}, self._metadata)

    def renamed(self, rename: Callable[[str], str | None]) -> State:
        """Names changed (None leaves one out), and those of the versions with them."""
        held = [(new, value) for name, value in self.items() if (new := rename(name)) is not None]
        if self._metadata is None:
            return State(held)
        versions: dict[str, Any] = {"": {}}
        for name, version in self._metadata.items():
            new = rename(f"{name}." if name else "")
            versions |= {} if new is None else {new.removesuffix("."): version}
        return State(held, versions)

    def without(self, prefix: str) -> State:
        """What stands under a prefix, by the rest of its names."""
        return self.renamed(lambda name: name[len(prefix) :] if name.startswith(prefix) else None) if prefix else self


def budget(size: int) -> int:
    """How many bytes a file may unpack to, for a model of ``size`` bytes."""
    return _COPIES * size + _SLACK


def load_weights(
    module: nn.Module,
    path: str | Path,
    *,
    name: str,
    renamed: Renamed | None = None,
    dtype: torch.dtype | None = None,
    buffers: bool = True,
) -> None:
    """Read a weights file into ``module``, in place; a file that does not fit changes nothing.

    ``.safetensors``, any file of ``torch.save`` (``.pt``, ``.pth``, ``.bin``, ``.ckpt``), or the ``.index.json`` of
    several: a state dict that ``module.load_state_dict(strict=True)`` takes, bare or nested under a usual key, with or
    without the prefixes of wrappers, also with other tensors beside. Of several state dicts in one file
    ``file.pt?key=ema`` chooses.

    Args:
        name: what errors call the model.
        renamed: gives tensors the names of today where the file has those of another version of the library.
        dtype: of the module's numbers afterwards; the file's by default.
        buffers: whether buffers that are no part of the state dict take that type, too.

    Raises:
        SourceError: if the file cannot be read, holds more than tensors and plain values, unpacks to more than it
            should, holds numbers that cannot be used, or does not fit.
    """
    own = module.state_dict()
    if any(nn.parameter.is_lazy(t) for t in own.values()):
        raise SourceError(
            f"The network {name} has lazy layers, whose sizes are not known yet: expected sizes; call it on an example "
            "first."
        )
    size = sum(t.numel() * t.element_size() for t in own.values() if isinstance(t, Tensor))
    path, key = chosen(path)
    nests = _nests(read(path, limit=budget(size), beside=_BESIDE + _EACH * len(own)), path, key)
    state = next(filter(None, (_fitting(module, nest, path) for nest in nests)), None)
    if state is None and renamed is not None:
        state = next(filter(None, (_converted(module, nest, own, renamed) for nest in nests)), None)
    if state is None:
        bare = max((bare for nest in nests for _, bare in _bare(nest, own)), key=lambda s: len(s.keys() & own.keys()))
        for held, tensor in bare.tensors.items():
            _check_kind(held, tensor, own.get(held), path)
        raise SourceError(
            f"The weights {path.name!r} do not fit {name}: {_mismatch(module, bare)}; check the name or classes=."
        )
    _check_numbers(module, state, path)
    kind = dtype or widest(state.values())
    _check_range(state, kind, path)
    _take_type(module, kind, state.keys(), buffers=buffers)
    with _without_warnings():
        module.load_state_dict(state, strict=True)


def read_weights(path: str | Path, *, limit: int) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    Args:
        limit: bytes; a file that would unpack to more is refused before it is unpacked.

    Raises:
        SourceError: if the file cannot be read, holds more than tensors and plain values, or is too large.
    """
    path, key = chosen(path)
    return _nests(read(path, limit=limit), path, key)[0].tensors


def names_in(path: str | Path) -> set[str]:
    """The names of a file's tensors, without wrappers' prefixes.

    Raises:
        SourceError: if the file cannot be read.
    """
    path, key = chosen(path)
    size = sum(part.stat().st_size for part in parts_of(path))
    states = _nests(read(path, limit=size, names_only=True), path, key)
    return {rest for state in states for name in state for rest in _ends(name)}


def widest(tensors: Iterable[Any]) -> torch.dtype:
    """The type that holds the real numbers of all tensors; float32 where there are none."""
    kinds = {t.dtype for t in tensors if isinstance(t, Tensor) and t.is_floating_point()}
    small = not kinds or any(kind.itemsize < 2 for kind in kinds)
    return torch.float32 if small else reduce(torch.promote_types, kinds)


def _nests(loaded: Any, path: Path, key: str) -> list[State]:
    """The state dicts of a file, the likeliest first: on the way down the usual keys, each with its versions."""
    asked = _asked(loaded, path, key) if key else loaded
    found = _below(asked)
    if found:
        return found
    named = {name: nest for name, nest in asked.items() if _holds_tensors(nest)} if isinstance(asked, Mapping) else {}
    if len(named) == 1:
        return _below(next(iter(named.values())))
    if named:
        raise SourceError(
            f"The weights {path.name!r} hold {len(named)} state dicts, {', '.join(map(str, list(named)[:6]))}: "
            f"expected one, or a choice; write {path.name}{KEY}{next(iter(named))}."
        )
    keys = ", ".join(str(k)[:40] for k in list(loaded)[:6]) if isinstance(loaded, Mapping) else type(loaded).__name__
    raise SourceError(
        f"The weights {path.name!r} hold no state dict: found {keys or 'nothing'}; expected names and tensors, bare or "
        f"under one of {', '.join(_NESTS)}."
    )


def _asked(loaded: Any, path: Path, key: str) -> Any:
    """What stands under a key of a file, or under a prefix in a flat one."""
    plain = isinstance(loaded, Mapping)
    asked = loaded.get(key) if plain else None
    if asked is None and plain:
        prefix = key.rstrip(".") + "."
        asked = next(filter(None, (nest.without(prefix) for nest in _nests(loaded, path, ""))), None)
    if asked is None:
        held = ", ".join(str(k) for k in list(loaded)[:6]) if plain else type(loaded).__name__
        raise SourceError(f"The weights {path.name!r} hold no {key!r}: expected one of {held}; check {KEY}.")
    return asked


def _below(asked: Any) -> list[State]:
    """The state dicts in a nest of mappings, the deepest under the usual keys first."""
    found: list[State] = []
    met: set[int] = set()

    def visit(at: Any, depth: int) -> None:
        if not isinstance(at, Mapping) or id(at) in met or depth > _DEEP:
            return
        met.add(id(at))
        for name in _NESTS:
            visit(at.get(name), depth + 1)
        kept = {k: v for k, v in at.items() if isinstance(k, str) and (isinstance(v, Tensor) or k.endswith(_EXTRA))}
        versions = getattr(at, "_metadata", None)
        if any(isinstance(value, Tensor) for value in kept.values()):
            found.append(State(kept, versions if isinstance(versions, Mapping) else None))

    visit(asked, 0)
    return found


def _holds_tensors(value: Any) -> bool:
    """Whether a value is a mapping with names and tensors in it."""
    return isinstance(value, Mapping) and any(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _converted(module: nn.Module, nest: State, own: Mapping[str, Any], renamed: Renamed) -> State | None:
    """The state dict as the library itself converts files of other versions, in the type of the file's numbers."""
    for _, bare in _bare(nest, own):
        try:
            today = renamed(bare.tensors)
        except Exception:  # whatever a library says of names that it does not know
            continue
        kind = widest(bare.values())
        real = {n: t.to(kind) if t.is_floating_point() else t for n, t in today.items()}
        extra = {n: value for n, value in bare.items() if not isinstance(value, Tensor)}
        state = _as_it_is(module, State({**real, **extra}))
        if state is not None:
            return state
    return None


def _fitting(module: nn.Module, nest: State, path: Path) -> State | None:
    """The state dict as the module takes it, without wrappers' prefixes; None if it does not.

    Raises:
        SourceError: if the module stands in it under several prefixes with different numbers.
    """
    own = module.state_dict(keep_vars=True)
    fits: dict[str, State] = {}
    for prefix, bare in _bare(nest, own):
        found = _as_it_is(module, bare)
        if found is not None:
            fits[prefix] = found
            if not prefix:
                return found
    if len(fits) > 1:
        plain = {prefix: fit for prefix, fit in fits.items() if not any(word in prefix.lower() for word in _AVERAGES)}
        fits = plain if len(plain) == 1 else fits
    if not fits:
        return None
    first, *others = fits.values()
    if not all(_alike(first, other) for other in others):
        raise SourceError(
            f"The weights {path.name!r} hold the network {len(fits)} times, under {', '.join(map(repr, fits))}: "
            f"expected once; choose with {path.name}{KEY}{next(iter(fits)).rstrip('.')}."
        )
    return first


def _alike(one: State, other: State) -> bool:
    same = one.keys() == other.keys()
    return same and all(torch.equal(value, other[name]) for name, value in one.tensors.items())


def _bare(nest: State, own: Mapping[str, Any]) -> Iterator[tuple[str, State]]:
    """Prefixes, and the state dict without them.

    Those under which some of the module's own names stand, the likeliest first.
    """
    marked = nest.renamed(lambda name: _MARKS.sub("", name))  # what compilers and sharding write inside names
    score = Counter(name[: len(name) - len(rest)] for name in marked for rest in _ends(name) if rest in own)
    shared = ".".join(commonprefix([name.split(".")[:-1] for name in marked]))  # noqa: RUF071 (lists of parts, no text)
    score.update({"": 0, f"{shared}." if shared else "": 0})
    for prefix in sorted(score, key=lambda p: (p != "", -score[p], len(p)))[:12]:
        yield prefix, marked.without(prefix)


def _ends(name: str) -> Iterator[str]:
    """A dotted name, and what is left of it without its first parts."""
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _as_it_is(module: nn.Module, state: State) -> State | None:
    """The state dict in the first form in which strict loading takes it, tried on a copy without memory; else None."""
    return next((form for form in _forms(module, state) if _takes(module, form)), None)


def _forms(module: nn.Module, state: State) -> Iterator[State]:
    """As the file has it; with the module's own versions where it tells none; with tied and re-parametrised names."""
    own = module.state_dict(keep_vars=True)
    tied = _completed(own, state)
    for form in {id(form): form for form in (state, tied, _reparametrised(tied, own))}.values():
        yield form
        if form._metadata is None:
            yield State(form, own._metadata)  # type: ignore[attr-defined]


def _takes(module: nn.Module, state: State) -> bool:
    """Whether strict loading takes a state dict; the module stays as it is."""
    if not all(isinstance(value, Tensor) or name.endswith(_EXTRA) for name, value in state.items()):
        return False
    if _loads_by_name(module):  # no copy needed: other names are refused, the same names and shapes taken
        own = module.state_dict(keep_vars=True)
        if state.keys() - own.keys() or any(not name.endswith(_COUNTER) for name in own.keys() - state.keys()):
            return False
        alike = [isinstance(t, Tensor) and t.shape == own[name].shape for name, t in state.items()]
        if len(state) == len(own) and all(alike):
            return True
    try:
        twin = copy.deepcopy(module, _without_memory(module))
    except Exception:  # a module of a user's own that cannot be copied
        return not _mismatch(module, state)
    with _without_warnings():  # a copy without memory stays one
        try:
            twin.load_state_dict(state.again(), strict=True)
        except Exception:  # whatever a module's own hooks raise
            return False
    return True


def _loads_by_name(module: nn.Module) -> bool:
    """Whether strict loading wants the module's own names, whatever else: no part renames, drops or adds any."""
    return type(module).load_state_dict is nn.Module.load_state_dict and all(
        part._load_from_state_dict.__module__.startswith("torch.nn.modules.")
        and not part._load_state_dict_pre_hooks
        and not part._load_state_dict_post_hooks
        for part in module.modules()
    )


def _without_memory(module: nn.Module) -> dict[int, Any]:
    """For deepcopy: what takes the place of each parameter and buffer."""
    memo: dict[int, Any] = {}
    for part in module.modules():  # what hooks have computed, such as a normalised weight
        memo |= {id(value): value.detach() for value in vars(part).values() if isinstance(value, Tensor)}
    for tensor in [*module.parameters(), *module.buffers()]:
        bare = tensor.detach().to("meta")
        memo[id(tensor)] = nn.Parameter(bare, requires_grad=False) if isinstance(tensor, nn.Parameter) else bare
    return memo


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _completed(own: Mapping[str, Any], state: State) -> State:
    """With the other names of tensors that the module ties, of which a file may hold one; counters may lack."""
    tied: dict[int, list[str]] = defaultdict(list)
    for name, tensor in own.items():
        tied[id(tensor)].append(name)
    more: dict[str, Any] = {}
    for names in tied.values():
        held = next((name for name in names if name in state), None) if len(names) > 1 else None
        more |= {name: state[held] for name in names if name not in state} if held is not None else {}
    counters = [name for name in own if name.endswith(_COUNTER) and name not in state]
    more |= {name: torch.tensor(0) for name in counters}  # of files from before BatchNorm counted its batches
    return state.again(more) if more else state


def _reparametrised(state: State, own: Mapping[str, Any]) -> State:
    """Weight normalisation by its older names where the module has those (it knows the other way itself)."""

    def older(name: str) -> str:
        return name if name in own else _NEWER.sub(lambda met: f"{met[1]}weight_{'gv'[int(met[2])]}", name)

    return state.renamed(older) if any(map(_NEWER.search, state)) else state


def _check_numbers(module: nn.Module, state: State, path: Path) -> None:
    """Refuse tensors that are no plain numbers, or no finite ones, and two numbers for one tied tensor.

    Raises:
        SourceError: naming the tensor, and what to do.
    """
    own = module.state_dict(keep_vars=True)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, tensor in state.tensors.items():
        _check_kind(name, tensor, own.get(name), path)
        n = _not_finite(tensor, mask=name not in parameters) if tensor.is_floating_point() else 0
        if n:
            raise SourceError(
                f"The weights {path.name!r} cannot be used: {n:,} of the {tensor.numel():,} numbers of {name} are "
                "NaN or infinite: expected finite ones; take a checkpoint from before that."
            )
    ties: dict[int, str] = {}
    for name, tensor in own.items():
        if isinstance(tensor, Tensor) and isinstance(state.get(name), Tensor):
            first = ties.setdefault(id(tensor), name)
            if first != name and not torch.equal(state[first], state[name]):
                raise SourceError(
                    f"The weights {path.name!r} hold two different tensors, {first} and {name}, which the module ties "
                    "to one: expected equal ones; untie them in the module."
                )


def _not_finite(tensor: Tensor, *, mask: bool) -> int:
    """How many numbers are NaN or infinite; of a mask that a module keeps minus infinity is none of them."""
    finite = torch.isfinite(tensor.float() if tensor.dtype.itemsize < 2 else tensor)
    return int((~(finite | (tensor == -torch.inf)) if mask else ~finite).sum())


def _check_kind(name: str, tensor: Tensor, own: Any, path: Path) -> None:
    """Refuse a tensor that holds no plain real numbers."""
    wrong = _unusable(tensor, own)
    if wrong:
        raise SourceError(f"The weights {path.name!r} cannot be used: {name}: {wrong}.")


def _unusable(tensor: Tensor, own: Any) -> str:
    """Why a tensor cannot be copied as numbers; empty if it can."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.device.type == "meta":
        return "it has a shape and no numbers (device meta); save the weights of a module that holds some"
    if tensor.is_quantized:
        return f"it is quantised ({kind}); expected real numbers, save tensor.dequantize()"
    if tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        return f"it is sparse ({layout}); expected all numbers, save tensor.to_dense()"
    if not isinstance(own, Tensor):
        return ""
    if tensor.is_complex() and not own.is_complex():
        return "it is complex, the module's own is real; check that the file belongs to it"
    if own.is_floating_point() and not tensor.is_floating_point() and not tensor.is_complex():
        return f"it holds {kind} where the module has real numbers; a quantised file must be dequantised first"
    return ""


def _check_range(state: State, dtype: torch.dtype, path: Path) -> None:
    """Refuse numbers that are too large for a type.

    Raises:
        SourceError: naming the tensor, its largest number and the type's.
    """
    for name, tensor in state.tensors.items():
        if tensor.is_floating_point() and tensor.dtype != dtype and tensor.numel():
            most = float(tensor.double().abs().nan_to_num(0, 0, 0).max())
            if most > torch.finfo(dtype).max:
                raise SourceError(
                    f"The weights {path.name!r} cannot be used as {str(dtype).removeprefix('torch.')}: {name} holds "
                    f"{most:.3g}, above its largest number {torch.finfo(dtype).max:.3g}; leave dtype= out to keep the "
                    "file's own type."
                )


def _take_type(module: nn.Module, dtype: torch.dtype, kept: Container[str], *, buffers: bool) -> None:
    """Give the module's numbers a type, before they are filled; of buffers all, or those whose names are kept."""
    parameters = [p for p in module.parameters() if p.is_floating_point()]
    if {p.dtype for p in parameters} <= {dtype}:
        return
    if buffers:
        module.to(dtype)
        return
    for parameter in parameters:
        parameter.data = parameter.data.to(dtype)
    for prefix, part in module.named_modules():
        for name, buffer in part._buffers.items():
            if buffer is not None and buffer.is_floating_point() and f"{prefix}.{name}".lstrip(".") in kept:
                part._buffers[name] = buffer.to(dtype)


def _mismatch(module: nn.Module, state: State) -> str:
    """What does not fit, in words; where names and shapes do, what the module's own loading says."""
    own = module.state_dict(keep_vars=True)
    completed = _completed(own, state)
    missing = [key for key in own if key not in completed and not key.endswith(_COUNTER)]
    found = state.tensors
    both = [(key, tensor.shape, found[key].shape) for key, tensor in State(own).tensors.items() if key in found]
    shapes = [f"{key} (expected {tuple(a)}, found {tuple(b)})" for key, a, b in both if a != b]
    parts = {"missing": missing, "unexpected": [key for key in state if key not in own], "wrong shape": shapes}
    said = "; ".join(f"{len(names)} {what}: {first_of(names)}" for what, names in parts.items() if names)
    return said or _refusal(module, state)


def _refusal(module: nn.Module, state: State) -> str:
    """What a module's own loading says of a state dict; empty where it takes it."""
    try:
        copy.deepcopy(module, _without_memory(module)).load_state_dict(state.again(), strict=True)
    except Exception as error:  # whatever a module's own hooks raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        return f"its own loading fails ({type(error).__name__}: {' '.join(lines[:2])[:240]})"
    return ""
