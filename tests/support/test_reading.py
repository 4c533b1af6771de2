"""Texts of others: values within bounds, or one sentence, soon."""

import os
import time
from pathlib import Path

import pytest

from modelstitch.errors import StitchError, StudyError
from modelstitch.study.spec import load_spec
from modelstitch.support import reading
from modelstitch.support.reading import UnfitError, json_of, read_json, read_toml, told

TOML = {
    "nested brackets": ("seeds = " + "[" * 20_000 + "]" * 20_000, "brackets nested more than 64 deep"),
    "nested tables": ("a = " + "{a = " * 500 + "1" + "}" * 500, "nested more than 64 deep"),
    "a key of many parts": ("a" + ".a" * 20_000 + " = 1", "a key of more than 16 parts"),
    "a table of many parts": ("[" + "a." * 20_000 + "a]", "a key of more than 16 parts"),
    "many keys of many parts": ("".join(f"k{i}{'.a' * 60} = 1\n" for i in range(2_000)), "more than 16 parts"),
    "a long number": ("seeds = [" + "9" * 5_000 + "]", "Exceeds the limit"),
    "a number of 70 bits": ("seeds = [1000000000000000000000]", "a whole number of more than 63 bits"),
    "a long key": ("k" * 100_000 + " = 1", "a key of 100,000 characters"),
    "a long text": ("name = '" + "k" * 100_000 + "'", "a text of 100,000 characters"),
    "a huge file": ("#" * 300_000, "a file of 300,000 bytes, more than 262,144"),
    "quotes without end": ('a = "' + '\\"' * 100_000, "Unterminated string"),
    "half a character": (b"name = '\xff'", "codec can't decode"),
    "zero": ("a = \0", "Invalid value"),
}


@pytest.mark.parametrize(("text", "why"), TOML.values(), ids=TOML)
def test_a_study_file_is_refused_soon_and_in_a_sentence(tmp_path, text, why):
    path = tmp_path / "study.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.monotonic()
    with pytest.raises(StudyError, match=why) as caught:
        load_spec(path)
    assert time.monotonic() - start < 2
    assert len(str(caught.value)) < 1_000


def test_many_unknown_keys_are_refused_soon(tmp_path):
    (tmp_path / "study.toml").write_text("".join(f"k{i} = 1\n" for i in range(20_000)))
    start = time.monotonic()
    with pytest.raises(StudyError, match=r"more after it\)"):
        load_spec(tmp_path / "study.toml")
    assert time.monotonic() - start < 3


JSON = {
    "nested arrays": ("[" * 100_000, "brackets nested more than 64 deep"),
    "nested objects": ('{"a":' * 5_000 + "1" + "}" * 5_000, "brackets nested more than 64 deep"),
    "nested past a text": ('["' + '\\"[' * 1_000 + '",' + "[" * 70, "brackets nested more than 64 deep"),
    "a long number": ("9" * 5_000, "Exceeds the limit"),
    "quotes without end": ("[" * 64 + '"' + '\\"' * 1_000_000 + "[" * 9, "Unterminated string"),
    "half a character": (b'"\xff"', "codec can't decode"),
    "nothing": ("", "Expecting value"),
}


@pytest.mark.parametrize(("text", "why"), JSON.values(), ids=JSON)
def test_a_json_text_is_refused_soon(text, why):
    start = time.monotonic()
    with pytest.raises(UnfitError, match=why):
        json_of(text)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "number", ["NaN", "-Infinity", "1e999", "-1e999", "18446744073709551616", "-9223372036854775809"]
)
def test_strict_numbers_are_finite_and_fit_into_a_word(tmp_path, number):
    (tmp_path / "file").write_text(f'{{"value": {number}}}')
    read_json(tmp_path / "file")
    with pytest.raises(UnfitError, match=r"the number .* not finite|a whole number of more than 64 bits"):
        json_of((tmp_path / "file").read_text(), strict=True)


def test_what_is_within_bounds_is_read(tmp_path):
    value = {"text": "[{" * 100, "deep": [[[{"a": [1, 2.5, None, True, -(2**63), 2**64 - 1]}]]], "many": [[]] * 500}
    import json

    assert json_of(json.dumps(value), strict=True) == value
    (tmp_path / "file").write_text(
        'a = "...................... [[["  # [[[ . . . . . . . . . . . . . . . . . . .\nb.c = [1.5, 2.5]\n'
    )
    assert read_toml(tmp_path / "file") == {"a": "...................... [[[", "b": {"c": [1.5, 2.5]}}


@pytest.mark.parametrize("reader", [read_json, read_toml])
def test_pipes_and_devices_are_never_read(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UnfitError, match="no file, but a folder or a device"):
            reader(path)


def test_toml_is_read_here_alone():
    """Its bounds are those of every file: a reader of its own would have none."""
    package = Path(reading.__file__).parents[1]
    found = {str(p.relative_to(package)) for p in package.rglob("*.py") if "import tomllib" in p.read_text()}
    assert found == {"support/reading.py"}


def test_the_name_is_the_first_parameter_wherever_it_stands_among_keywords():
    @told(StitchError)
    def reader(spec, *, classes=None):
        return spec, classes

    assert reader(classes=3, spec="a") == ("a", 3)
    with pytest.raises(StitchError, match="reader takes a name first: expected text or a path, found int"):
        reader(classes=3, spec=4)
