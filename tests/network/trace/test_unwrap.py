"""The module inside what other tools wrap around it."""

import pytest
import torch
from torch import nn

from modelstitch.errors import NetworkError
from modelstitch.network.trace.unwrap import unwrapped


def test_a_module_is_itself():
    module = nn.Linear(2, 2)
    assert unwrapped(module) is module


def test_of_a_compiled_module_the_original():
    module = nn.Linear(2, 2)
    assert unwrapped(torch.compile(module)) is module


CASES = {
    "a class": (lambda: nn.Linear, "expected an nn.Module, found the class Linear; make one of a class"),
    "a function": (lambda: torch.relu, "The network is no module"),
    "several devices": (
        lambda: nn.DataParallel(nn.Linear(2, 2)),
        "wrapped in DataParallel: expected the module inside it; pass model.module",
    ),
    "TorchScript": (lambda: torch.jit.script(nn.ReLU()), "a module of TorchScript .*: expected an ordinary module"),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(2)),
        r"weights that are not made yet \(0\.weight\).* run it once, module\(example\)",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_traced_is_refused(case):
    make, words = CASES[case]
    with pytest.raises(NetworkError, match=words):
        unwrapped(make())
