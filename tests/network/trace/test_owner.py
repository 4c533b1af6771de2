"""What a module's owner has beside it is as it was; a hook that acts is part of the network, one that looks is not."""

from __future__ import annotations

import collections
import functools
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from modelstitch.errors import TraceError
from modelstitch.network import Network
from modelstitch.network.trace.owner import Reach, owners_kept

SEEN: dict[str, Any] = {"calls": 0}
COUNT = 0


def body() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


class Collector:
    """What research code hangs on layers: an object with methods, lists and counters."""

    total = 0

    def __init__(self) -> None:
        self.kept: list[Tensor] = []
        self.named: dict[str, Tensor] = {}
        self.calls, self.sum = 0, torch.zeros(6)
        self.of = collections.defaultdict(list)

    def __call__(self, part: nn.Module, args: Any, out: Tensor) -> None:
        self.calls += 1
        type(self).total += 1
        self.kept.append(out.detach())
        self.of["x"].append(float(out.sum()))

    def method(self, part: nn.Module, args: Any, out: Tensor) -> None:
        self(part, args, out)
        self.sum += out.detach().sum(0)


def count_globally(part: nn.Module, args: Any) -> None:
    global COUNT
    COUNT += 1
    SEEN["calls"] += 1


def look(kept: list[Tensor], part: nn.Module, args: Any, out: Tensor) -> Tensor:
    kept.append(out)
    return out.clone()


def fails(part: nn.Module, args: Any, out: Tensor) -> None:
    raise ValueError("stop here")


@pytest.mark.filterwarnings("ignore")
def test_what_hooks_collected_is_kept() -> None:
    module, one, two, mock, kept, numbers = body(), Collector(), Collector(), Mock(return_value=None), [], {1}
    calls = 0

    def closing(part: nn.Module, args: Any, out: Tensor) -> None:
        nonlocal calls
        calls += 1
        numbers.add(calls)
        part.activation = out

    hooks = [one, two.method, mock, functools.partial(look, kept), fails, closing]
    for part in module:
        for hook in hooks:
            part.register_forward_hook(hook)
        part.register_forward_pre_hook(count_globally)
        part.register_full_backward_hook(lambda *_: kept.append("backward"))
        part.register_state_dict_post_hook(lambda *_: kept.append("state"))
    module.register_forward_hook(lambda part, args, out: SEEN.update(out=out))
    with pytest.raises(ValueError, match="stop here"):
        module(torch.ones(2, 6))
    tables = [dict(p._forward_hooks) for p in module.modules()]

    def state() -> list[Any]:
        return [
            (id(one.kept), [id(t) for t in one.kept], one.calls, Collector.total, dict(one.of), two.sum.tolist()),
            (mock.call_count, len(mock.mock_calls), [id(t) for t in kept], calls, set(numbers), COUNT, dict(SEEN)),
            [id(vars(p).get("activation")) for p in module.modules()],
        ]

    before = state()
    assert before[0][2] == 1
    net = Network(module, torch.zeros(2, 6))
    assert state() == before
    assert [dict(p._forward_hooks) for p in module.modules()] == tables
    assert net.cuts == Network(body(), torch.zeros(2, 6)).cuts
    with torch.no_grad():
        assert torch.equal(net(torch.ones(2, 6)), Network(body_of(module), torch.zeros(2, 6))(torch.ones(2, 6)))


def body_of(module: nn.Module) -> nn.Module:
    plain = body()
    plain.load_state_dict(dict(module.named_parameters()))
    return plain


def doubled(part: nn.Module, args: Any, out: Tensor) -> Tensor:
    SEEN["calls"] += 1
    return out * 2


def ablated(part: nn.Module, args: Any, out: Tensor) -> None:
    out[:, :3] = 0


def shifted(part: nn.Module, args: Any) -> Any:
    return args[0] + 1


def by_words(part: nn.Module, args: Any, words: dict[str, Any], out: Tensor) -> Tensor:
    return -out


def pruned(module: Any) -> None:
    prune.l1_unstructured(module[0], "weight", 0.5)
    with torch.no_grad():
        module[0].weight_orig += 1  # seen through the hook alone


def masked(module: Any) -> None:
    """A hook of one's own that makes a weight anew before each forward."""
    part = module[0]
    raw = part.weight
    del part.weight
    part.raw, part.weight = raw, raw.detach() * 0

    def renew(part: Any, args: Any) -> None:
        part.weight = part.raw * 0.5

    part.register_forward_pre_hook(renew)


def passing(module: Any) -> None:
    """One hook keeps what another one uses."""
    kept: dict[str, Tensor] = {}
    module[0].register_forward_hook(lambda part, args, out: kept.update(first=out))
    module[3].register_forward_hook(lambda part, args, out: out + kept["first"][:, :3])


ACTING: dict[str, Callable[[Any], Any]] = {
    "another output": lambda m: m[0].register_forward_hook(doubled),
    "an output that is written": lambda m: m[0].register_forward_hook(ablated),
    "another input": lambda m: m[3].register_forward_pre_hook(shifted),
    "by keywords": lambda m: m[1].register_forward_hook(by_words, with_kwargs=True),
    "on a dropout": lambda m: m[2].register_forward_hook(doubled),
    "on the whole": lambda m: m.register_forward_hook(doubled),
    "old weight norm": lambda m: torch.nn.utils.weight_norm(m[0]),
    "old spectral norm": lambda m: torch.nn.utils.spectral_norm(m[0]),
    "pruning": pruned,
    "a weight of one's own": masked,
    "two that talk": passing,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ACTING)
