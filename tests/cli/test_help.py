"""Help is quick: it does not import torch, and every command has it."""

import resource
import subprocess
import sys

import pytest

from modelstitch.cli import _COMMANDS

PROBE = """
import sys
from modelstitch.cli import cli
for command in sys.argv[1:]:
    try:
        cli.main([*command.split(), "--help"], standalone_mode=False)
    finally:
        heavy = sorted({"torch", "torchvision", "timm", "transformers", "polars", "matplotlib"} & set(sys.modules))
        print("HEAVY", heavy, "END")
"""


@pytest.fixture(scope="module")
def helps():
    """{command: what its help prints, and the large libraries that are loaded after it}."""
    commands = ["", *_COMMANDS]
    words = [sys.executable, "-c", PROBE, *commands]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(zip(commands, ended.stdout.split("END\n"), strict=False))


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_help_loads_nothing_heavy(helps, command):
    assert "Usage:" in helps[command]
    assert helps[command].endswith("HEAVY [] ")


def test_importing_the_package_does_not_import_torch():
    code = "import sys, modelstitch; assert 'torch' not in sys.modules; modelstitch.__version__"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_help_is_quick():
    """Half a second of a processor, the interpreter's own start included.

    The clock on the wall counts others' work, too.
    """

    def seconds(code):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    code = "from modelstitch.cli import cli; cli.main(['compare', '--help'], standalone_mode=False)"
    assert min(seconds(code) for _ in range(3)) < 0.5
