"""Activations on disk: what a network gives for a sample is kept in shards, found again, and never believed unseen."""

import os

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.engine import activations
from modelstitch.engine.activations import Shelved, keeping
from modelstitch.engine.senders import NetworkSender, open_quick
from modelstitch.errors import StudyError
from modelstitch.network import OUTPUT
from modelstitch.support.files import SetAside
from others import Other

CPU = torch.device("cpu")
LAYERS = ["0", "1"]


class Halved(nn.Module):
    def forward(self, x):
        return x / 2


def net(seed=0, width=6):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3))
    return ms.Network(module.eval(), torch.zeros(2, 5), f"net{seed}")


def data(n=90, **how):
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 3
    a, b = n // 3, 2 * n // 3
    return ms.Data((x[:a], y[:a]), (x[a:b], y[a:b]), (x[b:], y[b:]), name="rows", **how)


@pytest.fixture
def forwards(monkeypatch):
    """How many samples ran through each network, and for which layers."""
    seen = []
    taps = ms.Network.taps

    def counted(self, layers, **how):
        part = taps(self, layers, **how)
        part.register_forward_pre_hook(lambda m, args: seen.append((self.name, tuple(layers), len(args[0]))))
        return part

    monkeypatch.setattr(ms.Network, "taps", counted)
    return seen


def batch_of(rows, size=10):
    return next(rows.batches("fit", size))


def test_what_is_kept_is_what_the_network_gives_to_the_last_bit(tmp_path, forwards):
    network, batch = net(), batch_of(data())
    plain = NetworkSender(network).open(LAYERS, CPU, output=True)(batch)
    forwards.clear()
    for _ in range(2):  # a second process begins with what lies there
        for opened in (NetworkSender(keeping(network, tmp_path, LAYERS)).open, open_quick_of):
            found = opened(LAYERS, CPU) if opened is not open_quick_of else opened(network, tmp_path)
            values = found(batch)
            assert all(torch.equal(values[name], plain[name]) for name in LAYERS)
    assert forwards == [("net0", ("0", "1"), 10)]
    with_output = NetworkSender(keeping(network, tmp_path, LAYERS)).open(LAYERS, CPU, output=True)(batch)
    assert torch.equal(with_output[OUTPUT], plain[OUTPUT])
    assert forwards[1:] == [("net0", (), 10)]  # the output alone was lacking


def open_quick_of(network, folder):
    return open_quick(NetworkSender(keeping(network, folder, LAYERS)), LAYERS, CPU)


def test_samples_are_found_in_any_order_and_layers_ahead_are_kept_with_the_first(tmp_path, forwards):
    kept, rows = keeping(net(), tmp_path, ["0", "1", "2"]), data()
    first = NetworkSender(kept).open(["0"], CPU)
    for batch in rows.batches("fit", 8):
        first(batch)
    assert {layers for _, layers, _ in forwards} == {("0", "1", "2")}
    ran = len(forwards)
    later = NetworkSender(keeping(net(), tmp_path, ["2"])).open(["2", "1"], CPU)
    for batch in rows.batches("fit", 13, seed=5):
        values = later(batch)
        with torch.no_grad():
            assert torch.allclose(values["2"], kept.taps(["2"])(batch.inputs)["2"], atol=1e-6)
    assert len([layers for _, layers, _ in forwards if layers != ("2",)]) == ran


@pytest.mark.parametrize("what", ["another input", "another network", "another view"])
def test_what_is_seen_otherwise_is_another_sample(tmp_path, forwards, what):
    network, batch = net(), batch_of(data())
    NetworkSender(keeping(network, tmp_path, LAYERS)).open(LAYERS, CPU)(batch)
    other = net(1) if what == "another network" else net()
    if what == "another view":
        other.view = Halved()
    if what == "another input":
        batch.inputs[3] += 1
    values = NetworkSender(keeping(other, tmp_path, LAYERS)).open(LAYERS, CPU)(batch)
    with torch.no_grad():
        assert torch.equal(values["0"], other.taps(["0"])(other.view(batch.inputs))["0"])
    assert len(forwards) == 3


def test_half_precision_is_kept_as_it_is(tmp_path):
    module = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(torch.bfloat16).eval()
    network = ms.Network(module, torch.zeros(2, 5, dtype=torch.bfloat16), "half", view=lambda x: x.to(torch.bfloat16))
    for _ in range(2):
        value = NetworkSender(keeping(network, tmp_path, ["0"])).open(["0"], CPU)(batch_of(data()))["0"]
        assert value.dtype == torch.bfloat16
    (shard,) = tmp_path.rglob("*.safetensors")
    assert shard.stat().st_size < 10 * (4 * 2 + 8 + 16) + 1000


