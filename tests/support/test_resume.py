"""The latest state of a piece of work: written whole, read back, cleared; what cannot be read is not there."""

import errno
import io
import tracemalloc

import pytest
import torch

from modelstitch.errors import StudyError
from modelstitch.support import resume as unfinished
from modelstitch.support.files import SetAside
from modelstitch.support.resume import Pieces, Unfinished


def test_a_state_comes_back_with_the_seconds_it_took(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: clock[0])
    work = Unfinished(tmp_path / "below" / "file")
    assert work.read() is None
    assert not work.due
    clock[0] += 60
    assert work.due
    work.write({"tensor": torch.arange(3), "plain": [1, "two", None, (3.0, True)]})
    assert not work.due
    again = Unfinished(tmp_path / "below" / "file")
    state = again.read()
    assert torch.equal(state["tensor"], torch.arange(3))
    assert state["plain"] == [1, "two", None, (3.0, True)]
    clock[0] += 5
    assert (again.before, again.seconds) == (60, 65)
    again.clear()
    again.clear()
    assert again.read() is None


def test_a_disk_that_fills_up_half_way_is_said_as_such(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, part):
            if self.tell() > 500:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(part)

    work = Unfinished(tmp_path / "file")
    work.write({"tensor": torch.zeros(1)})
    monkeypatch.setattr(unfinished, "open", lambda *how: Full(), raising=False)
    with pytest.raises(StudyError, match=r"has space, found No space left on device; free some space"):
        work.write({"tensor": torch.zeros(1000)})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert torch.equal(Unfinished(tmp_path / "file").read()["tensor"], torch.zeros(1))


def test_long_writes_are_rarer(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(unfinished, "write_with", lambda path, data: clock.__setitem__(0, clock[0] + 10))
    work = Unfinished(tmp_path / "file")
    work.write({})
    clock[0] += 199
    assert not work.due
    clock[0] += 1
    assert work.due


def test_what_is_damaged_or_of_another_kind_is_not_there(tmp_path, monkeypatch):
    file = tmp_path / "file"
    Unfinished(file).write({"tensor": torch.arange(1000.0)})
    content = file.read_bytes()
    assert Unfinished(file).read() is not None
    assert Unfinished(file, "cuda").read() is None
    with monkeypatch.context() as patch:
        patch.setattr(unfinished, "VERSION", "another")
        assert Unfinished(file).read() is None
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (b"", b"no archive", content[:-1], bytes(flipped)):
        file.write_bytes(damaged)
        with pytest.warns(
            SetAside, match=r"unfinished work in .*file changed since it was written; it is set aside as"
        ):
            assert Unfinished(file).read() is None
        assert not file.exists()


def test_a_state_under_another_name_is_of_other_work(tmp_path):
    Unfinished(tmp_path / "seed-0").write({"tensor": torch.arange(3)})
    (tmp_path / "seed-0").rename(tmp_path / "seed-1")
    with pytest.warns(
        SetAside, match=r"unfinished work in .*seed-1 is that of seed-0; it is set aside as seed-1.aside-1"
    ):
        assert Unfinished(tmp_path / "seed-1").read() is None
    assert Unfinished(tmp_path / "seed-1").read() is None


def test_a_folder_that_another_run_cleared_is_made_again(tmp_path, monkeypatch):
    write, calls = unfinished.write_with, []

    def cleared(path, data):
        calls.append(path)
        if len(calls) == 1:
            path.parent.rmdir()
        write(path, data)

    monkeypatch.setattr(unfinished, "write_with", cleared)
    Unfinished(tmp_path / "unfinished" / "file").write({"step": 3})
    assert Unfinished(tmp_path / "unfinished" / "file").read() == {"step": 3}


def test_short_memory_costs_the_state_and_nothing_else(tmp_path, monkeypatch):
    def short(*_):
        raise MemoryError

    monkeypatch.setattr(unfinished.torch, "save", short)
    Unfinished(tmp_path / "file").write({})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"Cannot make the folder .*file/below"):
        Unfinished(tmp_path / "file" / "below" / "state").write({})


def test_reading_holds_nothing_beside_the_state(tmp_path):
    size = 1 << 22
    Unfinished(tmp_path / "file").write({"tensor": torch.ones(size)})
    tracemalloc.start()  # it counts what Python holds, and no tensor
    try:
        state = Unfinished(tmp_path / "file").read()
        assert float(state["tensor"].sum()) == size
        assert tracemalloc.get_traced_memory()[1] < 4 * size  # the bytes of the tensor
    finally:
        tracemalloc.stop()


def test_pieces_share_a_folder_that_goes_with_the_last(tmp_path):
    one, other = Pieces(tmp_path / "all", "one"), Pieces(tmp_path / "all", "other")
    for pieces in (one, other):
        pieces.piece("first and last").write({})
    assert {p.name for p in (tmp_path / "all").iterdir()} == {"one-first-and-last", "other-first-and-last"}
    one.clear()
    assert [p.name for p in (tmp_path / "all").iterdir()] == ["other-first-and-last"]
    other.clear()
    Pieces(tmp_path / "all", "never").clear()
    assert not (tmp_path / "all").exists()
