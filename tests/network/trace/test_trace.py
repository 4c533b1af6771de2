"""One trace of a module: every layer's value, or a refusal with its reason."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import traced
from modelstitch.errors import InexactCutError, NetworkError, TraceError, UnknownLayerError
from modelstitch.network import Network
from modelstitch.network.trace.purity import telling
from modelstitch.network.trace.trace import _ASKED, _MODULE, masks_as_run
from modelstitch.zoo.nets import build
from network.cases import chain, vectors
from network.shapes import Named, Positions, residual
from texts import small


class Forward(nn.Module):
    """A module made of one function of (module, x)."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.norm, self.function = nn.Linear(6, 6), nn.BatchNorm1d(6), function
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def branch(m: Any, x: Tensor) -> Tensor:
    return m.fc(x) if x.sum() > 0 else x


def counted(m: Any, x: Tensor) -> Tensor:
    m.count += 1
    return m.fc(x)


class AlwaysDropout(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.p, True)


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "branch on values": (branch, r"cannot be traced .*: replace the branch on tensor values in forward\(\)"),
    "fixed batch": (
        lambda m, x: m.fc(x).view(3, 2, 3),
        r"fixes the batch size to 3 at .*test_trace.py:\d+ `lambda m, x: .*`: expected any batch size; look for view",
    ),
    "random": (lambda m, x: m.fc(x) + torch.randn_like(x), r"draws random numbers in eval mode \(aten.randn_like"),
    "random by hand": (lambda m, x: nn.functional.dropout(m.fc(x), 0.5, True), "draws random numbers in eval mode"),
    "random by a class of its own": (lambda m, x: AlwaysDropout(0.5)(m.fc(x)), "draws random numbers in eval mode"),
    "buffer": (
        counted,
        r"writes its buffer 'count' in eval mode at .*test_trace.py:\d+ `m.count \+= 1`: expected a frozen network",
    ),
    "wrong size": (lambda m, x: m.fc(x[:, :3]), "check that the example has the size and type"),
    "no tensor": (lambda m, x: "hello", "No output of the network is a tensor: it returns str; choose output="),
    "no dependence": (lambda m, x: torch.ones(3), "does not depend on its input"),
    "own error": (lambda m, x: m.nothing(x), "has no attribute 'nothing'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    function, text = REFUSED[name]
    with pytest.raises(NetworkError, match=text) as caught:
        Network(Forward(function), vectors(3), name="net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("example", "text"),
    [
        ("hello", "The example holds no tensor: expected a tensor, a tuple or a dict of tensors, found str"),
        ({"x": 3}, "The example holds no tensor.*found dict"),
        ((), "The example holds no tensor.*found tuple"),
        (torch.tensor(3.0), "is a single number: expected a batch"),
        (torch.zeros(0, 6), "holds no sample: expected a batch of one or more"),
    ],
)
def test_refuses_examples(example: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(chain(), example)


@pytest.mark.parametrize(
    ("example", "text"),
    [
        (torch.zeros(2, 6, 4, dtype=torch.uint8), "its data are uint8 of shape (n, 6, 4)."),
        (torch.zeros(2, 6, 4, dtype=torch.float64), "its data are float64 of shape (n, 6, 4)."),
        (torch.zeros(2, 5, 4), "its data are float32 of shape (n, 5, 4)."),
        (
            [torch.zeros(2, 6, 4)],
            "a list is one input of forward(); for several inputs give a tuple, for one the tensor itself.",
        ),
    ],
)
def test_an_example_that_the_module_cannot_take_is_described(example: Any, text: str) -> None:
    with pytest.raises(TraceError) as caught:
        Network(nn.Sequential(nn.Conv1d(6, 3, 1)), example)
    assert str(caught.value).endswith(text)


def test_the_tracer_prints_nothing_where_it_fails(capfd: pytest.CaptureFixture[str]) -> None:
    class Branch(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            x = super().forward(x)
            print("said", file=sys.stderr)
            return x + 1 if x.sum() > 0 else x

    with pytest.raises(TraceError, match="replace the branch on tensor values"):
        Network(Branch(4, 4), torch.zeros(2, 4))
    assert capfd.readouterr() == ("", "")


def test_what_a_forward_prints_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    class Chatty(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            print("said", file=sys.stderr)
            return super().forward(x)

    Network(Chatty(4, 4), torch.zeros(2, 4))
    assert "said" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"data": "y"}, "No input is called 'y': the example has x, positions; choose data= from these."),
        ({"data": 1}, "No input is called '1'"),
        ({"output": "nothing"}, "The network has no output 'nothing': it returns 0; choose output= from these."),
        ({"output": 4}, "The network has no output '4'"),
    ],
)
def test_refuses_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(Positions(), {"x": vectors(2), "positions": torch.arange(3)}, **options)


def test_wrong_output_lists_what_there_is() -> None:
    with pytest.raises(NetworkError, match="it returns aux, logits; choose output="):
        Network(Named("dict"), vectors(2), output="loss")


