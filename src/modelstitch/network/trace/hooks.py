"""The owner's hooks: one that changes what is computed is part of the network, one that only looks does not run.

Which is which shows when the module runs once: there each hook is asked in a way that leaves nothing of the owner's
changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils.prune import BasePruningMethod
from torch.utils import _pytree as pytree

from ...errors import TraceError

Key = tuple[str, str, int]  # the part's name, the table, and the number in it
BEFORE, AFTER = "_forward_pre_hooks", "_forward_hooks"
_KWARGS = {BEFORE: "_forward_pre_hooks_with_kwargs", AFTER: "_forward_hooks_with_kwargs"}
_OTHERS = (  # of gradients, and of weights that are saved or loaded: neither happens to a copy
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_GLOBAL = {BEFORE: "_global_forward_pre_hooks", AFTER: "_global_forward_hooks"}
_GLOBAL_OTHERS = ("_global_backward_hooks", "_global_backward_pre_hooks")


def hooks_of(module: nn.Module) -> dict[Key, Any]:
    """The hooks that run in a forward of the module, its parts' included."""
    return {
        (name, table, number): hook
        for name, part in module.named_modules()
        for table in (BEFORE, AFTER)
        for number, hook in getattr(part, table, {}).items()
    }


def hooks_of_all() -> list[Any]:
    """The hooks that run in a forward of any module."""
    return [hook for table in _GLOBAL.values() for hook in getattr(torch_module, table).values()]


def share_hooks(module: nn.Module, shared: dict[int, Any]) -> None:
    """Let a deep copy of the module have the very hooks, in tables of its own.

    And no others than those of a forward.
    """
    for part in module.modules():
        for table in (BEFORE, AFTER):
            held = vars(part).get(table)
            if held:
                shared[id(held)] = OrderedDict(held)
        for table in _OTHERS:
            held = vars(part).get(table)
            if held:
                shared[id(held)] = OrderedDict()


def rebind_hooks(twin: nn.Module, shared: dict[int, Any], kept: set[Key] | None) -> None:
    """Let the hooks of a copy that are methods of a part work on the copy's part; take out those that are not kept."""
    for (name, table, number), hook in hooks_of(twin).items():
        held = getattr(twin.get_submodule(name), table)
        if kept is not None and (name, table, number) not in kept:
            del held[number]
        else:
            held[number] = _rebound(hook, shared)


def _rebound(hook: Any, shared: dict[int, Any]) -> Any:
    def copied(value: Any) -> Any:
        return shared.get(id(value), value) if isinstance(value, nn.Module) else value

    if isinstance(hook, MethodType):
        return MethodType(hook.__func__, copied(hook.__self__))
    if isinstance(hook, partial):
        words = {key: copied(value) for key, value in hook.keywords.items()}
        return partial(_rebound(hook.func, shared), *map(copied, hook.args), **words)
    return hook


class HookTrial:
    """The hooks of one copy, which each tell whether they act, and do no harm where they fail."""

    def __init__(self, twin: nn.Module) -> None:
        self.acting: set[Key] = set()
        self._tables: dict[Key, tuple[Any, Any]] = {}
        for (name, table, number), hook in hooks_of(twin).items():
            part = twin.get_submodule(name)
            words = number in getattr(part, _KWARGS[table])
            self._tables[name, table, number] = getattr(part, table), hook
            if _of_torch(hook):
                self.acting.add((name, table, number))
            else:
                getattr(part, table)[number] = self._asking((name, table, number), hook, words)

    def settle(self) -> None:
        """Take out the hooks that only look; the others are as they were."""
        for key, (held, hook) in self._tables.items():
            if key in self.acting:
                held[key[2]] = hook
            else:
                del held[key[2]]

    def _asking(self, key: Key, hook: Any, words: bool) -> Callable[..., Any]:
        def ask(part: nn.Module, *given: Any) -> Any:
            before, held = _versions(given), _weights_held(part)
            try:
                said = hook(part, *given)
            except Exception:  # a hook that stops the forward only looks
                return None
            changed = _versions(given) != before or (key[1] == BEFORE and _weights_held(part) != held)
            if changed or not _says_nothing(said, given, key[1], words):
                self.acting.add(key)
            return said

        return ask


@contextmanager
def global_hooks_out(name: str, ask: bool = False) -> Iterator[None]:
    """While it is entered, no hook of all modules runs; where ``ask``, they run once to see whether they act.

    Raises:
        TraceError: if one does.
    """
    tables = {table: getattr(torch_module, table) for table in (*_GLOBAL.values(), *_GLOBAL_OTHERS)}
    before = {table: dict(held) for table, held in tables.items()}
    acting: list[str] = []

    def asking(table: str, hook: Any) -> Callable[..., Any]:
        def look(part: nn.Module, *given: Any) -> Any:
            versions = _versions(given)
            try:
                said = hook(part, *given)
            except Exception:  # the owner's code, met outside of its run: it says nothing of whether it acts
                return None
            if _versions(given) != versions or not _says_nothing(said, given, table, False):
                acting.append(getattr(hook, "__qualname__", type(hook).__qualname__))
            return None

        return look

    for held in tables.values():
        held.clear()
    if ask:
        for table, of_all in _GLOBAL.items():
            tables[of_all].update({number: asking(table, hook) for number, hook in before[of_all].items()})
    try:
        yield
    finally:
        for table, held in tables.items():
            held.clear()
            held.update(before[table])
    if acting:
        raise TraceError(
            f"The network {name!r} runs under a hook of all modules that changes what is computed ({acting[0]}): "
            "expected a network that is the same everywhere; remove that hook, or register it on the module itself."
        )


def _of_torch(hook: Any) -> bool:
    """Whether it is one of torch's own, such as the old weight_norm: those compute weights."""
    return type(hook).__module__.startswith("torch.") or isinstance(hook, BasePruningMethod)


def _says_nothing(said: Any, given: tuple[Any, ...], table: str, words: bool) -> bool:
    """Whether what a hook returned leaves everything as it is."""
    if said is None:
        return True
    if table == AFTER:
        return _equal(said, given[-1])
    if words:
        return _equal(said, given)
    return _equal(said if isinstance(said, tuple) else (said,), given[0])


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    (ours, spec), (theirs, other) = pytree.tree_flatten(a), pytree.tree_flatten(b)
    return spec == other and all(
        x is y
        or (
            isinstance(x, Tensor)
            and isinstance(y, Tensor)
            and x.shape == y.shape
            and x.dtype == y.dtype
            and torch.equal(x, y)
        )
        for x, y in zip(ours, theirs, strict=True)
    )


def _versions(values: Any) -> list[int]:
    """How often each tensor was written."""
    return [t._version for t in pytree.tree_leaves(values) if isinstance(t, Tensor) and not t.is_inference()]


def _weights_held(part: nn.Module) -> dict[str, int]:
    """The tensors that a part holds, by name: a hook before its forward may put others there."""
    tables = (vars(part), part._parameters, part._buffers)
    return {key: id(value) for table in tables for key, value in table.items() if isinstance(value, Tensor)}
