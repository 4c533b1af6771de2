"""--mean and --std: how raw images are normalised, for both networks or for one."""

import ast
import io
import warnings
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from torch import nn

import modelstitch as ms
from commands import run
from modelstitch.cli import common
from modelstitch.support.progress import progress

NET = "zoo:small-resnet?width=4"


@click.command()
@common.views
def probe():
    click.echo(" | ".join(repr(common._view(side)) for side in ("bottom", "top")))


BOTH = "Normalise(mean=(0.5,), std=(0.25,))"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "None | None"),
        ("--mean 0.5 --std 0.25", f"{BOTH} | {BOTH}"),
        ("--bottom-mean 0.5 --bottom-std 0.25", f"{BOTH} | None"),
        (
            "--mean 0.5 --std 0.25 --top-mean 0,0.1,0.2 --top-std 1",
            f"{BOTH} | Normalise(mean=(0.0, 0.1, 0.2), std=(1.0, 1.0, 1.0))",
        ),
    ],
)
def test_views_of_either_side(options, told):
    assert CliRunner().invoke(probe, options.split()).output.strip() == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--mean 0.5", "--mean and --std belong together: expected both, found one."),
        ("--top-std 0.5", "--top-mean and --top-std belong together"),
        (
            "--mean grey --std 1",
            "expected numbers such as 0.5 or 0.485,0.456,0.406 (of images in [0, 1]), found 'grey'.",
        ),
    ],
)
def test_mistakes(options, told):
    found = CliRunner().invoke(probe, options.split())
    assert found.exit_code == 2
    assert told in " ".join(found.output.split())


@pytest.mark.slow
def test_a_command_takes_them(monkeypatch, capsys):
    seam = [f"{NET}@block1", f"{NET}@block1", "--objective", "match", "--device", "cpu"]
    same = run(monkeypatch, capsys, "stitch", *seam, "--mean", "0.3", "--std", "0.4")
    apart = run(monkeypatch, capsys, "stitch", *seam, "--bottom-mean", "0.3", "--bottom-std", "0.4")
    assert same[0] == apart[0] == 0
    assert "(bottom)" not in same[1]
    assert "(bottom)" in apart[1]  # seen in two ways, they are two networks
    code, _, told = run(monkeypatch, capsys, "stitch", *seam, "--mean", "0.3,0.3,0.3", "--std", "0.4")
    assert code == 2
    assert "takes 1 channels, the mean has 3 numbers" in " ".join(told.split())


SOURCE = Path(__file__).parent.parent.parent / "src" / "modelstitch"
EVIL = "e\x1b[2J\x1b]0;own\x07\u202e\x9bx"
RAW = ("\x1b", "\x07", "\u202e", "\x9b", "\r")


def clean(*texts):
    return not any(mark in text for text in texts for mark in RAW)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study whose networks and layers have such names."""
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    parts = [
        torch.utils.data.TensorDataset(x[a:b], (x[a:b, 0] > 0).long()) for a, b in ((0, 100), (100, 200), (200, 300))
    ]
    layers = [(f"one{EVIL}", nn.Linear(4, 4)), ("two", nn.ReLU()), ("three", nn.Linear(4, 2))]
    nets = []
    for name in (EVIL, f"[bold]{EVIL}"):
        module = nn.Sequential()
        for layer, part in layers:
            module.add_module(layer, part)
        nets.append(ms.Network(module, x[:2], name))
    out = tmp_path_factory.mktemp("evil") / "out"
    found = ms.compare(*nets, ms.Data(*parts), layers=(f"one{EVIL}",), controls=(), steps=1, out=out)
    assert clean(repr(found), repr(nets[0]))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("command", [["status"], ["report"], ["export"]])
def test_commands_on_a_study_of_such_names(folder, monkeypatch, capfd, command):
    target = {"export": [str(folder.parent / "rows.csv")]}.get(command[0], [])
    code, out, err = run(monkeypatch, capfd, *command, str(folder), *target)
    assert code == 0
    assert clean(out, err)
    if command == ["status"]:
        assert "e\\x1b[2J" in out
        assert "[bold]" in out
    if command == ["report"]:
        assert clean((folder / "report.html").read_text(encoding="utf-8").replace("\r\n", "\n"))


MISTAKES = {
    "an option": [f"--{EVIL}"],
    "a command": [EVIL],
    "a file": ["status", EVIL],
    "a model": ["layers", f"zoo:{EVIL}"],
    "a path": ["layers", f"file:{EVIL}"],
    "data": ["compare", "zoo:small-resnet", "zoo:small-resnet", "--data", f"parquet:{EVIL}"],
    "a seam": ["stitch", "zoo:small-resnet@" + EVIL, "zoo:small-resnet@" + EVIL],
    "half a character": ["layers", "zoo:\udc80"],
}


@pytest.mark.slow
@pytest.mark.parametrize("words", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_without_steering(monkeypatch, capfd, words):
    code, out, err = run(monkeypatch, capfd, *words)
    assert code == 2
    assert err
    assert clean(out, err)
    assert "Traceback" not in err


def test_a_folder_of_such_a_name(tmp_path, monkeypatch, capfd):
    for name in (EVIL, f"{EVIL}.toml"):
        (tmp_path / name).mkdir()
    for words in (
        ["status", str(tmp_path / EVIL)],
        ["report", str(tmp_path / EVIL)],
        ["run", str(tmp_path / f"{EVIL}.toml")],
    ):
        code, out, err = run(monkeypatch, capfd, *words)
        assert code == 2
        assert clean(out, err)


def test_tables_and_bars(capsys):
    common.table([EVIL, "[red]n[/red]"], [[EVIL, "1"]], EVIL)
    with progress(Console(file=io.StringIO(), force_terminal=False, width=120)) as tell:
        tell(EVIL, 1, 2)
        tell(EVIL, 2, 2)
    out, err = capsys.readouterr()
    assert clean(out, err)
    assert "[red]n[/red]" in out


def test_warnings(monkeypatch, capfd):
    def warned(*_, **__):
        warnings.warn(f"of a file: {EVIL}", RuntimeWarning, stacklevel=1)
        raise ms.StitchError(EVIL)

    monkeypatch.setattr(common, "data_for", warned)
    code, out, err = run(monkeypatch, capfd, "similarity", "zoo:small-resnet", "zoo:small-resnet")
    assert code == 2
    assert "of a file: e\\x1b" in err
    assert clean(out, err)


@pytest.mark.slow
def test_all_that_commands_print_goes_by_one_place():
    """``click.echo`` and ``print`` stand in the one file that makes text plain, and in the bars."""
    for path in SOURCE.rglob("*.py"):
        if path.name in ("common.py", "progress.py", "trial.py", "trace.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"), (
                    path
                )