def test_output_without_tensor() -> None:
    with pytest.raises(NetworkError, match="The output 'note' of the network is not a tensor but str"):
        Network(Forward(lambda m, x: {"note": "hello", "y": m.fc(x)}), vectors(2), output="note")


def test_module_that_cannot_be_copied() -> None:
    module = chain()
    module.lock = threading.Lock()
    with pytest.raises(TraceError, match=r"cannot be copied for tracing \(TypeError: cannot pickle"):
        Network(module, vectors(2))


def test_unknown_layer() -> None:
    net = Network(residual(), vectors(3), name="net")
    with pytest.raises(UnknownLayerError, match=r"The network 'net' has no layer '1.fc3': did you mean '1.fc\d' or"):
        net.bottom("1.fc3")
    with pytest.raises(UnknownLayerError, match=r"has no layer 'encoder': see Network.layers"):
        net.layer("encoder")


def test_inexact_cut() -> None:
    net = Network(residual(), vectors(3), name="net")
    text = "The layer '1.act' of 'net' is not an exact cut: bypassed by 0; the nearest exact cuts are '0' and '1'."
    for attempt in (net.bottom, net.top, lambda layer: net.segment("0", layer)):
        with pytest.raises(InexactCutError) as caught:
            attempt("1.act")
        assert str(caught.value) == text


def test_segment_backwards() -> None:
    with pytest.raises(NetworkError, match="The segment of 'net' runs backwards: '3' comes after '0'"):
        Network(residual(), vectors(3), name="net").segment("3", "0")


def test_top_that_needs_the_input() -> None:
    net = Network(Positions(), (vectors(3), torch.arange(3)))
    with pytest.raises(NetworkError, match=r"also reads 1: call it as top\(activation, input\)"):
        net.top("fc")(vectors(2))


def test_calls_of_another_form() -> None:
    net = Network(Named("dict"), {"x": vectors(3), "scale": 2.0})
    with pytest.raises(NetworkError, match=r"1 positional and keyword inputs \[\]: expected 0 and \['scale', 'x'\]"):
        net(vectors(2))
    with pytest.raises(NetworkError, match=r"The input 'scale' is fixed to 2.0 by the example: found 3.0"):
        net(x=vectors(2), scale=3.0)
    with pytest.raises(NetworkError, match="The input 'x' is no tensor: expected one, as in the example, found str"):
        net(x="hello", scale=2.0)


def test_taps_need_a_layer() -> None:
    with pytest.raises(NetworkError, match="at least one layer"):
        Network(chain(), vectors(3)).taps([])


UNFIT: dict[str, tuple[Tensor, str]] = {
    "width": (torch.zeros(4, 5), "(6,) of float32, as in the example it was traced with, found (5,) of float32"),
    "type": (vectors(4).double(), "(6,) of float32, as in the example it was traced with, found (6,) of float64"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_samples_that_do_not_fit(case: str) -> None:
    given, found = UNFIT[case]
    net = Network(chain(), vectors(3), name="old")
    net(vectors(3))
    net = net.named("net")
    text = f"The network 'net' cannot take its input: expected samples {found} ("
    for part in (net, net.bottom(net.cuts[0]), net.taps(net.cuts[:1]), net.full()):
        with pytest.raises(NetworkError) as caught:
            part(given)
        assert str(caught.value).startswith(text)
        assert str(caught.value).endswith("); a view= that prepares samples may help.")
        assert str(caught.value.__cause__).splitlines()[0] in str(caught.value)


def test_which_of_several_inputs_does_not_fit() -> None:
    net = Network(
        Named("dict"),
        {
            "x": vectors(3),
            "scale": 2.0,
        },
    )
    with pytest.raises(NetworkError, match=r"cannot take its input: expected samples \(6,\)"):
        net(x=torch.zeros(2, 5), scale=2.0)
    with pytest.raises(NetworkError, match=r"cannot take its input 0: expected samples \(6,\)"):
        Network(Positions(), (vectors(3), torch.arange(3)))(torch.zeros(2, 5), torch.arange(2))


def test_an_error_on_samples_that_fit_passes_as_it_is() -> None:
    net = Network(chain(), vectors(3))
    part = net.full().to("meta")
    for given in (vectors(3), torch.zeros(3, 7)):  # the device is what is wrong, whatever the size
        with pytest.raises(RuntimeError):
            part(given)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("not enough memory")])
def test_memory_that_runs_out_is_not_taken_for_samples_that_do_not_fit(error: RuntimeError) -> None:
    part = Network(chain(), vectors(3)).full()

    def greedy(*_: Any) -> Any:
        raise error

    part.body.forward = greedy
    with pytest.raises(type(error)) as caught:
        part(torch.zeros(3, 7))
    assert caught.value is error