def test_hooks_that_compute_are_part_of_the_network(case: str) -> None:
    module = body().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ACTING[case](module)
    calls, x = SEEN["calls"], torch.randn(5, 6)
    net = Network(module, torch.zeros(2, 6))
    assert SEEN["calls"] == calls
    with torch.no_grad():
        assert torch.equal(net(x), module(x))
        assert torch.equal(net(x[:1]), module(x[:1]))


def test_hooks_that_are_methods_of_the_module_work_on_its_copy() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.last, self.factor = nn.Linear(6, 3), None, 3.0
            self.fc.register_forward_hook(self.scaled)

        def scaled(self, part: nn.Module, args: Any, out: Tensor) -> Tensor:
            self.last = out
            return out * self.factor

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)

    module = Own()
    net = Network(module, torch.zeros(2, 6))
    assert module.last is None
    with torch.no_grad():
        assert torch.equal(net(torch.ones(3, 6)), module(torch.ones(3, 6)))


def test_hooks_of_all_modules() -> None:
    kept: list[Any] = []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda part, args, out: kept.append(out))
    try:
        net = Network(body(), torch.zeros(2, 6))
        assert kept == []
        assert torch.nn.modules.module._global_forward_hooks
    finally:
        handle.remove()
    assert net.cuts == Network(body(), torch.zeros(2, 6)).cuts
    handle = torch.nn.modules.module.register_module_forward_hook(doubled)
    try:
        with pytest.raises(TraceError, match=r"'net' runs under a hook of all modules that changes .* \(doubled\)"):
            Network(body(), torch.zeros(2, 6), "net")
    finally:
        handle.remove()


def test_another_module_of_the_same_kind_keeps_what_its_hooks_collected() -> None:
    net, other, kept = Network(body(), torch.zeros(2, 6)), body(), []
    other[0].register_forward_hook(lambda part, args, out: kept.append(out))
    assert net.replaced(other)._trace.graph is net._trace.graph
    assert kept == []
    other[0].register_forward_hook(doubled)
    changed = net.replaced(other.eval())
    assert kept == []
    with torch.no_grad():
        assert torch.equal(changed(torch.ones(3, 6)), other(torch.ones(3, 6)))


@functools.lru_cache
def positions(n: int) -> Tensor:
    return torch.arange(n).float()


class Global(nn.Module):
    """Collects outside of itself, and caches what it makes."""

    kept: list[Tensor] = []  # noqa: RUF012
    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        Global.calls += 1
        self.kept.append(x)
        SEEN["input"] = x
        return self.fc(x + positions(x.shape[1]))


def test_what_forward_collects_outside_of_the_module_is_kept() -> None:
    module = Global()
    Network(module, torch.zeros(2, 6))
    assert (Global.calls, Global.kept, SEEN.get("input")) == (0, [], None)
    assert type(module(torch.ones(2, 6))) is Tensor


class ReadsWhatAHookKept(nn.Module):
    """A feature extractor: a hook keeps a layer's output, and forward goes on with what was kept."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.kept = body(), nn.Linear(6, 2), {}
        self.body[0].register_forward_hook(self.keep)

    def keep(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.kept["features"] = output

    def forward(self, x: Tensor) -> Tensor:
        self.body(x)
        features: Tensor = self.head(self.kept["features"])
        return features


def test_a_hook_that_hands_on_what_forward_reads_is_part_of_the_network() -> None:
    module, x = ReadsWhatAHookKept().eval(), torch.randn(5, 6)
    net = Network(module, torch.zeros(2, 6))
    assert (module.kept, net.cuts) == ({}, ["body.0", "head"])
    with torch.no_grad():
        assert torch.equal(net(x), module(x))


CALLED = 0
SEEN_KEPT = []


class Net(nn.Module):
    calls = 0

    def forward(self, x):
        global CALLED
        CALLED += 1
        Net.calls += 1
        SEEN_KEPT.append(x)
        return x


def test_globals_lists_and_attributes_of_the_class_come_back():
    module = Net()
    before = list(SEEN_KEPT)
    with owners_kept(module):
        module(torch.zeros(1))
        assert CALLED == 1
        assert len(SEEN_KEPT) == len(before) + 1
    assert CALLED == 0
    assert Net.calls == 0
    assert before == SEEN_KEPT


def test_also_after_an_error_and_the_default_type_too():
    module = Net()
    with pytest.raises(RuntimeError, match="stop"), owners_kept(module):
        stopped(module)
    assert CALLED == Net.calls == 0
    assert torch.get_default_dtype() == torch.float32


def stopped(module):
    torch.set_default_dtype(torch.float64)
    module(torch.zeros(1))
    raise RuntimeError("stop")


def collector():
    held, array, total, last = {"a": [1]}, np.zeros(2), 0, deque([1])

    @functools.lru_cache
    def kept(x):
        return x

    def hook(*_):
        nonlocal total
        total += 1
        held["a"].append(2)
        held["b"] = 3
        array[0] = 7
        last.append(5)
        kept(4)
        return total, held, array.tolist(), list(last), kept.cache_info().currsize

    return hook


def test_what_a_hook_closes_over_comes_back():
    hook = collector()
    reach = Reach([hook])
    first = hook()
    assert first[0] == 1
    reach.put_back()
    assert hook() == (1, {"a": [1, 2], "b": 3}, [7.0, 0.0], [1, 5], 1)


def test_blank_takes_out_what_was_put_in():
    def hook(store, **_):
        store.append(1)

    store = [5]
    reach = Reach([functools.partial(hook, store)])
    hook(store)
    reach.blank()
    assert store == []
    reach.put_back()
    assert store == [5]


def test_tensors_that_could_be_written_into_are_told():
    held = torch.zeros(3)

    def hook(*_):
        return held

    assert any(t is held for t in Reach([hook]).tensors)
