"""Networks from a folder: each exactly as the folder says, or refused."""

import dataclasses
import shutil

import pytest
from click.testing import CliRunner
from safetensors.torch import save_file

from modelstitch.cli.paper import paper
from modelstitch.data.load import load_data
from modelstitch.errors import DataError, SourceError
from modelstitch.paper.catalogue import figure
from modelstitch.paper.gallery import keep, write_page
from modelstitch.paper.given import networks
from modelstitch.paper.job import open_own
from modelstitch.paper.run import run_figure
from modelstitch.paper.scales import OWN
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import Recipe

NET = "small-resnet?blocks=2&width=4"
RECIPE = Recipe(steps=3, lr=0.1, batch_size=50)


@pytest.fixture(scope="module")
def data():
    return load_data("digits", limit=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(2):
        donor(DonorSpec(NET, RECIPE, seed=seed), data, folder)
    return folder


@pytest.fixture
def named(tmp_path):
    """Three files of weights, and a table that says what they are."""
    lines = ["[donors]"]
    for seed, name in enumerate("abc"):
        save_file(build(NET, seed=seed).state_dict(), tmp_path / f"{name}.safetensors")
        lines.append(f"{name} = {{model = 'zoo:{NET}', weights = '{name}.safetensors', mean = [0.5], std = [0.5]}}")
    (tmp_path / "donors.toml").write_text("\n".join(lines))
    return tmp_path


def again(folder, old, new):
    table = folder / "donors.toml"
    table.write_text(table.read_text().replace(old, new))


def test_a_table_gives_its_networks_with_their_views(named, data):
    found, groups, errors = networks(named, data)
    assert groups.alike == {NET: ["a", "b", "c"]}
    assert found["a"].view.describe()["mean"] == [0.5]
    assert "a.safetensors, sha256" in found["a"].weights
    assert errors == {}


def test_trained_networks_need_no_table(trained, data):
    found, groups, _ = networks(trained, data)
    assert list(groups.alike) == [NET]
    assert len(found) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda at: again(at, "'a.safetensors'", "'b.safetensors'"), "a and b are one network"),
        (
            lambda at: again(
                at, "a = {model = 'zoo:small-resnet?blocks=2&width=4'", "a = {model = 'zoo:small-resnet?width=8'"
            ),
            "do not fit a",
        ),
        (lambda at: again(at, "weights = 'a.safetensors', ", ""), "a has random weights: expected trained ones"),
        (lambda at: again(at, "width=4'", "width=4&classes=7'"), "do not fit a"),
        (lambda at: (at / "a.safetensors").write_bytes(b"\0" * 64), "donors.a: The weights 'a.safetensors'"),
        (lambda at: again(at, "std = [0.5]", "std = [0.0]"), "donors.a: Normalise"),
    ],
    ids=["one file twice", "another architecture", "no weights", "other classes", "damaged", "no spread"],
)
def test_what_is_not_as_the_table_says_is_refused(named, data, change, words):
    change(named)
    with pytest.raises(SourceError) as caught:
        networks(named, data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_training_that_was_not_finished_is_refused(trained, data, tmp_path):
    shutil.copytree(trained, tmp_path / "half")
    (tmp_path / "half" / ".unfinished-small-resnet-7-abc").write_bytes(b"")
    with pytest.raises(SourceError, match="is a training that was not finished: expected trained networks"):
        networks(tmp_path / "half", data)


def test_networks_of_two_recipes_are_refused(trained, data, tmp_path):
    shutil.copytree(trained, tmp_path / "mixed")
    donor(DonorSpec(NET, dataclasses.replace(RECIPE, steps=4), seed=5), data, tmp_path / "mixed")
    with pytest.raises(SourceError, match=r"made by another recipe than .*: expected recipe.steps 3|4, found"):
        networks(tmp_path / "mixed", data)


def test_networks_for_other_data_are_refused(trained):
    with pytest.raises(SourceError, match="was trained on other data than these"):
        networks(trained, load_data("digits", limit=400))


def test_a_folder_that_says_nothing_is_refused(tmp_path, data):
    with pytest.raises(SourceError, match=r"says of no network what it is: expected donors\.toml"):
        networks(tmp_path, data)


def test_a_class_that_is_missing_is_named(named, data, tmp_path):
    small = data.subset(5)
    with pytest.raises(DataError, match=r"The fit split of .* holds no sample of class"):
        open_own(named, small, tmp_path / "out", device="cpu")


BRIEF = {name: {"steps": 1, "eval_every": 1, "samples": 60} for name in OWN.fit}


@pytest.fixture
def brief(monkeypatch):
    scale = dataclasses.replace(OWN, fit=BRIEF, most_cuts=2, samples=30, measured_on={"val": 40, "test": 60})
    monkeypatch.setattr("modelstitch.paper.job.OWN", scale)


@pytest.mark.slow
def test_the_figure_runs_once_and_is_drawn_from_its_records_alone(named, data, tmp_path, brief):
    job = open_own(named, data, tmp_path / "out", device="cpu", protocols=("honest",), command="--donors FOLDER")
    records = run_figure(job.figure("2a"), job)
    pairs = [r for r in records if r.control == "pair" and r.tags["line"].startswith("another seed")]
    places = {r.top.layer for r in pairs}
    assert len(pairs) == 6 * len(places)
    assert {r.tags["repeat"] for r in pairs} == set(range(6))
    drawn = [r for r in records if r.control == "pair" and r.tags["line"].startswith("random")]
    assert len({r.bottom.fingerprint for r in drawn}) == 2 * 3  # each by itself, and both ways
    page = keep(records, job.figure("2a"), tmp_path / "pages").read_text()
    assert "modelstitch paper 2a --donors FOLDER --protocol honest" in page
    (tmp_path / "pages" / "2a.md").unlink()
    assert write_page(figure("2a"), tmp_path / "pages").read_text() == page
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()}
    assert len(run_figure(job.figure("2a"), job)) == len(records)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()} == before


