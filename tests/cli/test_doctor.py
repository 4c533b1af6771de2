"""``modelstitch doctor``: what a report of a fault needs."""

import json

from click.testing import CliRunner

from modelstitch import __version__
from modelstitch.cli import cli
from modelstitch.cli import doctor as room


def test_it_tells_versions_devices_and_extras():
    found = json.loads(CliRunner().invoke(cli, ["doctor", "--json"], catch_exceptions=False).stdout)
    assert found["versions"]["modelstitch"] == __version__
    assert found["devices"][0] == "cpu"
    assert found["threads"] >= 1
    assert found["extras"]["hf"].keys() == {"transformers"}
    assert {"torch", "Hugging Face"} == found["caches"].keys()


def test_a_missing_extra_is_told_with_its_remedy(monkeypatch):
    known = room._version
    monkeypatch.setattr(room, "_version", lambda name: None if name == "timm" else known(name))
    told = CliRunner().invoke(cli, ["doctor"], catch_exceptions=False).output
    assert "pip install 'modelstitch[timm]'" in told
    assert "pip install 'modelstitch[pandas]'" not in told
