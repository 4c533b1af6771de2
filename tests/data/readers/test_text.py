"""Text as data: chunks and rows, next tokens, hidden tokens and classes, disjoint splits, and what is refused."""

from __future__ import annotations

import polars as pl
import pytest
import torch

import texts
from modelstitch import load_data
from modelstitch.data.data import IGNORED
from modelstitch.data.readers.tokenizer import Tokenizer
from modelstitch.errors import DataError, SourceError

SPLITS = ("fit", "val", "test")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A tokenizer that puts nothing around a text."""
    folder = tmp_path_factory.mktemp("plain")
    texts.tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def around(tmp_path_factory):
    """One with [CLS] and [SEP]."""
    folder = tmp_path_factory.mktemp("around")
    texts.tokenizer(folder, around=True)
    return folder


def everything(data):
    sets = [data.dataset(split) for split in SPLITS]
    return torch.cat([s.ids for s in sets]), torch.cat([s.mask for s in sets]), torch.cat([s.labels for s in sets])


def write_text(folder, n=60):
    file = folder / "corpus.txt"
    file.write_text("\n".join(texts.corpus(n)), encoding="utf-8")
    return file


def test_a_plain_file_is_cut_into_chunks_that_hold_every_token_once(tmp_path, plain):
    file = write_text(tmp_path)
    data = load_data(f"text:{file}?length=9", tokenizer=plain)
    ids, mask, labels = everything(data)
    expected = Tokenizer.load(plain).encode([file.read_text(encoding="utf-8")])[0]
    assert len(expected) == 420
    assert ids[mask.bool()].bincount().tolist() == torch.tensor(expected).bincount().tolist()
    assert int(mask.sum()) == 420
    assert (mask.sum(1) < 9).sum() == 1  # the last chunk
    for row, marked, label in zip(ids, mask, labels):
        n = int(marked.sum())
        assert label[: n - 1].tolist() == row[1:n].tolist()
        assert label[n - 1 :].tolist() == [IGNORED] * (9 - n + 1)
    assert data.n_classes == len(texts.SPECIAL) + len(texts.WORDS)
    assert "chunks of at most 9 tokens by the tokenizer" in data.describe()["splits"]


def test_splits_are_deterministic_and_share_no_chunk(tmp_path, plain):
    spec = f"text:{write_text(tmp_path, 200)}?length=7"  # a sentence each: many are equal
    one, again, other = (load_data(spec, tokenizer=plain, seed=seed) for seed in (0, 0, 1))
    rows = {split: {tuple(r) for r in one.dataset(split).ids.tolist()} for split in SPLITS}
    assert not rows["fit"] & rows["test"]
    assert not rows["fit"] & rows["val"]
    assert not rows["val"] & rows["test"]
    assert sum(one.size(split) for split in SPLITS) == 200
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != other.fingerprint
    assert torch.equal(one.dataset("test").ids, other.dataset("test").ids)
    few = load_data(spec, tokenizer=plain, limit=20)
    assert few.size("fit") + few.size("val") <= 20
    assert few.size("test") <= 20


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl"])
def test_rows_of_a_table_are_samples_with_the_labels_of_a_column(tmp_path, around, suffix):
    sentences = texts.corpus(40)
    frame = pl.DataFrame({"body": sentences, "mood": ["good" if "cat" in s else "bad" for s in sentences]})
    file = tmp_path / f"rows.{suffix}"
    {
        "parquet": frame.write_parquet,
        "csv": frame.write_csv,
        "jsonl": frame.write_ndjson,
        "tsv": lambda path: frame.write_csv(path, separator="\t"),
    }[suffix](file)
    data = load_data(f"text:{file}?column=body&label=mood&length=12", tokenizer=around)
    ids, mask, labels = everything(data)
    names = Tokenizer.load(around).vocabulary
    assert data.classes == ("bad", "good")
    assert labels.tolist() == [int(names["cat"] in row) for row in ids.tolist()]
    assert (ids[:, 0] == names["[CLS]"]).all()
    assert mask.sum(1).tolist() == [9] * 40
    assert (ids[:, 8] == names["[SEP]"]).all()
    assert (ids[:, 9:] == names["[PAD]"]).all()
    batch = next(data.batches("fit", 4))
    assert batch.mask.sum(1).tolist() == [9] * 4
    assert batch.ids.tolist() == [0, 1, 2, 3]


def test_whole_batches_have_no_mask(tmp_path, plain):
    data = load_data(f"text:{write_text(tmp_path)}?length=10", tokenizer=plain)
    assert next(data.batches("fit", 4)).mask is None


def test_long_rows_are_cut_and_the_record_says_so(tmp_path, around):
    file = tmp_path / "rows.csv"
    pl.DataFrame({"text": texts.corpus(30), "label": [0, 1] * 15}).write_csv(file)
    data = load_data(f"text:{file}?label=label&length=6", tokenizer=around)
    assert "30 of 30 cut to that length" in data.split_rule
    assert (everything(data)[0][:, 5] == Tokenizer.load(around).special["sep"]).all()


def test_a_folder_brings_its_own_test_table_and_tells_of_overlap(tmp_path, around):
    sentences = list(dict.fromkeys(texts.corpus(400)))
    pl.DataFrame({"text": sentences[:30], "label": [0, 1] * 15}).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"text": [sentences[0], *sentences[30:39]], "label": [0, 1] * 5}).write_csv(tmp_path / "test.csv")
    data = load_data(f"text:{tmp_path}?label=label&length=10", tokenizer=around)
    assert [data.size(split) for split in SPLITS] == [27, 3, 10]
    assert "own test table" in data.split_rule
    seen = {tuple(r) for r in data.dataset("fit").ids.tolist()}
    assert ("1 of 10 test samples are also" in data.split_rule) == (tuple(data.dataset("test").ids[0].tolist()) in seen)


def test_masked_language_modelling_hides_the_same_tokens_in_every_run(tmp_path, around):
    spec = f"text:{write_text(tmp_path)}?length=12&task=masked-lm"
    (ids, mask, labels), (again, _, _) = (everything(load_data(spec, tokenizer=around)) for _ in range(2))
    special = Tokenizer.load(around).special
    assert torch.equal(ids, again)
    hidden = ids == special["mask"]
    assert torch.equal(hidden, labels != IGNORED)
    assert set(hidden.sum(1).tolist()) <= {1, 2}  # 15 % of at most 10, rounded up
    assert not bool((hidden & (mask == 0)).any())
    assert not bool(((labels == special["cls"]) | (labels == special["sep"])).any())


def spoil(folder, what):
    if what == "not utf-8":
        (folder / "a.txt").write_bytes(b"the cat \xff")
    elif what == "short":
        (folder / "a.txt").write_text("the cat sees")
    elif what == "empty rows":
        pl.DataFrame({"text": ["the cat", "", "  "] * 5}).write_csv(folder / "a.csv", quote_style="always")
    elif what == "gaps":
        pl.DataFrame({"text": ["the cat", None] * 5}).write_parquet(folder / "a.parquet")
    elif what == "labels":
        pl.DataFrame({"text": texts.corpus(12), "label": [0.5] * 12}).write_parquet(folder / "a.parquet")
    elif what == "table":
        (folder / "a.parquet").write_bytes(b"no table")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "spec", "message"),
    [
        ("none", "a.txt", "cannot be read: No such file"),
        ("not utf-8", "a.txt", "is not UTF-8 .byte 8 is 0xff."),
        ("short", "a.txt", "gives 1 samples: expected 10 at least"),
        ("short", "a.txt?length=1", "sample of 1 tokens is too short"),
        ("short", "a.txt?length=x", "The length 'x' cannot be used"),
        ("short", "a.txt?size=3", "option 'size' is unknown: expected column"),
        ("short", "a.txt?label=x", "has no label column"),
        ("short", "a.txt?task=poetry", "The task 'poetry' with label None cannot be"),
        ("empty rows", "a.csv", "10 of 15 texts of a.csv are shorter than 2 tokens, the first is row 1: remove them"),
        ("gaps", "a.parquet", "holds String with 5 gaps: expected text"),
        ("gaps", "a.parquet?column=body", "no column 'body': found text"),
        ("labels", "a.parquet?label=label", "holds Float64 with 0 gaps: expected integers"),
        ("table", "a.parquet", "cannot be read"),
        ("none", "", "has no train and test tables"),
    ],
)
def test_bad_text_is_refused_in_one_sentence(tmp_path, plain, what, spec, message):
    spoil(tmp_path, what)
    with pytest.raises(DataError, match=message):
        load_data(f"text:{tmp_path / spec}" if spec else f"text:{tmp_path}", tokenizer=plain)


def test_a_tokenizer_is_needed(tmp_path):
    file = write_text(tmp_path)
    with pytest.raises(DataError, match=r"needs a tokenizer: expected '\?tokenizer=FOLDER'"):
        load_data(f"text:{file}")
    with pytest.raises(SourceError, match=r"holds no tokenizer: expected tokenizer.json"):
        load_data(f"text:{file}?tokenizer={tmp_path}")