@pytest.mark.slow
def test_a_page_can_be_had_of_what_is_finished_so_far(named, data, tmp_path, brief):
    job = open_own(named, data, tmp_path / "out", device="cpu", protocols=("honest",))
    shown = job.figure("2a")
    part = dataclasses.replace(shown.lines[0], pairs=shown.lines[0].pairs[:4])
    run_figure(dataclasses.replace(shown, lines=(part,)), job)
    records = run_figure(shown, job, so_far=True)
    page = keep(records, shown, tmp_path / "pages").read_text()
    assert f"Of 6 pairs, 4 are measured so far: another seed of {NET}, honest protocol." in page
    assert {r.tags["line"] for r in records if r.control == "pair"} == {part.label}


def test_an_error_that_is_not_the_declared_one_is_refused(named, data, tmp_path, brief):
    again(named, "weights = 'a.safetensors'", "weights = 'a.safetensors', error = 3.5")
    job = open_own(named, data, tmp_path / "out", device="cpu", protocols=())
    with pytest.raises(SourceError, match=r"a errs on .* % of the test split: expected 3\.5 %"):
        run_figure(dataclasses.replace(job.figure("connectivity"), lines=()), job)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--donors needs --data"),
        (["--data", "digits", "--scale", "small"], "--scale does not go with --donors"),
    ],
)
def test_the_command_refuses_what_does_not_go_together(named, options, words):
    found = CliRunner().invoke(paper, ["2a", "--donors", str(named), *options])
    assert found.exit_code == 2
    assert words in found.output


def test_a_dry_run_counts_each_stitch_once_and_makes_nothing(named, tmp_path, brief):
    out = tmp_path / "out"
    found = CliRunner().invoke(
        paper, ["2a", "5", "--donors", str(named), "--data", "digits", "--out", str(out), "--dry-run"]
    )
    assert found.exit_code == 0, found.output
    assert "0 of them kept already; nothing is trained" in found.output
    assert not out.exists()
