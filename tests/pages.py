"""What a page of the documentation shows, run as a reader would run it, but in this process.

Starting one takes longer than most of it.
"""

import contextlib
import io
import re
import subprocess
import sys
import types
from pathlib import Path

from click.testing import CliRunner

import modelstitch
from modelstitch.cli import cli
from modelstitch.models import load as models

ROOT = Path(__file__).parent.parent


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    """The code of a page, block by block."""
    return re.findall(rf"```{language}\n(.*?)```", text(page), flags=re.S)


def run_python(code, folder, monkeypatch):
    """What a program prints, run in a folder as the main module."""
    assert set(re.findall(r"\bms\.(\w+)", code)) <= set(
        modelstitch.__all__
    )  # else it may be there because a test has loaded it
    module = types.ModuleType("__main__")
    with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as told:
        patch.chdir(folder)
        patch.setitem(sys.modules, "__main__", module)
        exec(compile(code, "<page>", "exec"), vars(module))
    return told.getvalue()


def run_commands(script, folder, monkeypatch):
    """What each line of ``modelstitch ...`` prints, run in a folder.

    Bash makes its words, patterns and substitutions.
    """
    monkeypatch.chdir(folder)
    told = []
    for line in script.splitlines():
        made = subprocess.run(["bash", "-euc", f'printf "%s\\0" {line}'], capture_output=True, text=True, check=True)
        command, *arguments = made.stdout.split("\0")[:-1]
        assert command == "modelstitch"
        with monkeypatch.context() as patch:  # a command knows nothing of those before it
            patch.setattr(models, "_imported", {})
            patch.setattr(models, "_files", {})
            done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told.append(done.stdout)
    return told
