"""--json, --quiet and --dry-run: the same answers, for programs, and no answer but what it would take."""

import json
import re

import pytest
from click.testing import CliRunner

import modelstitch as ms
from modelstitch.cli import _COMMANDS, cli

NET = "zoo:small-resnet?width=4"
SHORT = ["--limit", "100", "--device", "cpu"]
STITCH = ["stitch", f"{NET}@block1", f"{NET}@block1", "--objective", "match", *SHORT]
COMPARE = ["compare", NET, NET, "--layers", "block*", "--objective", "match", "--control", "none", *SHORT]
SIMILARITY = ["similarity", NET, NET, "--bottom-layer", "block?", "--top-layer", "block1", "--shuffles", "0", *SHORT]
MATRIX = ["matrix", NET, NET, "--bottom-layer", "block1", "--top-layer", "block*", "--measure", "cka", *SHORT]


def answered(*args):
    done = CliRunner().invoke(cli, [*args, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_stitch():
    found = answered(*STITCH)
    low, high = found["interval"]
    assert low <= found["penalty"] <= high
    assert found["record"]["config"]["control"] == "pair"
    assert "examples" not in found["record"]


@pytest.mark.slow
def test_a_study_and_what_is_made_of_its_folder(tmp_path):
    out = str(tmp_path / "c")
    found = answered(*COMPARE, "--out", out)
    kept = json.loads(json.dumps(ms.open(out).frame.to_dicts()))
    assert sorted(found["rows"], key=json.dumps) == sorted(kept, key=json.dumps)
    assert {row["bottom_layer"] for row in found["rows"]} == {"block1", "block2", "block3", "block4", "block5"}
    assert found["report"] == f"{out}/report.html"
    assert answered("report", out)["report"] == f"{out}/report.html"
    assert answered("figure", out, "-o", f"{out}/f.svg")["figure"] == f"{out}/f.svg"
    assert len(answered("export", out, f"{out}/t.csv")["sha256"]) == 64
    assert {row["state"] for row in answered("diff", out, out)["rows"]} == {"same"}
    assert answered("gc", out) == {"files": [], "removed": True}


@pytest.mark.slow
@pytest.mark.parametrize("command", [SIMILARITY, MATRIX], ids=["similarity", "matrix"])
def test_grids(tmp_path, command):
    found = answered(*command, "--out", str(tmp_path))
    assert len(found["rows"]) >= 5
    assert all((tmp_path / name).is_file() for name in ("report.html", *found["files"]))


@pytest.mark.slow
@pytest.mark.parametrize("command", [STITCH, COMPARE, SIMILARITY, MATRIX], ids=lambda command: command[0])
def test_a_dry_run_writes_nothing(tmp_path, command):
    found = answered(*command, "--dry-run", "--out", str(tmp_path / "none"))
    assert any("Nothing was" in sentence for sentence in found["would"])
    assert found["needs"]["seconds"] > 0
    assert not (tmp_path / "none").exists()


def test_quiet_leaves_results_alone():
    loud, quiet = (CliRunner().invoke(cli, [*STITCH, *more], catch_exceptions=False) for more in ([], ["-q"]))
    assert quiet.stderr == ""
    assert re.search(r": \d+/\d+", loud.stderr)
    assert quiet.stdout == loud.stdout


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_speaks_as_it_is_asked_to(name):
    flags = {flag for option in cli.get_command(None, name).params for flag in option.opts}
    assert "--verbose" in flags
    assert "--json" in flags
