"""What a caller has set for other work moves no number, and is as it was afterwards."""

from __future__ import annotations

import os
import random
import warnings
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.support.ambient import found, in_settled, remembering, settled


@contextmanager
def setting(write, value, usual):
    write(value)
    try:
        yield
    finally:
        write(usual)


@contextmanager
def all_warnings_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def other_seeds():
    torch.manual_seed(12345)
    np.random.seed(12345)
    random.seed(12345)
    yield


@contextmanager
def elsewhere(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


SURROUNDINGS = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference": torch.inference_mode,
    "float64 by default": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16 by default": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "a default device": lambda: setting(torch.set_default_device, "meta", None),
    "inside a device": lambda: torch.device("meta"),
    "no oneDNN": lambda: setting(torch._C._set_mkldnn_enabled, False, True),
    "coarse products": lambda: setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "coarse precision": lambda: setting(lambda v: setattr(torch.backends, "fp32_precision", v), "bf16", "none"),
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "numpy raises": lambda: np.errstate(all="raise"),
    "warnings raise": all_warnings_raised,
    "another seed": other_seeds,
}


def state():
    """All of a caller's that the doors might leave changed."""
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.backends.mkldnn.conv.fp32_precision,
        tuple(np.geterr().items()),
        list(warnings.filters),
        os.getcwd(),
        torch.get_rng_state().tolist() if torch.get_default_device().type == "cpu" else 0,
    )


def made(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(54, 10),
        )


MODULES = [made(0), made(1)]
EXAMPLE = torch.zeros(2, 1, 8, 8)


def numbers():
    """What every door gives, from the data on."""
    data = ms.load_data("digits", limit=60)
    batch = next(data.batches("fit", 8, seed=1))
    networks = [ms.Network(m, EXAMPLE, n) for m, n in zip(MODULES, ("one", "two"))]
    loaded = ms.load("zoo:small-resnet?width=4")
    task = ms.stitch(*networks, at="2", data=data, steps=3, batch_size=32)
    compared = ms.compare(*networks, data, layers="4", family="low-rank:2", controls=("random",), both=False, steps=2)
    crossed = ms.matrix(*networks, data, layers=(["2"], ["2", "4"]), samples=40)
    alike = ms.similarity(*networks, data, layers=(["2"], ["4"]), measures=["cka", "cca"], shuffles=2)
    return {
        "data": (batch.inputs.dtype, batch.inputs.tolist(), batch.labels.tolist(), data.fingerprint),
        "networks": [n.fingerprint() for n in (*networks, loaded)],
        "stitch": dict(task.metrics.items()),
        "map": [value.tolist() for value in task.stitcher.state_dict().values()],
        "measured": task.measure(data),
        "compare": compared.frame.select("control", "metric", "value", "low", "high").rows(),
        "donors": compared.donors,
        "matrix": crossed.frame.select("top_layer", "metric", "value", "low", "high").rows(),
        "similarity": alike.frame.select("measure", "value", "null_mean").rows(),
    }


@pytest.fixture(scope="module")
def plain():
    return numbers()


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_no_number_moves(name, plain):
    with SURROUNDINGS[name]():
        before = state()
        found = numbers()
        assert state() == before
    for what, values in plain.items():
        assert found[what] == values, what


@pytest.mark.slow
def test_all_at_once_and_in_another_folder(plain, tmp_path):
    outer = SURROUNDINGS["float64 by default"](), SURROUNDINGS["numpy raises"](), SURROUNDINGS["inference"]()
    with outer[0], outer[1], outer[2], SURROUNDINGS["autocast to bfloat16"](), elsewhere(tmp_path):
        found = numbers()
    assert found == plain


def test_a_failed_call_leaves_the_surroundings_as_they_were():
    network = ms.Network(MODULES[0], EXAMPLE, "one")
    with torch.autocast("cpu"), torch.no_grad(), np.errstate(all="raise"):
        before = state()
        with pytest.raises(ms.StitchError, match="has no layer 'nowhere'"):
            ms.stitch(network, network, at="nowhere", data=ms.load_data("digits", limit=60))
        assert state() == before


def test_a_generator_leaves_them_between_its_steps():
    @in_settled
    def steps():
        for _ in range(2):
            yield torch.get_default_dtype()

    torch.set_default_dtype(torch.float64)
    try:
        found = [(inside, torch.get_default_dtype()) for inside in steps()]
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == [(torch.float32, torch.float64)] * 2


def test_filters_of_our_own_warnings_stay():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="modelstitch")
        warnings.filterwarnings("error", category=DeprecationWarning)
        with settled():
            actions = [(action, category) for action, _, category, module, _ in warnings.filters[:2]]
    assert actions == [("default", DeprecationWarning), ("error", Warning)]


def test_it_lasts_as_long_as_the_outermost_call():
    assert found() is None
    with remembering():
        found()["what"] = 1
        with remembering():
            assert found() == {"what": 1}
        assert found() == {"what": 1}
        seen = []
        thread = Thread(target=lambda: seen.append(found()))
        thread.start()
        thread.join()
        assert seen == [None]
    assert found() is None
    with pytest.raises(ValueError, match="it ends"), remembering():
        raise ValueError("it ends")
    assert found() is None
