"""Files are written whole or not at all, whatever fails, and what cannot be used gets another name."""

import errno
import os
import stat

import pytest

from modelstitch.errors import StudyError
from modelstitch.study.store import working
from modelstitch.support import files
from modelstitch.support.files import (
    SetAside,
    clean,
    create,
    probe,
    set_aside,
    write_atomic,
    write_folder,
    write_text,
)


def fails(code):
    def call(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("step", ["mkstemp", "open", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_write_that_fails_leaves_the_old_file_and_a_sentence(tmp_path, monkeypatch, step, code):
    target = tmp_path / "file"
    write_atomic(target, b"old")
    with monkeypatch.context() as patch:
        if step == "mkstemp":
            patch.setattr(files.tempfile, "mkstemp", fails(code))
        elif step == "open":
            patch.setattr("builtins.open", fails(code))
        else:
            patch.setattr(files.os, step, fails(code))
        with pytest.raises(
            StudyError, match=f"Cannot write {target}: expected .* found {os.strerror(code)}; free some"
        ):
            write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EPERM, errno.ENOTSUP])
@pytest.mark.parametrize("call", ["fsync", "chmod"])
def test_what_a_file_system_lacks_is_no_failure(tmp_path, monkeypatch, call, code):
    monkeypatch.setattr(files.os, call, fails(code))
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupted(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_with(tmp_path / "file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "folder", lambda folder: interrupted(folder / "part"))
    assert os.listdir(tmp_path) == []


def test_links_are_followed_and_pipes_stay_pipes(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_a_sentence():
    with pytest.raises(StudyError, match=r"Cannot write /dev/full: .* found No space left on device"):
        write_atomic(files.Path("/dev/full"), b"x" * 100_000)


def test_a_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    def full(folder):
        (folder / "one").write_text("1")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StudyError, match=r"Cannot write .*/made: .* No space left"):
        write_folder(tmp_path / "made", full)
    assert os.listdir(tmp_path) == []
    assert write_folder(tmp_path / "made", lambda folder: (folder / "one").write_text("1"))
    assert not write_folder(tmp_path / "made", lambda folder: (folder / "one").write_text("2"))
    assert (tmp_path / "made" / "one").read_text() == "1"
    assert os.listdir(tmp_path) == ["made"]


@pytest.mark.parametrize(
    "write", [probe, lambda folder: create(folder / "file", b"new"), lambda folder: working(folder).__enter__()]
)
def test_where_only_the_folder_cannot_be_synced_nothing_temporary_stays(tmp_path, monkeypatch, write):
    sync, folder = files._sync, tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(files, "_sync", lambda path: fails(errno.EIO)() if path == folder else sync(path))
    with pytest.raises(StudyError, match="found Input/output error"):
        write(folder)
    assert not list(folder.glob(".tmp-*"))


def test_what_killed_writers_left_is_cleared(tmp_path):
    dead = tmp_path / f".tmp-{files._host()}-999999999-abc"
    dead.mkdir()
    (dead / "part").write_text("half")
    alive = tmp_path / f".tmp-{files._host()}-{os.getpid()}-abc"
    alive.mkdir()
    assert clean(tmp_path) == [dead]
    assert os.listdir(tmp_path) == [alive.name]


def test_what_cannot_be_used_gets_another_name_and_is_told(tmp_path):
    for n in (1, 2):
        (tmp_path / "file").write_text(str(n))
        with pytest.warns(SetAside, match=f"The file is damaged; it is set aside as file.aside-{n}, and its work"):
            aside = set_aside(tmp_path / "file", "The file is damaged" + "." * (n - 1))
        assert aside.read_text() == str(n)
        assert aside.name.startswith("file.aside-")
