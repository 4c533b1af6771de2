"""The stitched model as a module: statistics that travel, exported files that run."""

import copy

import pytest
import torch

from modelstitch import Stitched, stitch
from modelstitch.stitchers import Affine, Site
from stitched.nets import drawn, images, network


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


def test_a_stitch_that_was_kept_whole_answers_a_single_sample_to_the_bit(pair, digits, tmp_path):
    """A product of one row sums in another order where its weights begin elsewhere, or lie by columns."""
    for objective in ("match", "task"):
        made = stitch(*pair, at="block2", data=digits, objective=objective, steps=2, device="cpu")
        made.save(tmp_path / objective, whole=True)
        kept = Stitched.load(tmp_path / objective)
        weights, found = made.state_dict(), kept.state_dict()
        assert all(value.data_ptr() % 64 == 0 for value in found.values())
        assert made.stitcher.weight.stride() == kept.stitcher.weight.stride()
        assert weights.keys() == found.keys()
        for batch in digits.batches("test", 1, limit=40):
            assert torch.equal(made.predict(batch.inputs), kept.predict(batch.inputs))
