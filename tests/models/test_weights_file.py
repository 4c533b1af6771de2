"""What a weights file holds: read within bounds, and never as code."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from modelstitch.errors import SourceError
from modelstitch.models.weights_file import chosen, file_hash, parts_of, read

STATE = {"a": torch.arange(4.0), "b": torch.zeros(2, 3)}
MUCH = 10**6


@pytest.fixture
def files(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    torch.save(STATE, tmp_path / "w.pt")
    save_file({"a": STATE["a"]}, tmp_path / "one.safetensors")
    save_file({"b": STATE["b"]}, tmp_path / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "w.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.safetensors.index.json"])
def test_tensors_by_name(files, name):
    found = read(files / name, limit=MUCH)
    assert set(found) == set(STATE)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)
    assert set(read(files / name, limit=MUCH, names_only=True)) == set(STATE)


def test_the_content_decides_and_not_the_ending(files):
    (files / "w.pt").rename(files / "other.safetensors")
    assert torch.equal(read(files / "other.safetensors", limit=MUCH)["a"], STATE["a"])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.safetensors.index.json"])
def test_more_than_the_model_can_hold_is_refused_unread(files, name):
    with pytest.raises(
        SourceError, match=r"hold .* bytes: expected at most .* for this model; check that the file belongs to it"
    ):
        read(files / name, limit=100)


def test_the_hash_is_the_files_and_an_indexs_that_of_its_files(files):
    assert file_hash(files / "w.pt") == hashlib.sha256((files / "w.pt").read_bytes()).hexdigest()
    both = (files / "one.safetensors").read_bytes() + (files / "two.safetensors").read_bytes()
    assert file_hash(files / "w.safetensors.index.json") == hashlib.sha256(both).hexdigest()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"weight_map": {"a": "../one.safetensors"}}, "names no files, or files elsewhere"),
        ({"weight_map": {}}, "names no files, or files elsewhere"),
        (
            {"weight_map": {"a": "one.safetensors", "b": "gone.bin"}},
            r"names 2 files of which 1 are missing \(gone.bin\)",
        ),
        ({"other": 1}, r"cannot be read \(KeyError\): expected JSON with a weight_map"),
        ([1], r"cannot be read \(TypeError\)"),
    ],
)
def test_an_index_of_other_files(files, content, words):
    path = files / "x.bin.index.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SourceError, match=words):
        parts_of(path)


def test_a_folder_and_a_file_that_is_not_there(files):
    with pytest.raises(
        SourceError,
        match=r"are a folder: expected a .safetensors, .pt or .pth file, such as one.safetensors, two.safetensors",
    ):
        parts_of(files)
    with pytest.raises(SourceError, match=r"There is no weights file '.*gone.pt'"):
        parts_of(files / "gone.pt")


def test_a_key_may_be_asked_for(files):
    assert chosen(f"{files / 'w.pt'}?key=ema") == (files / "w.pt", "ema")
    assert chosen(files / "w.pt") == (files / "w.pt", "")
    torch.save(STATE, files / "w.pt?key=x")
    assert chosen(files / "w.pt?key=x") == (files / "w.pt?key=x", "")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"<html>not found</html>", "found other content, b'<html>not found</html>'"),
        (b"\x80\x04nonsense", "found a pickle that is no file of torch.save"),
    ],
)
def test_other_content_is_shown(tmp_path, head, words):
    (tmp_path / "w.pt").write_bytes(head)
    with pytest.raises(SourceError, match=words):
        read(tmp_path / "w.pt", limit=MUCH)
