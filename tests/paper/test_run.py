"""A figure runs, continues, is judged from its records alone; mistakes are named."""

import dataclasses
import shutil
import subprocess
import sys

import pytest
from tiny import TINY, tiny_job

import modelstitch as ms
from modelstitch.errors import SourceError, StudyError
from modelstitch.paper import gallery
from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.figure import Model
from modelstitch.paper.index import write_index
from modelstitch.paper.run import run_figure
from modelstitch.study import Store
from modelstitch.study import run as study_run
from modelstitch.zoo import donors


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Figure 5 at the smallest scale: folder, records, page."""
    out = tmp_path_factory.mktemp("paper")
    records = run_figure(figure("5"), tiny_job(out))
    return out, records, gallery.keep(records, figure("5"), out / "pages")


@pytest.mark.slow
def test_a_figure_has_its_controls_and_both_protocols(done):
    _, records, _ = done
    controls = {(r["paper"]["protocol"], r["config"]["control"]) for r in records}
    assert {("honest", c) for c in ("pair", "self", "class-noise")} <= controls
    assert ("paper", "pair") in controls
    assert ("", "donor") in controls
    assert ("", "similarity") in controls
    random = {r["config"]["bottom"]["name"] for r in records if r["paper"]["line"] == "random bottom"}
    assert "base, re-initialised, seed 1" in random


@pytest.mark.slow
def test_a_second_run_trains_and_fits_nothing(done, monkeypatch):
    out, records, _ = done
    monkeypatch.setattr(donors, "train", None)
    monkeypatch.setattr(study_run.local, "run", lambda groups, *_: [] if not groups else pytest.fail("cells run again"))
    again = run_figure(figure("5"), tiny_job(out))
    assert [r["cell"] for r in again] == [r["cell"] for r in records]


@pytest.mark.slow
def test_the_folder_knows_which_cells_belong_to_it(done, tmp_path):
    out, records, _ = done
    held = Store(out).look()
    assert (held.planned, held.stale, held.missing) == (True, [], [])
    there = {record.cell for record in held.records}
    assert {r["cell"] for r in records if r["config"]["control"] in ("pair", "self", "donor")} <= there
    folder = tmp_path / "copy"
    shutil.copytree(out, folder)
    longer = dataclasses.replace(TINY, training={**TINY.training, "steps": 13})  # all networks are trained anew
    again = run_figure(figure("5"), tiny_job(folder, longer))
    held = ms.open(folder)
    assert {r.cell for r in held.records} >= {r["cell"] for r in again if r["config"]["control"] == "pair"}
    gone = there - {r["cell"] for r in again}
    assert gone
    assert gone & {r.cell for r in held.records if r.control in ("pair", "self", "donor")} == set()
    assert any("the plan does not name them" in caution for caution in held.cautions)


@pytest.mark.slow
def test_a_killed_run_is_continued(done, tmp_path):
    out, records, _ = done
    shutil.copytree(out, tmp_path / "copy")
    lost = next(r["cell"] for r in records if r["config"]["control"] == "pair")
    (tmp_path / "copy" / "cells" / f"{lost}.json").unlink()
    again = run_figure(figure("5"), tiny_job(tmp_path / "copy"))
    assert [r["cell"] for r in again] == [r["cell"] for r in records]


@pytest.mark.slow
def test_a_page_can_be_had_of_the_pairs_that_are_finished(done, tmp_path, monkeypatch):
    out, records, _ = done
    shutil.copytree(out, tmp_path / "copy")
    monkeypatch.setattr(donors, "train", None)
    two = tiny_job(tmp_path / "copy", dataclasses.replace(TINY, repeats=2))
    found = run_figure(figure("5"), two, so_far=True)
    assert {r["cell"] for r in found} == {r["cell"] for r in records}
    page = gallery.keep(found, figure("5"), tmp_path / "pages").read_text()
    so_far = "Of 2 pairs, 1 is measured so far: other seed, random bottom, random bottom, statistics fresh, honest"
    assert f"{so_far} protocol. The same command does the rest." in page
    lost = next(r["cell"] for r in records if r["paper"]["line"] == "other seed" and r["config"]["control"] == "pair")
    (tmp_path / "copy" / "cells" / f"{lost}.json").unlink()  # its pair is not whole
    found = run_figure(figure("5"), two, so_far=True)
    assert not [r for r in found if r["paper"]["line"] == "other seed" and r["paper"]["protocol"] == "honest"]


def test_nothing_finished_is_said(tmp_path):
    with pytest.raises(StudyError, match=r"Nothing of figure 5 is finished in .*: expected a curve or a probe"):
        run_figure(figure("5"), tiny_job(tmp_path / "out"), so_far=True)


@pytest.mark.slow
def test_the_page_is_made_from_the_records_alone(done, tmp_path):
    out, _, page = done
    shutil.copy(out / "pages" / "5.parquet", tmp_path)
    again = gallery.write_page(figure("5"), tmp_path)
    assert again.read_bytes() == page.read_bytes()
    assert (tmp_path / "5.svg").read_bytes() == (out / "pages" / "5.svg").read_bytes()
    text = page.read_text()
    assert "modelstitch paper 5 --scale tiny" in text
    assert "honest protocol: **" in text
    index = write_index(tmp_path).read_text()
    assert f"Not run at this scale: {', '.join(n for n in FIGURES if n != '5')}." in index


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_page_names_data_that_are_not_the_scales_own(done, tmp_path):
    _, records, _ = done
    assert {r["paper"]["other"] for r in records} == {""}
    tags = {"other": "organs (1 x 28 x 28, 11 classes), not digits", "given": "parquet:DIR", "scale": "smoke"}
    foreign = [{**r, "paper": {**r["paper"], **tags}} for r in records]
    text = gallery.keep(foreign, figure("5"), tmp_path).read_text()
    assert "modelstitch paper 5 --scale smoke --data parquet:DIR" in text
    assert "on other data than its own: organs" in text
    assert "on other data than its own: organs" in write_index(tmp_path).read_text()


@pytest.mark.slow
def test_another_scale_may_not_use_the_folder(done):
    out, _, _ = done
    with pytest.raises(StudyError, match="made by another study: expected scale"):
        tiny_job(out, dataclasses.replace(TINY, name="other"))


def test_a_gallery_without_records_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"no records of figure 5 .* expected 5.parquet"):
        gallery.write_page(figure("5"), tmp_path)
    with pytest.raises(StudyError, match="There are no records"):
        write_index(tmp_path)


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
