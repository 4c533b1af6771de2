"""A command as a user types it, run in this process."""

import sys

import pytest

from modelstitch import cli


def run(monkeypatch, capture, *args):
    """(exit code, standard output, standard error) of one command."""
    monkeypatch.setattr(sys, "argv", ["modelstitch", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, *capture.readouterr()
