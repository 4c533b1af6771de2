"""``--import FILE.py``: every command that loads models takes models of the user's own."""

import pytest
from click.testing import CliRunner

from modelstitch.cli import cli
from modelstitch.errors import SourceError

OWN = """
import torch
from torch import nn

def {name}():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)), torch.zeros(2, 1, 8, 8)
"""
STUDY = """
name = "mine"
data = "digits"
controls = ["identity"]
layers = ["2"]
objectives = ["match"]
pairs = [["a", "b"]]
[donors]
a = "import:{name}"
b = "import:{name}"
"""
COMMANDS = {
    "layers": ["import:{name}"],
    "stitch": ["import:{name}@2", "import:{name}@2", "--objective", "match"],
    "compare": ["import:{name}", "import:{name}", "--objective", "match", "--limit", "200", "--control", "none"],
    "similarity": ["import:{name}", "import:{name}", "--limit", "200", "--measure", "cka"],
    "matrix": ["import:{name}", "import:{name}", "--limit", "200", "--measure", "cka"],
    "run": ["study.toml"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_of_ones_own(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"mine_{command}"  # its own: what one command imported must not serve the next
    (tmp_path / "mine.py").write_text(OWN.format(name=name))
    (tmp_path / "study.toml").write_text(STUDY.format(name=name))
    arguments = [command, *(argument.format(name=name) for argument in COMMANDS[command])]
    with pytest.raises(SourceError, match=f"No imported function is called '{name}'"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    done = CliRunner().invoke(cli, [*arguments, "--import", "mine.py"], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_file_that_cannot_be_imported(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(SourceError, match=r"bad\.py cannot be imported"):
        CliRunner().invoke(cli, ["layers", "import:x", "--import", str(tmp_path / "bad.py")], catch_exceptions=False)
