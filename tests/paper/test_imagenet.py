"""The ImageNet figure on stand-ins: checkpoints of one's own, an image folder, the same code."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from tiny import TINY

from modelstitch import load
from modelstitch.data.load import load_data
from modelstitch.errors import SourceError, StudyError
from modelstitch.paper import gallery
from modelstitch.paper.catalogue import figure
from modelstitch.paper.curves import Curves
from modelstitch.paper.job import open_job
from modelstitch.paper.run import run_figure
from modelstitch.paper.scales import SMOKE

NET = "timm:test_resnet?size=32"
SCALE = dataclasses.replace(TINY, name="stand-in", nets={"imagenet": NET}, repeats=2)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for part, n in (("train", 12), ("val", 4), ("test", 6)):
        for label, name in enumerate(("cat", "dog")):
            (folder / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = generator.integers(0, 128, (40, 36, 3), dtype=np.uint8) + np.uint8(100 * label)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return load_data(f"folder:{folder}?size=32")


@pytest.mark.slow
def test_checkpoints_of_ones_own_are_stitched(images, tmp_path):
    weights = tmp_path / "weights"
    weights.mkdir()
    for seed, name in enumerate(("supervised", "DINO", "SwAV", "SimCLR")):
        save_file(
            load(NET, classes=2, weights="random", seed=seed).module.state_dict(), weights / f"{name}.safetensors"
        )
    shown = figure("2b-imagenet")
    records = run_figure(shown, open_job(SCALE, images, tmp_path / "out", device="cpu", checkpoints=weights))
    curves = Curves(records, "honest")
    assert curves.lines == [line.label for line in shown.lines]
    assert all(p.seeds == 1 for line in curves.lines for p in curves.points(line))  # one pair, whatever the repeats
    assert curves.points("DINO bottom", control="random")
    assert curves.points("DINO bottom", control="self")
    page = gallery.keep(records, shown, tmp_path / "out" / "pages").read_text()
    assert "| supervised |" in page
    (weights / "DINO.safetensors").write_bytes(b"cut short")
    with pytest.raises(SourceError, match=r"'DINO.safetensors' cannot be read"):
        run_figure(shown, open_job(SCALE, images, tmp_path / "other", device="cpu", checkpoints=weights))


def test_a_scale_without_such_a_network_says_so(images, tmp_path):
    with pytest.raises(StudyError, match=r"no network for the role 'imagenet'.*--scale full"):
        run_figure(figure("2b-imagenet"), open_job(SMOKE, images, tmp_path / "out", device="cpu", checkpoints=tmp_path))
