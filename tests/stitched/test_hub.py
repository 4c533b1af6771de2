"""A stitch on a hub: what is sent is what a folder holds, with a card that a reader can trust."""

import shutil
import types
from pathlib import Path

import pytest
import torch

from modelstitch import Stitched, stitch
from modelstitch.errors import SourceError
from modelstitch.stitched import hub


@pytest.fixture(scope="module")
def stitched(pair, digits):
    return stitch(*pair, "block2", digits, objective="match", device="cpu")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A hub that is a folder."""

    class Api:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, repo, private, exist_ok):
            if "/" not in repo:
                raise ValueError("no such namespace")
            (tmp_path / repo).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, tmp_path / repo_id, dirs_exist_ok=True)
            return f"hub/{repo_id}"

    def download(repo, revision, token, allow_patterns):
        if not (tmp_path / repo).is_dir():
            raise FileNotFoundError(repo)
        return str(tmp_path / repo)

    fake = types.SimpleNamespace(HfApi=Api, snapshot_download=download)
    monkeypatch.setattr(hub, "need", lambda name: fake)
    return tmp_path


def test_there_and_back(stitched, digits, server):
    assert stitched.push_to_hub("org/one") == "hub/org/one"
    again = Stitched.from_hub("org/one")
    x = next(digits.batches("test", 8)).inputs
    assert torch.equal(again.predict(x), stitched.predict(x))
    assert again.penalty == stitched.penalty


def test_a_local_folder_is_one(stitched, tmp_path, pair):
    folder = hub.put(stitched, tmp_path / "s")
    assert Stitched.from_hub(str(folder), *pair).penalty == stitched.penalty
    text = (folder / "README.md").read_text()
    low, high = stitched.interval
    assert f"| penalty, points | {stitched.penalty:.2f} | {low:.2f} to {high:.2f} |" in text
    assert text.startswith("---\nlibrary_name: modelstitch\n")
    assert text.splitlines()[5] == "# zero@block2 -&gt; one@block2"


def test_names_on_a_card_are_no_markup():
    assert hub._text("a|b<i>[x](y)\n`c`") == "a\\|b&lt;i&gt;\\[x\\](y)\ufffd\\`c\\`"


@pytest.mark.parametrize(("repo", "words"), [("nowhere", "cannot be sent to nowhere"), ("", "cannot be sent to")])
def test_a_hub_that_refuses_is_told(stitched, server, repo, words):
    with pytest.raises(SourceError, match=words):
        stitched.push_to_hub(repo)
    with pytest.raises(SourceError, match="The stitch org/none cannot be had"):
        Stitched.from_hub("org/none")
    assert not Path("org").exists()
