"""What is no one function of its inputs, for batches of every size, is refused with its cause."""

from __future__ import annotations

import copy
import gc
import itertools
import random
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelstitch.errors import TraceError
from modelstitch.network import Network
from modelstitch.network import network as room
from modelstitch.network.trace.twin import Eager
from modelstitch.zoo.nets import build

_GENERATOR = np.random.default_rng(0)
_CALLS: list[int] = []
_SHIFT = torch.zeros(6)


class Own(nn.Module):
    """A module whose forward is one function of (module, x)."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b, self.function = nn.Linear(6, 6), nn.Linear(6, 3), function
        self.embed = nn.Embedding(9, 6, max_norm=0.5)
        self.calls, self.kept, self.draws = 0, None, random.Random(0)
        self.count, self.norm, self.plain = itertools.count(), nn.BatchNorm1d(6), torch.zeros(6)
        self.mean: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def rare_layer(m: Any, x: Tensor) -> Tensor:
    h = m.a(x)
    for _ in range(3):
        h = h if random.random() < 0.02 else m.a(h)
    return m.b(h)


def counting(m: Any, x: Tensor) -> Tensor:
    m.calls += 1
    return m.b(m.a(x) / m.calls)


def moving(m: Any, x: Tensor) -> Tensor:
    h = m.a(x)
    m.mean = h.mean(0) if m.mean is None else 0.9 * m.mean + 0.1 * h.sum(0)
    return m.b(h - m.mean)


def remembering(m: Any, x: Tensor) -> Tensor:
    if m.kept is None:
        m.kept = m.a(x).sigmoid()[:, :, None]
    return m.b(m.a(x)) * torch.bmm(x[:, None], m.kept)[:, 0]


def global_count(m: Any, x: Tensor) -> Tensor:
    _CALLS.append(1)
    return m.b(m.a(x)) * len(_CALLS)


def caught(m: Any, x: Tensor) -> Tensor:
    try:
        large = bool(x.max() > 0)
    except Exception:  # as a tracer's own errors are
        large = False
    return m.b(m.a(x) if large else x)


def gradients(m: Any, x: Tensor) -> Tensor:
    return m.b(m.a(x)) * (2 if torch.is_grad_enabled() else 1)


def compiling(m: Any, x: Tensor) -> Tensor:
    h = m.a(x)
    return m.b(F.gelu(h, approximate="tanh") if torch.compiler.is_compiling() else F.gelu(h))


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "random": (
        lambda m, x: m.b(m.a(x) * random.random()),
        r"draws random numbers in eval mode \(Python's random, .*random.random\(\)",
    ),
    "a rare draw": (rare_layer, r"draws random numbers in eval mode \(Python's random, .*random.random\(\) < 0.02"),
    "numpy's choice": (lambda m, x: m.b(m.a(x) * np.random.choice([1, 2])), r"draws random .* \(numpy.random"),
    "numpy's integers": (lambda m, x: m.b(m.a(x) * np.random.randint(3)), r"draws random .* \(numpy.random"),
    "random integers": (lambda m, x: m.b(m.a(x) * random.randint(0, 2)), r"draws random .* \(Python's random"),
    "random choice": (lambda m, x: m.b(m.a(x) * random.choice((1, 2))), r"draws random .* \(Python's random"),
    "numpy": (
        lambda m, x: m.b(m.a(x) * np.random.rand()),
        r"draws random numbers in eval mode \(numpy.random, .*np.random",
    ),
    "torch": (lambda m, x: m.b(F.dropout(m.a(x), 0.5, True)), r"draws random .* \(aten.bernoulli_.float, .*F.dropout"),
    "torch as a number": (
        lambda m, x: m.b(m.a(x)) if torch.rand(1) < 0.5 else x,
        r"draws random .* \(aten.rand.default",
    ),
    "a generator of its own": (
        lambda m, x: m.b(m.a(x) * m.draws.random()),
        "keeps something .* in its attribute 'draws'",
    ),
    "a generator of all": (lambda m, x: m.b(m.a(x) * _GENERATOR.random()), r"depends on something beside its inputs"),
    "a fresh generator": (
        lambda m, x: m.b(m.a(x) * np.random.default_rng().random()),
        "system's random numbers at .*default_rng",
    ),
    "a clock": (lambda m, x: m.b(m.a(x) * (time.perf_counter_ns() % 997)), r"reads a clock .* at .*perf_counter_ns"),
    "a counter": (counting, r"keeps something from call to call in its attribute 'calls'"),
    "an iterator": (
        lambda m, x: m.b(m.a(x) * (1 + next(m.count))),
        r"keeps something from call to call in its attribute 'count'",
    ),
    "a running mean": (moving, r"keeps something from call to call in its attribute 'mean'"),
    "what was made for a batch": (remembering, "fails on a batch of one after the example's of 4: .*in an attribute"),
    "a global list": (global_count, "depends on something beside its inputs .*a global that it changes"),
    "a tensor of a global": (
        lambda m, x: m.b(m.a(x) + _SHIFT.add_(1)),
        r"writes a tensor that is not its own \(a global, or what a function holds\) in eval mode at .*_SHIFT.add_",
    ),
    "running statistics": (
        lambda m, x: m.b(F.batch_norm(m.a(x), m.norm.running_mean, m.norm.running_var, training=True)),
        "writes its buffer 'norm.running_mean' in eval mode at .*F.batch_norm",
    ),
    "a tensor in an attribute": (lambda m, x: m.b(m.a(x) + m.plain.add_(1)), "writes its tensor 'plain' in eval mode"),
    "weights that are written": (
        lambda m, x: m.b(m.a(x) + m.embed(x.argmax(1))),
        r"writes its parameter 'embed.weight' in eval mode at .*`lambda",
    ),
    "a branch on compiling": (
        compiling,
        r"computes something else while it is traced \(off by .*\) at .*is_compiling\(\)",
    ),
    "an error that is caught": (caught, r"computes something else while it is traced .*errors that are caught"),
    "a branch on gradients": (gradients, r"computes something else where gradients are on at .*is_grad_enabled"),
    "a branch on one sample": (
        lambda m, x: m.b(m.a(x)) if x.shape[0] > 1 else m.b(x),
        "computes something else on a batch of one than on the example's of 4",
    ),
    "len": (
        lambda m, x: m.b(x.reshape(len(x), -1)),
        r"fixes the batch size to 4 at .*: expected any .*; write x.shape\[0\] for len",
    ),
    "int": (lambda m, x: m.b(x.reshape(int(x.shape[0]), -1)), r"fixes the batch size .*; leave out int\(\)"),
    "a loop over samples": (lambda m, x: torch.stack([m.b(row) for row in x]), r"fixes the batch size .*whole batch"),
    "unbind": (lambda m, x: torch.stack(list(map(m.b, x.unbind()))), r"fixes the batch size .*whole batch"),
    "numbers in numpy": (
        lambda m, x: m.b(torch.from_numpy(x.numpy() * 2)),
        "compute in torch what forward.. computes in numpy",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    _CALLS.clear()
    function, text = REFUSED[name]
    module, x = Own(function), torch.randn(4, 6)
    weight = module.embed.weight.detach().clone()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with pytest.raises(TraceError, match=text) as caught:
        Network(module, x, "net")
    assert "\n" not in str(caught.value)
    assert (module.calls, module.kept, module.mean) == (0, None, None)
    assert torch.equal(module.embed.weight, weight)
    assert not _SHIFT.any()
    assert not module.plain.any()
    assert not module.norm.running_mean.any()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def drawing_in_vain(m: Any, x: Tensor) -> Tensor:
    skip = random.uniform(0, 1) < 0.5 and m.training
    return m.b(x if skip or (torch.rand(()) < 0.5 if m.training else False) else m.a(x))


def logging_calls(m: Any, x: Tensor) -> Tensor:
    m.calls += 1
    m.kept = x.detach()
    return m.b(m.a(x))


PURE: dict[str, Callable[[Any, Tensor], Any]] = {
    "draws that change nothing": drawing_in_vain,
    "attributes that change nothing": logging_calls,
    "squeeze": lambda m, x: m.b(m.a(x)[:, :, None, None].squeeze()),
    "squeeze of the output": lambda m, x: m.b(m.a(x))[:, :1].squeeze(),
    "squeeze of the batch": lambda m, x: m.b(m.a(x)).squeeze(0),
    "squeeze of several": lambda m, x: m.b(m.a(x)[..., None].squeeze((0, 2))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("size", [1, 4])
@torch.no_grad()
def test_traces(name: str, size: int) -> None:
    module, x = Own(PURE[name]).eval(), torch.randn(5, 6)
    net = Network(module, torch.zeros(size, 6), "net")
    assert (module.calls, module.kept) == (0, None)
    assert torch.equal(net(x), module(x))
    assert torch.equal(net(x[:1]).flatten(), module(x[:1]).flatten())
    assert len(net(x[:1])) == 1  # also where the module's own squeeze() would take the batch away


@pytest.mark.parametrize("drawn", ["numpy.random", "Python's random"])
def test_rare_draws_of_either_kind_show(drawn: str) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        rate = random.random() if drawn == "Python's random" else np.random.uniform()
        return m.b(x if rate > 0.99 else m.a(x))

    for _ in range(3):
        with pytest.raises(TraceError, match=drawn):
            Network(Own(forward), torch.zeros(2, 6))


def test_the_module_runs_three_times(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[int] = []
    call = Eager.__call__

    def counted(self: Eager, leaves: list[Tensor], *rest: Any, **words: Any) -> Tensor:
        ran.append(len(leaves[0]))
        return call(self, leaves, *rest, **words)

    monkeypatch.setattr(Eager, "__call__", counted)

    def chatty(m: Any, x: Tensor) -> Tensor:
        if type(x) is Tensor:  # the tracer's are of another type
            print("said")
        return m.b(m.a(x))

    Network(Own(chatty), torch.zeros(5, 6))
    assert ran == [5, 5, 1]
    assert capsys.readouterr().out == ""


def test_nothing_runs_without_numbers() -> None:
    with torch.device("meta"):
        net = Network(nn.Linear(6, 3), torch.zeros(2, 6))
    assert not net.was_run
    assert Network(nn.Linear(6, 3), torch.zeros(2, 6)).was_run


def test_an_interrupt_stays_one() -> None:
    for error in (KeyboardInterrupt, SystemExit):

        def forward(m: Any, x: Tensor, error: type[BaseException] = error) -> Tensor:
            raise error

        with pytest.raises(error):
            Network(Own(forward), torch.zeros(2, 6))


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


SCRIPTED: dict[str, Callable[[], nn.Module]] = {
    "an activation": lambda: torch.jit.script(Swish()),
    "weights": lambda: torch.jit.script(nn.Linear(6, 6)),
    "several parts": lambda: torch.jit.script(nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 6))),
    "traced": lambda: torch.jit.trace(nn.Linear(6, 6), torch.ones(2, 6)),
    "compiled": lambda: torch.compile(nn.Linear(6, 6)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTED)
@torch.no_grad()
def test_a_compiled_part_is_one_layer(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = SCRIPTED[name]()
    module, x = nn.Sequential(nn.Linear(6, 6), part, nn.Linear(6, 3)), torch.randn(5, 6)
    training = [p.training for p in module.modules()]
    net = Network(module, torch.zeros(2, 6))
    assert [p.training for p in module.modules()] == training
    assert net.cuts == ["0", "1", "2"]
    names = {w.name for w in net._trace.weights.values() if w.kind == "parameter"}
    assert names == set(dict(module.named_parameters()))
    torch.nn.init.ones_(next(module[2].parameters()))
    for parameter in part.parameters():
        parameter.mul_(2)
    with torch.compiler.set_stance("force_eager"):
        assert torch.equal(net(x), module.eval()(x))


def test_code_that_the_garbage_collector_calls_is_not_the_modules() -> None:
    def others(phase: str, info: Any) -> None:
        time.perf_counter()

    def collecting(m: Any, x: Tensor) -> Tensor:
        for _ in range(3000):  # as much as makes the collector run
            [x].append([])
        return moving(m, x)

    before = gc.get_threshold()
    gc.callbacks.append(others)
    gc.set_threshold(1, 1, 1)
    try:
        with pytest.raises(TraceError, match="keeps something from call to call in its attribute 'mean'"):
            Network(Own(collecting), torch.randn(4, 6))
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(others)
        gc.set_threshold(*before)


class Branches(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.body, self.head, self.way = nn.Linear(6, 6), nn.Linear(6, 4), forward

    def forward(self, x):
        return self.way(self, self.body(x))


def centred_if_large(net, h):
    return net.head(h - h.mean(0) if h.shape[0] > 16 else h)


def flipped_if_large(net, h):
    return net.head(h.flip(0) if h.shape[0] > 16 else h)


def in_pieces_if_large(net, h):
    return net.head(h) if h.shape[0] <= 16 else torch.cat([net.head(piece) for piece in h.split(16)])


def refuses_if_large(net, h):
    assert h.shape[0] <= 16
    return net.head(h)


def beyond_all(net, h):
    return net.head(h * 2 if h.shape[0] > 100_000 else h)


REFUSED_ANY_BATCH = {
    "traced below": (centred_if_large, torch.ones(4, 6), "more than 16"),
    "traced with one sample": (flipped_if_large, torch.ones(1, 6), "more than 16"),
    "traced with zeros": (centred_if_large, torch.zeros(2, 6), "more than 16"),
    "traced above": (centred_if_large, torch.ones(40, 6), "fewer than 17"),
    "keyword inputs": (centred_if_large, {"x": torch.ones(4, 6)}, "more than 16"),
}


@pytest.mark.parametrize("case", REFUSED_ANY_BATCH)
def test_a_branch_that_changes_numbers_is_refused(case):
    forward, example, words = REFUSED_ANY_BATCH[case]
    with pytest.raises(
        TraceError, match=rf"'net' computes something else in batches of {words} samples than in others"
    ):
        Network(Branches(forward).eval(), example, "net")


@pytest.mark.parametrize("forward", [in_pieces_if_large, refuses_if_large, beyond_all])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_branch_that_changes_none_is_allowed(forward, dtype):
    module, x = Branches(forward).to(dtype).eval(), torch.rand(16, 6, dtype=dtype)
    assert torch.equal(Network(module, x[:4])(x), module(x))


def less_the_mean(net, h):
    return net.head(h - h.mean(0))


def shifted(net, h):
    return net.head(h + h.roll(1, 0))


def sorted_by_sum(net, h):
    return net.head(h[h.sum(1).argsort()])


def one_for_all(net, h):
    return net.head(h.mean(0)).expand(h.size(0), -1)


def viewed_for_transposed(net, h):
    return net.head(h.T.reshape(h.shape))


def scaled_by_largest(net, h):
    return net.head(h / h.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "forward", [less_the_mean, shifted, sorted_by_sum, one_for_all, viewed_for_transposed, scaled_by_largest]
)
@pytest.mark.parametrize("n", [2, 4])
def test_samples_that_are_mixed_are_refused(forward, n):
    torch.manual_seed(0)  # an order that is there by chance is no mixing
    with pytest.raises(
        TraceError, match="'net' mixes the samples of a batch: what it gives for one depends on the others"
    ):
        Network(Branches(forward).eval(), torch.rand(n, 6), "net")


def test_norms_of_the_batch_are_named():
    module = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3))
    with pytest.raises(TraceError, match=r"mixes the samples of a batch \(its part '1' has track_running_stats=False"):
        Network(module, torch.rand(4, 6), "net")
    Network(nn.Sequential(nn.Conv1d(2, 6, 1), nn.InstanceNorm1d(6)), torch.rand(4, 2, 5))  # over one sample


EXAMPLE = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
NET = "small-resnet?width=4&blocks=3"


@pytest.fixture(scope="module")
def first():
    return Network(build(NET, seed=0).eval(), EXAMPLE, "first")


def test_the_graph_is_used_again_and_gives_the_other_modules_output(first, monkeypatch):
    other = build(NET, seed=1).eval()
    before = first(EXAMPLE)
    monkeypatch.setattr(room, "trace", None)  # a second trace would fail
    second = first.replaced(other, "second")
    assert second.name == "second"
    assert first.name == "first"
    assert torch.equal(second(EXAMPLE), other(EXAMPLE))
    assert torch.equal(first(EXAMPLE), before)
    for cut in second.cuts:
        assert torch.equal(second.top(cut)(second.bottom(cut)(EXAMPLE)), other(EXAMPLE))
    assert second.fingerprint() != first.fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize("change", ["shape", "function"])
def test_another_architecture_is_traced_anew(first, change):
    if change == "shape":
        other = build("small-resnet?width=6&blocks=3", seed=1).eval()
    else:
        other = copy.deepcopy(first.module)
        other.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    second = first.replaced(other)
    assert torch.equal(second(EXAMPLE), other(EXAMPLE))
    assert second.layer("block1").channels == other.stem[0].out_channels


class Plain(nn.Module):
    """No biases, and a number that is no parameter."""

    def __init__(self, scale):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False)
        self.scale = scale

    def forward(self, x):
        return self.second(torch.relu(self.first(x)) * self.scale)


def test_an_example_of_zeros_hides_nothing():
    x = torch.randn(5, 4)
    other = Plain(3.0).eval()
    second = Network(Plain(2.0).eval(), torch.zeros(2, 4)).replaced(other)
    assert torch.equal(second(x), other(x))


class Writes(nn.Module):
    """Scales its own input in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        x.sub_(0.5).div_(0.25)
        return self.head(self.conv(x).relu().mean((2, 3)))


def test_a_forward_that_writes_into_its_input_leaves_the_example_alone(monkeypatch):
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    kept, other = x.clone(), Writes().eval()
    net = Network(Writes().eval(), x)
    monkeypatch.setattr(room, "trace", None)  # a second trace would fail
    second = net.replaced(other)
    net.check_sample(wide := torch.rand(2, 1, 12, 12))  # another size, which is no other function
    assert torch.equal(x, kept)
    assert torch.equal(second(wide), other(wide.clone()))
