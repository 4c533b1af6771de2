"""Tables of others are read, or refused in a sentence: no panic, no abort, no more memory than their size allows."""

import numpy as np
import polars as pl
import pytest

from modelstitch.support import tables
from modelstitch.support.tables import UnreadableError

FRAME = pl.DataFrame({"text": ["one", "two", "é"] * 20, "label": [0, 1, 2] * 20, "more": [0.5] * 60})


@pytest.mark.slow
def test_a_table_is_read_as_asked(tmp_path):
    FRAME.write_parquet(tmp_path / "t.parquet")
    FRAME.write_csv(tmp_path / "t.csv")
    FRAME.write_csv(tmp_path / "t.tsv", separator="\t")
    FRAME.write_ndjson(tmp_path / "t.jsonl")
    for how in ("parquet", "csv", "tsv", "jsonl"):
        assert tables.read(tmp_path / f"t.{how}", how).equals(FRAME)
    some = tables.read(tmp_path / "t.parquet", "parquet", wanted=("label", "none"), n_rows=5)
    assert some.equals(FRAME.select("label").head(5))
    with pytest.raises(FileNotFoundError):
        tables.read(tmp_path / "none", "csv")


@pytest.mark.slow
def test_flipped_bits_end_no_process(tmp_path):
    path = tmp_path / "t.parquet"
    FRAME.write_parquet(path, compression="uncompressed")
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for at in [*range(4, 12), *draw.integers(4, len(whole), 4)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(draw.integers(8))]) + whole[at + 1 :])
        try:
            tables.read(path, "parquet")
        except UnreadableError as error:
            refused.append(str(error))
    assert refused
    assert all(refused)


def test_equal_content_is_tried_once(tmp_path, monkeypatch):
    FRAME.with_columns(pl.lit(7).alias("once")).write_parquet(tmp_path / "t.parquet")
    tables.read(tmp_path / "t.parquet", "parquet")
    monkeypatch.setattr(tables, "_trial", None)
    tables.read(tmp_path / "t.parquet", "parquet")


@pytest.mark.slow
def test_a_table_that_unpacks_to_more_than_its_size_allows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_FLOOR", 64 << 20)
    pl.DataFrame({"label": pl.repeat(7, 50_000_000, eager=True, dtype=pl.Int64)}).write_parquet(tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 1 << 20
    with pytest.raises(UnreadableError, match="it is broken, or unpacks to far more than its size"):
        tables.read(tmp_path / "t.parquet", "parquet")


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"PAR1\xff\xff\xff\xffPAR1", b"\0" * 100])
@pytest.mark.parametrize("how", ["parquet", "jsonl"])
def test_what_is_no_table_is_refused(tmp_path, content, how):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UnreadableError):
        tables.read(tmp_path / "t", how)
