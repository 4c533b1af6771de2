"""What `modelstitch matrix` leaves in its folder."""

import html
import shlex
import sys

import polars as pl
import pytest
from click.testing import CliRunner

from modelstitch.cli import cli
from modelstitch.errors import MeasureError


@pytest.mark.slow
def test_another_matrix_in_the_same_folder_is_no_mistake(tmp_path):
    for width, files in ((4, 1), (6, 2), (4, 2)):
        arguments = ["matrix", "zoo:small-resnet?width=4&blocks=2", f"zoo:small-resnet?width={width}&blocks=2"]
        options = ["--limit", "200", "--measure", "cka", "--out", str(tmp_path)]
        done = CliRunner().invoke(cli, arguments + options, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert len(list(tmp_path.glob("sums/sums-*"))) == files


@pytest.mark.slow
def test_measures_that_refuse_late_do_not_cost_the_stitches(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise MeasureError("A layer is not finite.")

    monkeypatch.setattr("modelstitch.layerwise.similarity", refuse)
    arguments = ["matrix", *["zoo:small-resnet?width=4&blocks=2"] * 2, "--limit", "100", "--measure", "cka"]
    arguments += ["--no-augment", "--activations", str(tmp_path / "kept")]
    done = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "kept").rglob("*.safetensors"))
    assert "No measures: A layer is not finite." in done.output
    said = [line for line in done.output.splitlines() if line.startswith("caution: ")]
    assert any(line.startswith("caution: the top small-resnet") for line in said)
    assert any("are random" in line for line in said)
    assert len(said) == len(set(said))  # also those that were said before anything was solved
    assert (tmp_path / "matrix.csv").exists()
    assert not (tmp_path / "similarity.csv").exists()
    assert "No measures: A layer is not finite." in (tmp_path / "report.html").read_text()


def test_measures_that_cannot_be_are_refused_before_the_stitches(tmp_path):
    arguments = [
        "matrix",
        *["zoo:small-resnet?width=4&blocks=2"] * 2,
        "--limit",
        "3",
        "--measure",
        "cka_linear_debiased",
    ]
    done = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path)])
    assert isinstance(done.exception, MeasureError)
    assert "cka_linear_debiased needs at least 4 examples, found 1" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_every_family_says_what_it_is_and_has_its_tables(tmp_path, monkeypatch):
    arguments = ["matrix", *["zoo:small-resnet?width=4&blocks=2"] * 2, "--limit", "100", "--measure", "cka"]
    layers = [f"--{side}-layer={name}" for side in ("bottom", "top") for name in ("block1", "pool")]
    families = ["--family", "affine", "--family", "low-rank:2"]
    arguments += [*layers, *families, "--no-augment", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["modelstitch", *arguments])
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert shlex.join(["modelstitch", *arguments]) in html.unescape((tmp_path / "report.html").read_text())
    assert "examples of the fit split, not augmented" in (tmp_path / "report.html").read_text()
    page = (tmp_path / "report.html").read_text()
    for words in ("ridge regression on moments", "reduced-rank regression", "low-rank:2: r2", "low-rank:2: penalty"):
        assert words in page, words
    assert set(pl.read_csv(tmp_path / "matrix.csv")["family"]) == {"affine", "low-rank:2"}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["similarity", "matrix"])
def test_a_measure_without_a_value_costs_its_heat_map_alone(command, tmp_path):
    """Ten examples in val: the measures with a fitted map are undefined for every pair of layers."""
    arguments = [command, *["zoo:small-resnet?width=16&blocks=2"] * 2, "--limit", "60", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    text = html.unescape((tmp_path / "report.html").read_text())
    assert "cca_mean_squared has no value for any pair of layers: its heat map is left out." in text
    assert "found 9 directions in 10 examples; use more than 17 examples" in text
    assert text.count("found 9 directions") <= 4  # not once for each pair of layers
    values = pl.read_csv(tmp_path / "similarity.csv")
    assert values.filter(measure="cka_linear_biased")["value"].null_count() == 0


THREE = [f"zoo:small-resnet?width={width}&blocks=2" for width in (4, 5, 6)]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """What three networks in two groups leave in their folder."""
    out = tmp_path_factory.mktemp("family")
    options = ["--limit", "120", "--measure", "cka", "--measure", "r2", "--shuffles", "0", "--random-weights"]
    asked = ["similarity", *THREE, *options, "--groups", "small, small, large", "--out", str(out)]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out, done.output


@pytest.mark.slow
def test_several_networks_are_one_family(family, tmp_path):
    out, said = family
    assert "3 networks, 3 pairs." in said
    assert "cka_linear_biased, a similarity: the mean over 4 depths" in said
    assert "tells the groups apart" in said or "does not tell the groups apart" in said
    assert pl.read_csv(out / "similarity.csv").select("bottom", "top").n_unique() == 6  # R2 both ways
    page = (out / "report.html").read_text()
    assert "Which measure tells the groups apart" in page
    for what in ([], ["--what", "separation"], ["--what", "matrix"]):
        drawn = tmp_path / "drawn.svg"
        done = CliRunner().invoke(cli, ["figure", str(out / "similarity.parquet"), *what, "-o", str(drawn)])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(cli, ["report", str(out / "similarity.parquet"), "--out", str(tmp_path / "again.html")])
    assert done.exit_code == 0, done.output
    assert "Which measure tells the groups apart" in (tmp_path / "again.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--groups", "a,b"], "expected one group for each of the 3 networks, in their order"),
        (["--groups", "a,b,c"], "groups= makes 3 groups of 3 networks"),
        (["--top-layer", "block1"], "--top-layer is of two networks, found 3"),
        (["--bottom-weights", "random"], "--bottom-weights is of two networks, found 3"),
    ],
)
def test_what_several_networks_cannot_be_asked(more, words, tmp_path):
    asked = ["similarity", *THREE, "--limit", "120", "--random-weights", *more, "--out", str(tmp_path)]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code != 0
    assert words in done.output + str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_networks_says_what_it_holds(tmp_path):
    done = CliRunner().invoke(cli, ["similarity", str(tmp_path), "--limit", "120"])
    assert "says of no network what it is: expected donors.toml" in str(done.exception)
