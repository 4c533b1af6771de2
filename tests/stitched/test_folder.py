"""The files of a stitch: what changed is refused, and a save that fails leaves the old one or the new."""

import pytest
import torch

from modelstitch import Stitched
from modelstitch.errors import SourceError, StudyError
from modelstitch.stitchers import Affine, Site
from stitched.nets import images, network


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
