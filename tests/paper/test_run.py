"""A figure runs, continues, is judged from its records alone; mistakes are named."""

import dataclasses
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from tiny import TINY, tiny_job

from modelstitch.data.load import load_data
from modelstitch.errors import DataError, SourceError, StudyError
from modelstitch.paper import gallery
from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.data import load, other, without_paths
from modelstitch.paper.donors import Workshop
from modelstitch.paper.figure import Model
from modelstitch.paper.run import run_figure
from modelstitch.paper.scales import SMALL, SMOKE
from modelstitch.study import run as study_run
from modelstitch.support.files import SetAside
from modelstitch.zoo import donors


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Figure 5 at the smallest scale: folder, records, page."""
    out = tmp_path_factory.mktemp("paper")
    records = run_figure(figure("5"), tiny_job(out))
    return out, records, gallery.keep(records, figure("5"), out / "pages")


def test_a_figure_has_its_controls_and_both_protocols(done):
    _, records, _ = done
    controls = {(r["paper"]["protocol"], r["config"]["control"]) for r in records}
    assert {("honest", c) for c in ("pair", "self", "class-noise")} <= controls
    assert ("paper", "pair") in controls
    assert ("", "donor") in controls
    assert ("", "similarity") in controls
    random = {r["config"]["bottom"]["name"] for r in records if r["paper"]["line"] == "random bottom"}
    assert "base, re-initialised, seed 1" in random


def test_a_second_run_trains_and_fits_nothing(done, monkeypatch):
    out, records, _ = done
    monkeypatch.setattr(donors, "train", None)
    monkeypatch.setattr(study_run.local, "run", lambda groups, *_: [] if not groups else pytest.fail("cells run again"))
    again = run_figure(figure("5"), tiny_job(out))
    assert [r["cell"] for r in again] == [r["cell"] for r in records]


def test_a_killed_run_is_continued(done, tmp_path):
    out, records, _ = done
    shutil.copytree(out, tmp_path / "copy")
    lost = next(r["cell"] for r in records if r["config"]["control"] == "pair")
    (tmp_path / "copy" / "cells" / f"{lost}.json").unlink()
    again = run_figure(figure("5"), tiny_job(tmp_path / "copy"))
    assert [r["cell"] for r in again] == [r["cell"] for r in records]


def test_the_page_is_made_from_the_records_alone(done, tmp_path):
    out, _, page = done
    shutil.copy(out / "pages" / "5.parquet", tmp_path)
    again = gallery.write_page(figure("5"), tmp_path)
    assert again.read_bytes() == page.read_bytes()
    assert (tmp_path / "5.svg").read_bytes() == (out / "pages" / "5.svg").read_bytes()
    text = page.read_text()
    assert "modelstitch paper 5 --scale tiny" in text
    assert "honest protocol: **" in text
    index = gallery.write_index(tmp_path).read_text()
    assert f"Not run at this scale: {', '.join(n for n in FIGURES if n != '5')}." in index


def test_the_command_draws_again_without_torch(done, tmp_path):
    out, _, page = done
    shutil.copy(out / "pages" / "5.parquet", tmp_path)
    code = (
        "import sys\nfrom modelstitch.cli import cli\n"
        f"cli.main(['paper', 'all', '--redraw', {str(tmp_path)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (tmp_path / "5.md").read_bytes() == page.read_bytes()
    assert (tmp_path / "README.md").read_text().count("| [5](5.md)") == len(figure("5").claims)


def test_the_page_names_data_that_are_not_the_scales_own(done, tmp_path):
    _, records, _ = done
    assert {r["paper"]["other"] for r in records} == {""}
    tags = {"other": "organs (1 x 28 x 28, 11 classes), not digits", "given": "parquet:DIR", "scale": "smoke"}
    foreign = [{**r, "paper": {**r["paper"], **tags}} for r in records]
    text = gallery.keep(foreign, figure("5"), tmp_path).read_text()
    assert "modelstitch paper 5 --scale smoke --data parquet:DIR" in text
    assert "on other data than its own: organs" in text
    assert "on other data than its own: organs" in gallery.write_index(tmp_path).read_text()


def test_another_scale_may_not_use_the_folder(done):
    out, _, _ = done
    with pytest.raises(StudyError, match="made by another study: expected scale"):
        tiny_job(out, dataclasses.replace(TINY, name="other"))


def test_a_gallery_without_records_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"no records of figure 5 .* expected 5.parquet"):
        gallery.write_page(figure("5"), tmp_path)
    with pytest.raises(StudyError, match="There are no records"):
        gallery.write_index(tmp_path)


def test_a_share_without_a_class_is_refused(tmp_path):
    job = tiny_job(tmp_path)
    with pytest.raises(DataError, match=r"holds no sample of class \d: expected all 10 classes"):
        job.workshop.own(Model(samples=0.04))
    with pytest.raises(DataError, match="is none"):
        job.workshop.own(Model(samples=0.001))


def test_the_scale_says_how_many_samples_are_little(tmp_path):
    scale = dataclasses.replace(TINY, amounts={"much": 0.9, "some": 0.8, "little": 0.7})
    job = tiny_job(tmp_path, scale)
    whole = job.data.size("fit")
    for samples, share in (("much", 0.9), ("some", 0.8), ("little", 0.7), (0.5, 0.5), (1.0, 1.0)):
        assert job.workshop.own(Model(samples=samples)).size("fit") == round(share * whole)
        assert job.seen_by(Model(samples=samples)).size("fit") == round(share * whole)
    assert "little data are 90, 80 and 70 % (the paper: 50, 20 and 10 %)" in scale.words
    assert TINY.words.endswith("little data are 50, 20 and 10 %")


@pytest.mark.parametrize("n", [1000, 999, 997, 250])
def test_halves_of_any_number_of_samples_do_not_meet(tmp_path, n):
    shop = Workshop(TINY, load_data("digits").subset(n), tmp_path)
    halves = [shop.own(Model(samples=0.5, part=part)) for part in (0, 1)]
    ids = [set(half.dataset("fit").ids.tolist()) for half in halves]
    assert [len(part) for part in ids] == [n // 2] * 2
    assert not ids[0] & ids[1]


def test_a_donor_whose_card_was_changed_is_set_aside_and_trained_anew(tmp_path):
    folder = tiny_job(tmp_path).workshop.donor(Model()).folder
    card = folder / "card.json"
    whole = card.read_text()
    card.write_text(whole.replace('"lr": 0.2', '"lr": 0.3'))
    with pytest.warns(SetAside, match="is damaged"):
        again = tiny_job(tmp_path).workshop.donor(Model()).folder
    assert again == folder
    assert '"lr": 0.2' in card.read_text()
    assert '"lr": 0.3' in (folder.with_name(f"{folder.name}.aside-1") / "card.json").read_text()


def test_a_run_that_fails_before_any_work_leaves_its_folder_to_others(tmp_path):
    own = dataclasses.replace(TINY, nets={**TINY.nets, "imagenet": "torchvision:resnet18"})
    with pytest.raises(SourceError, match="expected --checkpoints"):
        run_figure(figure("2b-imagenet"), tiny_job(tmp_path, own))
    assert not (tmp_path / "study.json").exists()
    job = tiny_job(tmp_path)
    job.workshop.donor(Model())
    with pytest.raises(StudyError), job.store.begun():
        raise StudyError("after the first network")
    with pytest.raises(StudyError, match='expected scale = "tiny", found scale = "other"'):
        tiny_job(tmp_path, dataclasses.replace(TINY, name="other"))


@pytest.fixture
def cifar_like():
    """What only the sizes of a data set tell."""

    class Like:
        def __init__(self, name, shape, classes, fit, test):
            self.name, self.n_classes, self.sizes = name, classes, {"fit": fit, "val": 5000, "test": test}
            self.shape = shape

        def size(self, split):
            return self.sizes[split]

        def batches(self, split, n):
            yield SimpleNamespace(inputs=torch.zeros(n, *self.shape))

    return Like


@pytest.mark.parametrize(
    ("like", "scale", "words"),
    [
        (("mine", (3, 32, 32), 10, 45_000, 10_000), SMALL, ""),
        (("svhn", (3, 32, 32), 10, 68_257, 26_032), SMALL, "svhn (3 x 32 x 32, 10 classes), not CIFAR-10"),
        (("digits", (1, 8, 8), 10, 1077, 360), SMALL, "digits (1 x 8 x 8, 10 classes), not CIFAR-10"),
        (("digits", (1, 8, 8), 10, 1077, 360), SMOKE, ""),
        (("organs", (1, 28, 28), 11, 900, 100), SMOKE, "organs (1 x 28 x 28, 11 classes), not scikit-learn's digits"),
    ],
)
def test_other_data_than_the_scales_own_are_named(cifar_like, like, scale, words):
    assert other(cifar_like(*like), scale) == words


@pytest.mark.parametrize(
    ("spec", "printed"),
    [("digits", "digits"), ("parquet:/home/me/x", "parquet:DIR"), ("folder:x?size=32", "folder:DIR?size=32"), ("", "")],
)
def test_pages_print_no_paths(spec, printed):
    assert without_paths(spec) == printed


@pytest.mark.parametrize(
    ("spec", "scale", "text"),
    [
        ("cifar10", SMALL, r"needs data: expected CIFAR-10 .* --data parquet:DIR"),
        ("parquet:nowhere", SMALL, r"no folder 'nowhere'.*expected CIFAR-10 .* --data cifar10:DIR"),
        ("nothing", SMOKE, "The data 'nothing' is not known"),
    ],
)
def test_missing_data_say_what_to_fetch(spec, scale, text):
    with pytest.raises(DataError, match=text):
        load(spec, scale)


def test_checkpoints_of_ones_own_are_asked_for(tmp_path):
    model = Model("base", file="DINO")
    with pytest.raises(SourceError, match=r"expected --checkpoints DIR with DINO.safetensors"):
        tiny_job(tmp_path / "a").workshop.network(model)
    with pytest.raises(SourceError, match="There are no weights of DINO"):
        tiny_job(tmp_path / "b", checkpoints=tmp_path).workshop.network(model)