@pytest.mark.parametrize("how", ["a bit", "cut short", "emptied"])
def test_a_shard_that_changed_is_set_aside_and_made_anew(tmp_path, how):
    network, batch = net(), batch_of(data())
    plain = NetworkSender(keeping(network, tmp_path, LAYERS)).open(LAYERS, CPU)(batch)
    (shard,) = tmp_path.rglob("*.safetensors")
    held = bytearray(shard.read_bytes())
    held[len(held) // 2] ^= 1
    shard.write_bytes(held if how == "a bit" else held[:-7] if how == "cut short" else b"")
    with pytest.warns(SetAside, match="The activations in .* cannot be used"):
        found = NetworkSender(keeping(network, tmp_path, LAYERS)).open(LAYERS, CPU)(batch)
    assert all(torch.equal(found[name], plain[name]) for name in LAYERS)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert len(list(tmp_path.rglob("*.aside-1"))) == 1


def test_another_module_in_place_is_not_read_from_the_shelf(tmp_path):
    kept = keeping(net(), tmp_path, LAYERS)
    other = kept.replaced(net(1).module, "other")
    assert isinstance(kept, Shelved)
    assert not isinstance(other, Shelved)


KILLED = """
import os, pathlib, signal, sys, torch
sys.path[:0] = [{tests!r}]
from test_activations import data, net
import modelstitch as ms
def view(x):
    if len(list(pathlib.Path({folder!r}).rglob("*.safetensors"))) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return x
a, b = net(0), net(1)
a.view = view
ms.similarity(a, b, data(), split="fit", batch_size=5, measures=["r2"], shuffles=0, activations={folder!r})
"""


@pytest.mark.slow
def test_a_killed_pass_goes_on_where_it_was(tmp_path, forwards):
    kept = tmp_path / "kept"
    script = KILLED.format(tests=os.path.dirname(__file__), folder=str(kept))
    ended = Other(script, folder=tmp_path, said=tmp_path / "said.txt").ended()
    assert ended.code == -9, ended.said
    before = len(list(kept.rglob("*.safetensors")))
    assert before == 4
    asked = {"split": "fit", "batch_size": 5, "measures": ["r2"], "shuffles": 0}
    found = ms.similarity(net(0), net(1), data(), **asked, activations=kept)
    assert len(forwards) == 12 - before
    assert found.frame["value"].to_list() == ms.similarity(net(0), net(1), data(), **asked).frame["value"].to_list()


def test_layers_in_blocks_run_each_network_once_and_give_what_one_block_gives(tmp_path, forwards):
    a, b, rows = net(0, 24), net(1, 24), data(300)
    asked = {"split": "fit", "measures": ["r2", "cca"], "shuffles": 0, "batch_size": 50}
    whole = ms.similarity(a, b, rows, **asked).frame
    forwards.clear()
    parts = ms.similarity(a, b, rows, **asked, available=20_000, activations=tmp_path)
    assert "passes" in " ".join(parts.spec["about"])
    assert sum(n for _, _, n in forwards) == 2 * 100  # each of the two networks saw each of the 100 samples once
    assert (whole["value"] - parts.frame["value"]).abs().max() < 1e-9


def test_closed_forms_in_parts_run_each_network_once(tmp_path, forwards):
    a, b, rows = net(0, 24), net(1, 24), data(300)
    layers = (["0", "2"], ["0", "2"])
    whole = ms.matrix(a, b, rows, layers=layers).frame
    forwards.clear()
    parts = ms.matrix(a, b, rows, layers=layers, memory=2e-5, activations=tmp_path).frame
    assert sum(n for _, layers, n in forwards if layers) == 2 * 200  # fit and test
    for metric in ("penalty", "error", "r2"):
        one, other = (frame.filter(metric=metric)["value"] for frame in (whole, parts))
        assert (one - other).abs().max() < 1e-6


def test_samples_that_are_augmented_cannot_be_kept(tmp_path):
    def noise(inputs, generator):
        return inputs

    noise.recipe = "none"
    rows = data(augment=noise)
    with pytest.raises(StudyError, match="augmented anew each time: expected the same samples at every read; ask with"):
        ms.matrix(net(0), net(1), rows, augment=True, activations=tmp_path)
    assert ms.matrix(net(0), net(1), rows, augment=False, activations=tmp_path).frame.height


def test_a_hash_tells_each_sample_and_what_all_share():
    ids, mask = torch.arange(6).view(3, 2), torch.ones(3, 2)
    one = activations._hashes({"ids": ids, "mask": mask, "shared": torch.arange(4)}, 3)
    assert len(set(one)) == 3
    assert {len(each) for each in one} == {16}
    changed = activations._hashes({"ids": ids, "mask": mask, "shared": torch.arange(4) + 1}, 3)
    masked = activations._hashes({"ids": ids, "mask": mask.tril(), "shared": torch.arange(4)}, 3)
    assert not set(one) & set(changed)
    assert [a == b for a, b in zip(one, masked)] == [False, True, True]