def test_samples_with_a_dimension_too_few() -> None:
    net = Network(nn.Sequential(nn.Flatten(), nn.Linear(6, 4)), torch.zeros(3, 2, 3), name="net")
    with pytest.raises(NetworkError, match=r"expected samples \(2, 3\) of float32, .* found \(\) of float32 \(Dim"):
        net(torch.zeros(3))


WRAPPED: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "DataParallel": (nn.DataParallel, "The network is wrapped in DataParallel: expected .* pass model.module"),
    "script": (torch.jit.script, "a module of TorchScript .*: expected an ordinary module; pass the original module"),
    "trace": (lambda m: torch.jit.trace(m, vectors(3)), "a module of TorchScript .* pass the original module"),
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_refuses_a_wrapped_module(name: str) -> None:
    wrap, text = WRAPPED[name]
    with pytest.raises(NetworkError, match=text):
        Network(wrap(nn.Sequential(nn.Linear(6, 6), nn.ReLU())), vectors(3), name="net")


@pytest.mark.slow
def test_of_a_compiled_module_the_original_is_taken() -> None:
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    net = Network(torch.compile(module), vectors(3))
    assert net.module is module
    assert (net.name, net.cuts) == ("Sequential", ["0", "1"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_that_are_not_made_yet() -> None:
    module = nn.Sequential(nn.LazyLinear(6), nn.Linear(6, 3))
    with pytest.raises(NetworkError, match=r"weights that are not made yet \(0.weight\): .* run it once"):
        Network(module, vectors(2))
    module(vectors(2))
    assert Network(module, vectors(2)).cuts == ["0", "1"]


NO_MODULES: dict[str, tuple[Callable[[], Any], str]] = {
    "a function": (lambda: torch.relu, "expected an nn.Module, found a builtin_function_or_method; .*wrap a function"),
    "a class": (lambda: nn.Linear, "found the class Linear; make one of a class"),
    "an exported program": (
        lambda: torch.export.export(nn.Linear(6, 6), (vectors(2),)),
        "found a ExportedProgram; .*pass the module from before torch.export",
    ),
}


@pytest.mark.parametrize("case", NO_MODULES)
def test_what_is_no_module(case: str) -> None:
    make, text = NO_MODULES[case]
    with pytest.raises(NetworkError, match=text):
        Network(make(), vectors(2))


@pytest.fixture
def library(monkeypatch):
    """What the library asks, as it says while a network is exported."""
    module = ModuleType(_MODULE)
    setattr(module, _ASKED, lambda: True)
    monkeypatch.setitem(sys.modules, _MODULE, module)
    return module


def test_the_library_takes_the_trace_for_a_run(library):
    before = getattr(library, _ASKED)
    with masks_as_run():
        assert getattr(library, _ASKED)() is False
    assert getattr(library, _ASKED) is before


def test_it_asks_as_before_after_an_error(library):
    before = getattr(library, _ASKED)
    with pytest.raises(ValueError, match="stop"), masks_as_run():
        raise ValueError("stop")
    assert getattr(library, _ASKED) is before


def test_without_the_library_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, _MODULE, raising=False)
    with masks_as_run():
        assert _MODULE not in sys.modules


def test_a_version_that_asks_in_another_way_is_left_alone(library):
    delattr(library, _ASKED)
    with masks_as_run():
        assert not hasattr(library, _ASKED)


def test_the_installed_library_is_asked_where_we_think():
    utils = importlib.import_module("transformers.masking_utils")
    assert callable(getattr(utils, _ASKED))


class Scaled(nn.Linear):
    """A module whose function is more than its class and its settings."""

    factor = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.factor


NETS = {
    "residual": lambda seed: (build("small-resnet?width=4", seed=seed).eval(), torch.zeros(2, 1, 8, 8)),
    "tokens": lambda seed: (small("gpt2", seed).eval(), {"input_ids": torch.ones(2, 8, dtype=torch.long)}),
    "own": lambda seed: (chain(), vectors(3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_what_other_tests_use_again_is_what_a_trace_of_its_own_gives(name: str) -> None:
    with traced.used_again(True):
        Network(*NETS[name](0), "n")
        again = Network(*NETS[name](1), "n")
    module, example = NETS[name](1)
    module.load_state_dict(again.module.state_dict())
    anew = Network(module, example, "n")
    assert again.fingerprint() == anew.fingerprint()
    assert again.layers == anew.layers
    assert again.cuts == anew.cuts
    inputs = telling(example)
    assert torch.equal(again.full()(inputs), module(**inputs).logits if name == "tokens" else module(inputs))


def test_what_other_tests_use_again_is_held_against_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(Scaled(6, 6), nn.Linear(6, 2)).eval()
    with traced.used_again(True):
        Network(module, vectors(3), "one")
        monkeypatch.setattr(Scaled, "factor", 2.0)
        with pytest.raises(TraceError, match="computes something else while it is traced"):
            Network(module, vectors(3), "two")
        monkeypatch.undo()
        module[0].register_forward_hook(lambda part, given, result: result + 1)
        Network(module, vectors(3), "hooked")
