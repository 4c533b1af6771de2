"""Weights from files into a module.

Whatever the module's own strict loading takes, under the names that wrappers gave.
"""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SourceError
from .weights_file import KEY, chosen, file_hash, parts_of, read

__all__ = ["budget", "chosen", "file_hash", "load_weights", "names_in", "parts_of", "read_weights", "widest"]

_NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "module",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",  # where there is nothing else, or they are asked for
)
_AVERAGES = ("ema", "swa", "averag")  # in a prefix: not the network itself that was trained
_MARKS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_EXTRA = "_extra_state"
_COUNTER = "num_batches_tracked"  # of BatchNorm, which files from before it lack, and loading does without
_SLACK = 64 * 2**20  # bytes: room for names, and for the small print of a checkpoint
_COPIES = 16  # a checkpoint may hold optimiser states and averages beside the weights, in double precision
_BESIDE, _EACH = (
    2 * 2**20,
    8 * 2**10,
)  # bytes: what a checkpoint may hold beside the numbers, in all and for each tensor
_DEEP = 6  # how far nests go down

State = dict[str, Any]


def budget(size: int) -> int:
    """How many bytes a file may unpack to, for a model of ``size`` bytes."""
    return _COPIES * size + _SLACK


def load_weights(
    module: nn.Module,
    path: str | Path,
    *,
    name: str,
    renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
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
            f"The network {name} has lazy layers, whose sizes are not known yet: expected sizes; call it on an "
            f"example first."
        )
    size = sum(t.numel() * t.element_size() for t in own.values() if isinstance(t, Tensor))
    path, key = chosen(path)
    nests = _nests(read(path, limit=budget(size), beside=_BESIDE + _EACH * len(own)), path, key)
    state = next(filter(None, (_fitting(module, nest, path) for nest in nests)), None)
    if state is None and renamed is not None:
        state = next(filter(None, (_converted(module, nest, own, renamed) for nest in nests)), None)
    if state is None:
        bare = max((bare for nest in nests for _, bare in _bare(nest, own)), key=lambda s: len(s.keys() & own.keys()))
        for held, tensor in _tensors(bare).items():
            _check_kind(held, tensor, own.get(held), path)
        raise SourceError(
            f"The weights {path.name!r} do not fit {name}: {_mismatch(module, own, bare)}; check the name or classes=."
        )
    _check_numbers(module, state, path)
    _take_type(module, dtype or widest(state.values()), state, path, buffers=buffers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.load_state_dict(state, strict=True)


def read_weights(path: str | Path, *, limit: int) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    Args:
        limit: bytes; a file that would unpack to more is refused before it is unpacked.

    Raises:
        SourceError: if the file cannot be read, holds more than tensors and plain values, or is too large.
    """
    path, key = chosen(path)
    return _tensors(_nests(read(path, limit=limit), path, key)[0])


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
    if not kinds or any(kind.itemsize < 2 for kind in kinds):
        return torch.float32
    found = kinds.pop()
    for kind in kinds:
        found = torch.promote_types(found, kind)
    return found


def _nests(loaded: Any, path: Path, key: str) -> list[State]:
    """The state dicts of a file, the likeliest first: on the way down the usual keys, each with its versions."""
    found: list[State] = []
    met: set[int] = set()

    def visit(at: Any, depth: int) -> None:
        if not isinstance(at, Mapping) or id(at) in met or depth > _DEEP:
            return
        met.add(id(at))
        held = OrderedDict(
            (name, value)
            for name, value in at.items()
            if isinstance(name, str) and (isinstance(value, Tensor) or name.endswith(_EXTRA))
        )
        below = [at[name] for name in _NESTS if isinstance(at.get(name), Mapping)]
        for nest in below:
            visit(nest, depth + 1)
        if any(isinstance(value, Tensor) for value in held.values()):
            if isinstance(getattr(at, "_metadata", None), Mapping):
                held._metadata = at._metadata  # type: ignore[attr-defined]
            found.append(held)

    asked = loaded
    if key:
        plain = isinstance(loaded, Mapping)
        asked = loaded.get(key) if plain else None
        if asked is None and plain:  # a prefix in a flat file
            prefix = key.rstrip(".") + "."
            asked = next(filter(None, (_without(nest, prefix) for nest in _nests(loaded, path, ""))), None)
        if asked is None:
            held = ", ".join(str(k) for k in list(loaded)[:6]) if plain else type(loaded).__name__
            raise SourceError(f"The weights {path.name!r} hold no {key!r}: expected one of {held}; check {KEY}.")
    visit(asked, 0)
    if found:
        return found
    named = {name: nest for name, nest in asked.items() if _holds_tensors(nest)} if isinstance(asked, Mapping) else {}
    if len(named) == 1:
        visit(next(iter(named.values())), 0)
        return found
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


def _holds_tensors(value: Any) -> bool:
    """Whether a value is a mapping with names and tensors in it."""
    return isinstance(value, Mapping) and any(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _tensors(state: State) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _converted(
    module: nn.Module, nest: State, own: Mapping[str, Any], renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> State | None:
    """The state dict as the library itself converts files of other versions, in the type of the file's numbers."""
    for _, bare in _bare(nest, own):
        try:
            today = renamed(_tensors(bare))
        except Exception:  # whatever a library says of names that it does not know
            continue
        kind = widest(bare.values())
        real = {n: t.to(kind) if t.is_floating_point() else t for n, t in today.items()}
        extra = {n: value for n, value in bare.items() if not isinstance(value, Tensor)}
        state = _as_it_is(module, OrderedDict({**real, **extra}))
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
    if any(not _alike(first, other) for other in others):
        raise SourceError(
            f"The weights {path.name!r} hold the network {len(fits)} times, under {', '.join(map(repr, fits))}: "
            f"expected once; choose with {path.name}{KEY}{next(iter(fits)).rstrip('.')}."
        )
    return first


def _bare(nest: State, own: Mapping[str, Any]) -> Iterator[tuple[str, State]]:
    """Prefixes, and the state dict without them.

    Those under which some of the module's own names stand, the likeliest first.
    """
    marked = _unmarked(nest)
    score: dict[str, int] = {"": 0}
    for name in marked:
        for rest in _ends(name):
            if rest in own:
                prefix = name[: len(name) - len(rest)]
                score[prefix] = score.get(prefix, 0) + 1
    shared = _shared_prefix(marked)
    score.setdefault(shared, 0)
    for prefix in sorted(score, key=lambda p: (p != "", -score[p], len(p)))[:12]:
        yield prefix, _without(marked, prefix) if prefix else marked


def _ends(name: str) -> Iterator[str]:
    """A dotted name, and what is left of it without its first parts."""
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _unmarked(state: State) -> State:
    """Without what compilers and sharding write inside names."""

    def plain(name: str) -> str:
        for mark in _MARKS:
            name = name.replace(mark, "")
        return name

    return _renamed_all(state, plain)


def _shared_prefix(state: State) -> str:
    """The dotted beginning that all names have in common."""
    first = next(iter(state), "").split(".")[:-1]
    while first and not all(name.startswith(".".join(first) + ".") for name in state):
        first.pop()
    return ".".join(first) + "." if first else ""


def _without(state: State, prefix: str) -> State:
    """What stands under a prefix, by the rest of its names."""
    return _renamed_all(state, lambda name: name[len(prefix) :] if name.startswith(prefix) else None)


def _renamed_all(state: State, rename: Callable[[str], str | None]) -> State:
    """Names changed (None leaves one out), and those of the versions with them."""
    found: State = OrderedDict((new, value) for name, value in state.items() if (new := rename(name)) is not None)
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        changed = {}
        for name, version in versions.items():
            new = rename(f"{name}." if name else "")
            if new is not None and isinstance(version, Mapping):
                changed[new.removesuffix(".")] = dict(version)
        changed.setdefault("", {})
        found._metadata = changed  # type: ignore[attr-defined]
    return found


def _as_it_is(module: nn.Module, state: State) -> State | None:
    """The state dict in the first form in which strict loading takes it, tried on a copy without memory; else None."""
    for form in _forms(module, state):
        if _takes(module, form):
            return form
    return None


def _forms(module: nn.Module, state: State) -> Iterator[State]:
    """As the file has it; with the module's own versions where it tells none; with tied and re-parametrised names."""
    own = module.state_dict(keep_vars=True)
    tied = _completed(module, state)
    weighted = _reparametrised(tied, own)
    for form in dict.fromkeys([id(state), id(tied), id(weighted)]):
        chosen_form = next(s for s in (state, tied, weighted) if id(s) == form)
        yield chosen_form
        if getattr(state, "_metadata", None) is None:
            versioned: State = OrderedDict(chosen_form)
            versioned._metadata = copy.copy(own._metadata)  # type: ignore[attr-defined]
            yield versioned


def _takes(module: nn.Module, state: State) -> bool:
    """Whether strict loading takes a state dict; the module stays as it is."""
    if not all(isinstance(value, Tensor) or name.endswith(_EXTRA) for name, value in state.items()):
        return False
    if _loads_by_name(module):  # no copy needed: other names are refused, the same names and shapes taken
        own = module.state_dict(keep_vars=True)
        if state.keys() - own.keys() or any(not name.endswith(_COUNTER) for name in own.keys() - state.keys()):
            return False
        if len(state) == len(own) and all(
            isinstance(t, Tensor) and t.shape == own[name].shape for name, t in state.items()
        ):
            return True
    try:
        twin = copy.deepcopy(module, _without_memory(module))
    except Exception:  # a module of a user's own that cannot be copied
        return not _mismatch(module, module.state_dict(), state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a copy without memory stays one
        try:
            twin.load_state_dict(_again(state), strict=True)
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


def _again(state: State) -> State:
    """A copy whose versions may be written into, as loading does."""
    twin: State = OrderedDict(state)
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        twin._metadata = {name: dict(version) for name, version in versions.items()}  # type: ignore[attr-defined]
    return twin


def _without_memory(module: nn.Module) -> dict[int, Any]:
    """For deepcopy: what takes the place of each parameter and buffer."""
    memo: dict[int, Any] = {}
    for part in module.modules():  # what hooks have computed, such as a normalised weight
        memo |= {id(value): value.detach() for value in vars(part).values() if isinstance(value, Tensor)}
    for tensor in [*module.parameters(), *module.buffers()]:
        bare = tensor.detach().to("meta")
        memo[id(tensor)] = nn.Parameter(bare, requires_grad=False) if isinstance(tensor, nn.Parameter) else bare
    return memo


def _completed(module: nn.Module, state: State) -> State:
    """With the other names of tensors that the module ties, of which a file may hold one; counters may lack."""
    by_tensor: dict[int, list[str]] = {}
    own = module.state_dict(keep_vars=True)
    for name, tensor in own.items():
        if isinstance(tensor, Tensor):
            by_tensor.setdefault(id(tensor), []).append(name)
    more: State = {}
    for names in by_tensor.values():
        held = next((name for name in names if name in state), None) if len(names) > 1 else None
        if held is not None:
            more |= {name: state[held] for name in names if name not in state}
    for name in own:  # files from before BatchNorm counted its batches
        if name.endswith(_COUNTER) and name not in state:
            more[name] = torch.tensor(0)
    return _joined(state, more) if more else state


def _reparametrised(state: State, own: Mapping[str, Any]) -> State:
    """Weight normalisation by its older names where the module has those (it knows the other way itself)."""
    new = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}

    def older(name: str) -> str:
        for late, early in new.items():
            if f".{name}".endswith(late) and name not in own:
                return f".{name}".removesuffix(late).removeprefix(".") + (early if name != late[1:] else early[1:])
        return name

    return _renamed_all(state, older) if any("parametrizations.weight.original" in name for name in state) else state


def _joined(state: State, more: Mapping[str, Any]) -> State:
    twin = _again(state)
    twin.update(more)
    return twin


def _alike(one: State, other: State) -> bool:
    same = one.keys() == other.keys()
    return same and all(torch.equal(value, other[name]) for name, value in _tensors(one).items())


def _check_numbers(module: nn.Module, state: State, path: Path) -> None:
    """Refuse tensors that are no plain numbers, or no finite ones, and two numbers for one tied tensor.

    Raises:
        SourceError: naming the tensor, and what to do.
    """
    own = module.state_dict(keep_vars=True)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, tensor in _tensors(state).items():
        _check_kind(name, tensor, own.get(name), path)
        if tensor.is_floating_point():
            finite = torch.isfinite(tensor.float() if tensor.dtype.itemsize < 2 else tensor)
            if name not in parameters:
                finite |= tensor == -torch.inf  # a mask that a module keeps
            n = int((~finite).sum())
            if n:
                raise SourceError(
                    f"The weights {path.name!r} cannot be used: {n} of the {tensor.numel():,} numbers of {name} are "
                    "NaN or infinite: expected finite ones; take a checkpoint from before that."
                )
    ties: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and isinstance(state.get(name), Tensor):
            first = ties.setdefault(id(tensor), name)
            if first != name and not torch.equal(state[first], state[name]):
                raise SourceError(
                    f"The weights {path.name!r} hold two different tensors, {first} and {name}, which the module ties "
                    "to one: expected equal ones; untie them in the module."
                )


def _check_kind(name: str, tensor: Tensor, own: Any, path: Path) -> None:
    """Refuse a tensor that holds no plain real numbers."""
    wrong = _unusable(tensor, own)
    if wrong:
        raise SourceError(f"The weights {path.name!r} cannot be used: {name}: {wrong}.")


def _unusable(tensor: Tensor, own: Any) -> str:
    """Why a tensor cannot be copied as numbers; empty if it can."""
    if tensor.device.type == "meta":
        return "it has a shape and no numbers (device meta); save the weights of a module that holds some"
    if tensor.is_quantized:
        return (
            f"it is quantised ({str(tensor.dtype).removeprefix('torch.')}); expected real numbers, save "
            f"tensor.dequantize()"
        )
    if tensor.layout != torch.strided:
        return (
            f"it is sparse ({str(tensor.layout).removeprefix('torch.')}); expected all numbers, save tensor.to_dense()"
        )
    if not isinstance(own, Tensor):
        return ""
    if tensor.is_complex() and not own.is_complex():
        return "it is complex, the module's own is real; check that the file belongs to it"
    if own.is_floating_point() and not tensor.is_floating_point() and not tensor.is_complex():
        kind = str(tensor.dtype).removeprefix("torch.")
        return f"it holds {kind} where the module has real numbers; a quantised file must be dequantised first"
    return ""


def _take_type(module: nn.Module, dtype: torch.dtype, state: State, path: Path, *, buffers: bool) -> None:
    """Give the module's numbers a type, before they are filled.

    Raises:
        SourceError: if a number of the file is too large for it.
    """
    for name, tensor in _tensors(state).items():
        if tensor.is_floating_point() and tensor.dtype != dtype and tensor.numel():
            most = float(tensor.double().abs().nan_to_num(0, 0, 0).max())
            if most > torch.finfo(dtype).max:
                raise SourceError(
                    f"The weights {path.name!r} cannot be used as {str(dtype).removeprefix('torch.')}: {name} holds "
                    f"{most:.3g}, above its "
                    f"largest number {torch.finfo(dtype).max:.3g}; leave dtype= out to keep the file's own type."
                )
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()}
    if kinds in (set(), {dtype}):
        return
    if buffers:
        module.to(dtype)
        return
    kept = state.keys()
    for part_name, part in module.named_modules():
        for parameter in part._parameters.values():
            if parameter is not None and parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        for name, buffer in part._buffers.items():
            whole = f"{part_name}.{name}" if part_name else name
            if buffer is not None and buffer.is_floating_point() and whole in kept:
                part._buffers[name] = buffer.to(dtype)


def _mismatch(module: nn.Module, own: Mapping[str, Any], state: State) -> str:
    """What does not fit, in words; where names and shapes do, what the module's own loading says."""
    completed = _completed(module, state)
    missing = [key for key in own if key not in completed and not key.endswith(_COUNTER)]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} (expected {tuple(own[key].shape)}, found {tuple(state[key].shape)})"
        for key in own
        if isinstance(state.get(key), Tensor) and isinstance(own[key], Tensor) and own[key].shape != state[key].shape
    ]
    parts = (("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes))
    said = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in parts if names)
    if said:
        return said
    try:
        copy.deepcopy(module, _without_memory(module)).load_state_dict(_again(state), strict=True)
    except Exception as error:  # whatever a module's own hooks raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        return f"its own loading fails ({type(error).__name__}: {' '.join(lines[:2])[:240]})"
    return ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
