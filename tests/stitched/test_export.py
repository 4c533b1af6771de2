"""A stitched model as a file that runs elsewhere, and what its card says."""

import json

import pytest
import torch

from modelstitch import Stitched, compare, stitch
from modelstitch.errors import MeasureError, SourceError, StitchError
from modelstitch.stitched.export import card_path
from modelstitch.stitchers import Affine, Site
from modelstitch.support import hashing


@pytest.fixture(scope="module")
def stitched(pair, digits):
    return stitch(*pair, "block2", digits, objective="match", device="cpu")


def images(digits, n):
    return next(digits.batches("test", n)).inputs


@pytest.mark.slow
def test_a_programme_runs_without_its_makers_and_has_a_card(stitched, pair, digits, tmp_path):
    beside = compare(*pair, digits, layers=["block2"], objective="match", controls=("self", "random"), device="cpu")
    path = stitched.export(tmp_path / "a" / "s.pt2", controls=beside.records)
    again = torch.export.load(path).module()
    for n in (1, 7):
        assert torch.allclose(again(images(digits, n)), stitched(images(digits, n)), atol=1e-6)
    card = json.loads(card_path(path).read_text())
    assert card["seam"] == stitched.seam
    assert card["sha256"] == hashing.of_file(path)
    assert card["cost"]["parameters"] == sum(p.numel() for p in stitched.parameters())
    assert card["cost"]["exported_milliseconds"] > 0
    assert card["cost"]["engine"].startswith(f"torch {torch.__version__}, threads: ")
    assert card["penalty"] == {"value": stitched.penalty, "interval": list(stitched.interval), "unit": "points"}
    wanted = {r.control: r.metric("penalty").value for r in beside.records if r.top.name == pair[1].name}
    assert {name: one["value"] for name, one in card["controls"].items()} == {
        name: value for name, value in wanted.items() if name != "pair"
    }
    assert {name: one["fingerprint"] for name, one in card["networks"].items()} == {
        network.name: network.fingerprint() for network in pair
    }


@pytest.mark.slow
def test_an_onnx_file_runs_in_another_engine(stitched, digits, tmp_path):
    import onnxruntime

    path = stitched.export(tmp_path / "s.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for n in (1, 7):
        (found,) = session.run(None, {session.get_inputs()[0].name: images(digits, n).numpy()})
        assert torch.allclose(torch.from_numpy(found), stitched(images(digits, n)), atol=1e-5)
    assert json.loads(card_path(path).read_text())["controls"] == {}


def test_what_is_not_written(stitched, pair, digits, tmp_path):
    with pytest.raises(StitchError, match=r"has no known ending: expected \.onnx or \.pt2"):
        stitched.export(tmp_path / "s.bin")
    site = Site(pair[0].layer("block2").channels, pair[1].layer("block2").channels, "map")
    fresh = Stitched(*pair, "block2", "block2", Affine(site), family="affine")
    with pytest.raises(SourceError, match="has no record"):
        fresh.export(tmp_path / "s.pt2")
    changed = stitch(*pair, "block2", digits, objective="match", device="cpu")
    changed.stitcher.weight.data.zero_()
    with pytest.raises(MeasureError, match="was changed since it was measured"):
        changed.export(tmp_path / "s.pt2")
    assert list(tmp_path.iterdir()) == []
