"""The stitched model as a module.

Folding where the algebra allows it, statistics that travel, exported files that run.
"""

import copy
from functools import cache

import pytest
import torch
from torch import nn

from conftest import Small
from modelstitch import Network, Stitched, stitch
from modelstitch.errors import FoldError, SourceError, StudyError
from modelstitch.network import fingerprint
from modelstitch.stitchers import Affine, Site, family_of


class Tokens(nn.Module):
    """Patches to tokens, a token-wise linear layer, attention-free; the head reads the first token."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.out = nn.Conv2d(1, 6, 4, 4), nn.Linear(6, 6), nn.Linear(6, 10)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.out(self.mix(self.norm(x))[:, 0])


def plain(padding, groups=1):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=padding, groups=groups),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )


NETS = {
    "small": lambda: Small(6),
    "valid": lambda: plain(0),
    "padded": lambda: plain(1),
    "grouped": lambda: plain(0, groups=2),
    "tokens": Tokens,
    "flat": lambda: nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10)),
}


@cache
def network(name, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = NETS[name]().eval()
        for part in module.modules():  # statistics and shifts as if trained
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return Network(module, torch.zeros(2, 1, 8, 8), f"{name}{seed}")


def drawn(family, bottom, top, below, above, bias=True):
    """A stitched model with a random map."""
    site = Site(bottom.layer(below).channels, top.layer(above).channels, top.layer(above).kind)
    cls, options = family_of(family)
    stitcher = cls.random(site, torch.Generator().manual_seed(3), **options)
    if family == "norm-affine-norm":
        for norm in (stitcher.norm_in, stitcher.norm_out):
            for value in (norm.running_mean, norm.weight, norm.bias, norm.running_var):
                value.data.uniform_(0.5, 2, generator=torch.Generator().manual_seed(4))
    if not bias:
        nn.init.zeros_(stitcher.bias)
    return Stitched(bottom, top, below, above, stitcher.eval(), family=family)


def images(n=5):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(7))


def close(one, other):
    return (one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nets", "below", "above", "family", "bias", "into"),
    [
        (("small", "small"), "stem.0", "stem", "affine", True, "bottom: stem.0"),
        (("small", "small"), "stem.1", "block2", "affine", True, "bottom: stem.0"),  # past a frozen BatchNorm, resized
        (("small", "small"), "block3", "block3", "affine", True, "top: head"),  # past average pooling
        (("small", "small"), "block3", "block3", "norm-affine-norm", True, "top: head"),
        (("small", "small"), "block2", "block3", "low-rank:2", True, "top: head"),
        (("small", "small"), "block3", "block3", "conv:1", True, "top: head"),
        (("valid", "valid"), "1", "1", "affine", True, "top: 2"),
        (("padded", "padded"), "1", "1", "affine", False, "top: 2"),  # no bias: the padding stays 0
        (("padded", "valid"), "3", "4", "affine", True, "top: 6"),
        (("tokens", "tokens"), "mix", "norm", "affine", True, "bottom: mix"),
        (("small", "tokens"), "block3", "norm", "affine", True, "top: mix"),  # a map into tokens
        (("tokens", "small"), "embed", "block3", "affine", True, "bottom: embed"),
    ],
)
def test_a_folded_map_is_the_same_function(nets, below, above, family, bias, into):
    bottom, top = network(nets[0]), network(nets[1], 1)
    before = fingerprint(bottom.module), fingerprint(top.module)
    s = drawn(family, bottom, top, below, above, bias)
    folded = s.fold()
    assert folded.into == (into,)
    assert close(folded(images()), s(images()))
    assert not any("stitcher" in name for name, _ in folded.named_parameters())
    assert (fingerprint(bottom.module), fingerprint(top.module)) == before
    assert close(s(images()), drawn(family, bottom, top, below, above, bias)(images())), "the original is left alone"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nets", "below", "above", "family", "words"),
    [
        (("small", "small"), "stem", "stem", "affine", ("bottom ends with relu", "add")),
        (("padded", "padded"), "1", "1", "affine", ("conv2d of '2' pads with zeros and the map has a bias",)),
        (("grouped", "grouped"), "1", "1", "affine", ("conv2d of '2' has 2 groups",)),
        (("flat", "flat"), "1", "1", "affine", ("linear of '3' reads 216 values, the map gives 6 channels",)),
        (("small", "tokens"), "block3", "embed", "affine", ("stands between the map and the next layer",)),
        (("small", "small"), "block3", "block3", "mlp:4", ("family 'mlp:4'", "is not one affine map")),
        (("small", "small"), "block3", "block3", "conv:3", ("family 'conv:3'", "is not one affine map")),
    ],
)
def test_what_cannot_be_folded_is_refused_by_name(nets, below, above, family, words):
    s = drawn(family, network(nets[0]), network(nets[1], 1), below, above)
    with pytest.raises(FoldError) as error:
        s.fold()
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_several_readers_all_take_the_map_in():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
            self.left, self.right = nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 3, bias=False)
            self.head = nn.Linear(4, 10)

        def forward(self, x):
            x = self.first(x)
            return self.head((self.left(x) * self.right(x)).mean((2, 3)))

    net = Network(Two().eval(), torch.zeros(2, 1, 8, 8), "two")
    s = drawn("affine", network("valid"), net, "1", "first")
    folded = s.fold()
    assert set(folded.into) == {"top: left", "top: right"}
    assert close(folded(images()), s(images()))


def test_norm_affine_norm_always_collapses_to_one_affine_map():
    bottom, top = network("small"), network("small", 1)
    for layer in bottom.blocks:
        s = drawn("norm-affine-norm", bottom, top, layer, layer)
        flat = s.collapsed()
        assert isinstance(flat.stitcher, Affine)
        assert close(flat(images()), s(images()))
        assert s.stitcher.family == "norm-affine-norm"


def test_the_identity_has_nothing_to_fold():
    net = network("small")
    s = Stitched(net, net, "block1", "block1", family_of("identity")[0](Site(6, 6, "map")), family="identity")
    assert s.fold().into == ()
    assert torch.equal(s.fold()(images()), net(images()))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["recalibrated", "batch"])
def test_moved_statistics_are_those_it_was_measured_with_and_travel_with_it(pair, digits, tmp_path, policy):
    s = stitch(*pair, "block2", digits, normalisation=policy, steps=4, eval_every=4, device="cpu")
    wrong = n = 0
    for batch in digits.batches("test", 64):
        wrong += int((s(batch.inputs).argmax(1) != batch.labels).sum())
        n += len(batch)
    assert s.metrics["error"] == pytest.approx(100 * wrong / n, abs=1e-9)
    s.save(tmp_path / "s")
    x = next(iter(digits.batches("test", 5))).inputs
    assert torch.equal(Stitched.load(tmp_path / "s", *pair)(x), s(x))
    frozen = stitch(*pair, "block2", digits, steps=4, eval_every=4, device="cpu")
    frozen.save(tmp_path / "s")
    assert torch.equal(Stitched.load(tmp_path / "s", *pair)(x), frozen(x)), (
        "no statistics of the earlier stitch are left"
    )


def made(seed=0):
    """A small stitch of a network with itself, its map drawn, and moved statistics."""
    net = network("small")
    torch.manual_seed(seed)
    stitcher = Affine(Site(6, 6, "map"), torch.randn(6, 6), torch.randn(6))
    statistics = {"bottom.stem.1.mean": torch.randn(6)}
    return net, Stitched(net, net, "block1", "block1", stitcher, family="affine", statistics=statistics)


DAMAGE = {
    "map": ("stitcher.safetensors", lambda b: b[:-2] + bytes([b[-2] ^ 0x40]) + b[-1:], "its content has the digest"),
    "statistics": ("statistics.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1]), "its content has the digest"),
    "half a map": ("stitcher.safetensors", lambda b: b[: len(b) // 2], "no whole safetensors file"),
    "a layer": ("stitch.json", lambda b: b.replace(b"block1", b"block2", 1), "its content has the digest"),
    "nested": ("stitch.json", lambda b: b"[" * 100_000, "nested more than 64 deep"),
    "nothing": ("stitch.json", lambda b: b"", "Expecting value"),
}


@pytest.mark.parametrize(("file", "change", "why"), DAMAGE.values(), ids=DAMAGE)
def test_a_saved_stitch_that_changed_is_refused(tmp_path, file, change, why):
    net, s = made()
    s.save(tmp_path / "s")
    path = tmp_path / "s" / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError, match=f"s holds no stitch: .* found .*{why}"):
        Stitched.load(tmp_path / "s", net, net)


def test_the_map_of_another_stitch_is_refused(tmp_path):
    net, s = made()
    s.save(tmp_path / "s")
    made(1)[1].save(tmp_path / "other")
    (tmp_path / "other" / "stitcher.safetensors").rename(tmp_path / "s" / "stitcher.safetensors")
    with pytest.raises(SourceError, match=r"stitcher.safetensors is of another stitch"):
        Stitched.load(tmp_path / "s", net, net)


def test_a_save_that_fails_anywhere_leaves_the_old_stitch_or_the_new(tmp_path, monkeypatch):
    from modelstitch.support import files

    (net, old), (_, new) = made(), made(1)
    old.save(tmp_path / "s")
    x, replace, failed = images(), files.os.replace, 0
    for n in range(10):
        left = [n]

        def full(*args, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            replace(*args)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "replace", full)
            try:
                new.save(tmp_path / "s")
                break
            except StudyError:
                failed += 1
        assert torch.equal(Stitched.load(tmp_path / "s", net, net)(x), old(x))
    assert failed == 5  # a map, statistics, two parts, and what names them
    assert torch.equal(Stitched.load(tmp_path / "s", net, net)(x), new(x))
    assert len(list((tmp_path / "s").iterdir())) == 5


def test_moved_statistics_fold_like_the_donors(pair, digits):
    s = stitch(*pair, "stem.1 -> stem", digits, normalisation="recalibrated", objective="match", device="cpu")
    assert s.fold().into == ("bottom: stem.0",)
    assert close(s.fold()(images()), s(images()))


def test_it_is_an_ordinary_module():
    s = drawn("affine", network("small"), network("small", 1), "block2", "block2")
    twin = copy.deepcopy(s)
    assert torch.equal(twin(images()), s(images()))
    assert s.double()(images().double()).dtype == torch.float64
    twin.stitcher.weight.data.zero_()
    assert not torch.equal(twin(images()).double(), s(images().double()))
    trained = drawn("affine", network("small"), network("small", 1), "block2", "block2")
    trained(images()).sum().backward()
    assert [name for name, p in trained.named_parameters() if p.grad is not None] == [
        "stitcher.weight",
        "stitcher.bias",
    ]


def exported(module):
    batch = torch.export.Dim("batch", min=1, max=64)
    return torch.export.export(module, (images(4),), dynamic_shapes={"x": {0: batch}}, strict=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stitched", "folded"])
def test_torch_export_writes_a_file_that_runs(tmp_path, kind):
    s = drawn("norm-affine-norm", network("small"), network("small", 1), "block3", "block3")
    module = s if kind == "stitched" else s.fold()
    torch.export.save(exported(module), tmp_path / "s.pt2")
    again = torch.export.load(tmp_path / "s.pt2").module()
    for n in (1, 7):
        assert torch.allclose(again(images(n)), module(images(n)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stitched", "folded"])
def test_onnx_export_writes_a_file_that_runs_elsewhere(tmp_path, kind):
    import onnxruntime  # of the development group: a missing package is a failure, not a skip

    s = drawn("norm-affine-norm", network("small"), network("small", 1), "block3", "block3")
    module = s if kind == "stitched" else s.fold()
    torch.onnx.export(exported(module), (), str(tmp_path / "s.onnx"), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "s.onnx"), providers=["CPUExecutionProvider"])
    for n in (1, 7):
        (found,) = session.run(None, {session.get_inputs()[0].name: images(n).numpy()})
        assert torch.allclose(torch.from_numpy(found), module(images(n)), atol=1e-5)


def test_a_map_fitted_elsewhere_comes_to_its_donors(monkeypatch, pair):
    monkeypatch.setattr(Stitched, "place", torch.device("meta"))  # stands in for another device than that of the fit
    bottom, top = pair
    site = Site(bottom.layer("block2").channels, top.layer("block2").channels, "map")
    s = Stitched(bottom, top, "block2", "block2", Affine(site), family="affine")
    assert s.stitcher.weight.device.type == "meta"
    assert next(s.top.parameters()).device.type == "cpu"


def test_a_notebook_shows_what_was_measured(pair, digits):
    s = stitch(*pair, "block2", digits, objective="match", device="cpu")
    html = s._repr_html_()
    for metric in s.record.metrics:
        assert f">{metric.name}<" in html
        assert f"{metric.value:.4g}" in html
    assert "zero@block2 -&gt; one@block2" in html
    s.stitcher.weight.data.zero_()
    assert "changed since it was measured" in s._repr_html_()
    assert "<table" not in s._repr_html_()
    assert "<table" not in drawn("affine", network("small"), network("small"), "block1", "block1")._repr_html_()
