"""The page on the command line: its commands run, its exit codes and shells are as it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelstitch.cli import cli, main
from pages import blocks, run_commands, text

PAGE = "docs/command-line.md"


@pytest.mark.slow
def test_the_commands_run_as_written(tmp_path, monkeypatch):
    told = run_commands(blocks(PAGE, "bash")[1], tmp_path, monkeypatch)
    assert "donors/a" in told[0]
    assert "5 cells: 0 kept already, 5 to run" in told[1]
    found = json.loads(told[2])
    assert {row["bottom_layer"] for row in found["rows"]} == {f"block{n}" for n in range(1, 6)}


def test_every_exit_code_is_in_the_table():
    listed = set(re.findall(r"^\| (\d+) \|", text(PAGE), flags=re.M))
    assert listed == set(re.findall(r"\b(\d+)\b", re.sub(r"\s+", " ", main.__doc__)))


def test_the_options_that_every_command_takes_are_there():
    for flag in re.findall(r"`(--?[a-z-]+)", text(PAGE).partition("What every command takes")[2].partition("##")[0]):
        taken = [name for name in cli.list_commands(None) if flag in flags(name)]
        assert taken, flag


def flags(name):
    return {flag for option in cli.get_command(None, name).params for flag in option.opts}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_each_shell(shell):
    variable = "_MODELSTITCH_COMPLETE"
    assert f"{variable}={shell}_source modelstitch" in text(PAGE)
    command = Path(sys.executable).parent / "modelstitch"
    words = {"COMP_WORDS": "modelstitch compare --prec", "COMP_CWORD": "2"}
    if shell == "fish":
        words["COMP_CWORD"] = "--prec"
    told = subprocess.run(
        [command], env={**os.environ, **words, variable: f"{shell}_complete"}, capture_output=True, text=True
    )
    assert "--precision" in told.stdout, told.stderr
