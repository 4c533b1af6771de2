"""A folder is of one study: its file is sealed, and another study is told how it differs."""

import json

import pytest

from modelstitch.errors import RecordError, StudyError
from modelstitch.study.identity import FolderIdentity, identity_of, read_sealed, refuse_another, with_seal
from modelstitch.support.hashing import sealed


def test_what_is_sealed_is_read_without_its_seal(tmp_path):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(with_seal({"name": "mine", "data": 3})))
    assert read_sealed(path) == {"name": "mine", "data": 3}


@pytest.mark.parametrize("text", ["[]", "{", '{"kept as": 2}', '{"name": "other", "kept as": 2, "digest": "0"}'])
def test_what_is_not_as_it_was_written_is_named(tmp_path, text):
    path = tmp_path / "study.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"study.json cannot be believed: expected a JSON object as it was written"):
        read_sealed(path)


@pytest.mark.parametrize("form", [1, 3, "two", None, 2.0, True])
def test_a_form_that_is_not_known_is_not_read(tmp_path, form):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(sealed({"name": "mine", "kept as": form})))
    with pytest.raises(RecordError, match=f"does not read: expected 'kept as': 2, found {form!r}; open the folder"):
        read_sealed(path)


def test_no_file_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "study.json")


def test_another_study_is_told_what_differs_and_what_it_is_called(tmp_path):
    one = {"data": "00ff", "steps": 3, "about": {"data": "digits"}}
    refuse_another(one, {**one, "about": {}}, tmp_path)
    said = r'expected data = digits \("00ff"\), found data = "11ee" \(and 1 more: steps\)'
    with pytest.raises(StudyError, match=said):
        refuse_another(one, {"data": "11ee", "steps": 4}, tmp_path)


def test_a_mapping_is_its_own_identity():
    assert identity_of({"seams": ("a", "b")}) == {"seams": ["a", "b"]}


def test_of_two_studies_one_has_the_folder_and_gives_it_back(tmp_path):
    one, same, other = (FolderIdentity(tmp_path, {"name": name}) for name in ("a", "a", "b"))
    one.claim()
    same.claim()
    with pytest.raises(StudyError, match='was made by another study: expected name = "a", found name = "b"'):
        other.claim()
    assert FolderIdentity(tmp_path).spec == {"name": "a"}
    same.take_back()
    assert same.saved() == {"name": "a"}  # another process made the file
    one.take_back()
    assert one.saved() is None
    with pytest.raises(StudyError, match="is not a study: expected a folder"):
        FolderIdentity(tmp_path)


def test_a_plan_is_of_one_study_whole_or_in_parts(tmp_path):
    one, cells = FolderIdentity(tmp_path, {"name": "a", "about": "anything"}), ["0" * 16, "1" * 16]
    assert one.planned() is None
    one.plan(cells[:1], "first")
    one.plan(cells, "second")
    assert sorted(one.planned()) == cells
    assert FolderIdentity(tmp_path, {"name": "a"}).planned() == one.planned()
    with pytest.raises(StudyError, match="is the plan of another study"):
        FolderIdentity(tmp_path, {"name": "b"}).planned()
