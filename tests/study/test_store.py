"""The store: what is written is whole, what is foreign is named, another study is refused."""

import copy
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest

from modelstitch.errors import RecordError, StudyError
from modelstitch.records.parquet import records_from_parquet, records_to_parquet
from modelstitch.records.record import Record, equal_results
from modelstitch.study import identity
from modelstitch.study.identity import FolderIdentity, name_of
from modelstitch.study.spec import parse_spec
from modelstitch.study.store import Holdings, Store, present, working
from modelstitch.support.files import SetAside, clean, create
from modelstitch.support.hashing import canonical_json, cell_hash, of
from others import Other, soon

SPEC = {"name": "tiny", "fit": {"steps": 10, "batch_size": 8}, "seeds": [0]}


def make_record(seed: int = 0, penalty: float | None = 1.5) -> dict:
    config = {"family": "affine", "seed": seed, "bottom": {"name": "a<b>é", "layer": "l1"}, "top": {"name": "b"}}
    return {
        "version": 2,
        "cell": cell_hash(config),
        "config": config,
        "metrics": [{"metric": "penalty", "value": penalty, "low": 1.0, "high": 2.0, "unit": "points"}],
        "correct": "gA==",
        "notes": ["stopped early"],
        "provenance": {"torch": "2", "date": "2026-01-01", "seconds": 1.0},
    }


def test_what_is_written_is_read_back(tmp_path):
    store = Store(tmp_path / "s", SPEC)
    records = [make_record(seed) for seed in range(3)]
    for record in records:
        assert not store.has(record["cell"])
        store.write(record)
        assert store.has(record["cell"])
        assert store.read(record["cell"]) == record
    again = Store(tmp_path / "s", SPEC)
    assert again.records() == sorted(records, key=lambda r: r["cell"])
    assert Store(tmp_path / "s").spec == SPEC
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["cells", "study.json"]


def test_hash_does_not_depend_on_the_order_of_keys():
    assert cell_hash({"a": 1, "b": {"c": 2, "d": 3}}) == cell_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert cell_hash({"a": 1}) != cell_hash({"a": 2})
    assert cell_hash({"a": 1}) == "015abd7f5cc57a2d"
    assert canonical_json({"b": 1.0, "a": "é"}) == '{"a":"é","b":1.0}'


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_refused_by_name(tmp_path, bad):
    store = Store(tmp_path, SPEC)
    record = make_record(penalty=bad)
    with pytest.raises(StudyError, match=rf"the metric 'penalty', value to be a finite number or null, found {bad}"):
        store.write(record)
    assert store.records() == []


def test_another_spec_is_refused(tmp_path):
    Store(tmp_path, SPEC).write(make_record())
    other = copy.deepcopy(SPEC)
    other["fit"]["steps"] = 20
    with pytest.raises(
        StudyError, match=r"another study: expected fit.steps = 10, found fit.steps = 20; choose another"
    ):
        Store(tmp_path, other)
    with pytest.raises(StudyError, match=r"expected data = nothing, found data = \"digits\""):
        Store(tmp_path, {**SPEC, "data": "digits"})


def test_what_matters_comes_first_and_hashes_are_short(tmp_path):
    spec = {"data": 64 * "a", "nets": {"base": "x", "deep": "y"}, "scale": "smoke", "about": {"data": "digits"}}
    Store(tmp_path, spec).write(make_record())
    Store(tmp_path, {**spec, "about": {"data": "the same under another name"}})
    other = {"data": 64 * "b", "nets": {"base": "z", "deep": "z"}, "scale": "full", "about": {"data": "cifar10"}}
    with pytest.raises(StudyError) as caught:
        Store(tmp_path, other)
    assert (
        'another study: expected scale = "smoke", data = digits (aaaaaaaa...), found scale = "full", data = cifar10 '
        "(bbbbbbbb...) (and 2 more: nets.base, nets.deep); choose another folder" in str(caught.value)
    )


def test_donors_bind_their_folder(tmp_path):
    (tmp_path / "donors").mkdir()
    with pytest.raises(KeyError), Store(tmp_path, SPEC).begun():
        raise KeyError
    Store(tmp_path, {**SPEC, "data": "digits"})
    (tmp_path / "donors" / "net-0").mkdir()
    with pytest.raises(KeyError), Store(tmp_path, {**SPEC, "data": "digits"}).begun():
        raise KeyError
    with pytest.raises(StudyError, match="another study"):
        Store(tmp_path, SPEC)


def test_a_study_that_failed_before_its_first_cell_binds_no_other(tmp_path):
    with pytest.raises(KeyError), Store(tmp_path, SPEC).begun():
        raise KeyError
    mended = {**SPEC, "data": "digits"}
    Store(tmp_path, mended).write(make_record())
    with pytest.raises(KeyError), Store(tmp_path, mended).begun():
        raise KeyError
    assert Store(tmp_path).spec == mended
    with pytest.raises(StudyError, match="another study"):
        Store(tmp_path, SPEC)


def test_a_fit_under_way_binds_its_folder(tmp_path):
    (tmp_path / "unfinished").mkdir()
    with pytest.raises(KeyError), Store(tmp_path, SPEC).begun():
        raise KeyError
    with pytest.raises(StudyError, match="another study"):
        Store(tmp_path, {**SPEC, "data": "digits"})


def test_the_engine_is_not_part_of_what_a_study_is(tmp_path):
    values = {"name": "n", "data": "digits", "donors": {"a": "zoo:x", "b": "zoo:y"}}
    Store(tmp_path, parse_spec({**values, "engine": "local"})).write(make_record())
    Store(tmp_path, parse_spec({**values, "engine": "ray"}))
    with pytest.raises(StudyError, match="seeds"):
        Store(tmp_path, parse_spec({**values, "seeds": [0, 1]}))


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"is not a study: expected a folder with study\.json"):
        Store(tmp_path)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "0123456789abcdef.json").write_text("{}")
    with pytest.raises(StudyError, match="records of unknown origin"):
        Store(tmp_path, SPEC)


def sealed_bytes(body):
    """A file that its digest vouches for, whatever it holds."""
    return body + f',"digest":"{of(body)}"}}'.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a digest at its end, found none"),
        (sealed_bytes(b"{]"), "expected JSON"),
        (sealed_bytes(b"[" * 100_000), "expected JSON"),
        (
            sealed_bytes(b'{"version":9,"cell":"x","config":{},"metrics":[],"provenance":{}'),
            "version 2, found version 9",
        ),
        (sealed_bytes(b'{"version":2,"cell":"x"'), "expected 'config' in it, found none"),
        (json.dumps(make_record()), "expected a digest at its end, found none"),
        (Record.of(make_record()).to_json(), "expected the cell 0123456789abcdef, found the cell"),
    ],
)
def test_a_corrupt_or_foreign_file_is_named_and_set_aside(tmp_path, content, message):
    store = Store(tmp_path, SPEC)
    store.write(make_record())
    path = tmp_path / "cells" / "0123456789abcdef.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StudyError, match=message) as caught:
        store.records()
    assert str(path) in str(caught.value)
    held = store.look()
    assert held.records == [make_record()]
    assert list(held.damaged) == held.missing == ["0123456789abcdef"]
    with pytest.warns(SetAside, match=message):
        assert store.kept("0123456789abcdef") is None
    assert [p.name for p in store.set_aside()] == ["0123456789abcdef.json.aside-1"]
    assert store.records() == [make_record()]


@pytest.mark.parametrize(
    "name", [".nfs0001", ".DS_Store", "notes.txt", "0123456789abcdef.json~", "x.json", "sub/x.json"]
)
def test_files_of_other_programs_are_passed_over(tmp_path, name):
    (tmp_path / "cells" / name).parent.mkdir(parents=True)
    (tmp_path / "cells" / name).write_text("hello")
    Store(tmp_path, SPEC).write(make_record())
    assert Store(tmp_path, SPEC).records() == [make_record()]
    assert (tmp_path / "cells" / name).read_text() == "hello"


def test_unknown_and_impossible_cells(tmp_path):
    store = Store(tmp_path, SPEC)
    with pytest.raises(StudyError, match="not in"):
        store.read("0" * 16)
    with pytest.raises(StudyError, match="names no cell: expected 16 hex digits"):
        store.has("../../etc/passwd")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"Cannot make the folder .*; choose another folder"):
        Store(tmp_path / "file" / "study", SPEC)


def test_a_full_disk_is_met_before_the_work(tmp_path):
    """A limit on file sizes makes the writes of a child process fail as a full disk does."""
    code = (
        "import resource, sys\n"
        "from modelstitch.study.store import Store\n"
        "from modelstitch.errors import StudyError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    Store(sys.argv[1], {'name': 'x'})\n"
        "except StudyError as error:\n    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True
    )
    assert "Cannot write" in run.stdout
    assert "free some space" in run.stdout
    assert list((tmp_path / "s").iterdir()) == []


def test_importing_the_store_does_not_import_torch():
    code = "import sys, modelstitch.study.store, modelstitch.study.spec; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_temp_files_of_killed_runs_are_passed_over_and_cleaned(tmp_path):
    store = Store(tmp_path, SPEC)
    store.write(make_record())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
    dead = tmp_path / "cells" / f".tmp-{host}-{ended.pid}-abc"
    live = tmp_path / "cells" / f".tmp-{host}-{os.getpid()}-abc"
    elsewhere_new = tmp_path / "cells" / ".tmp-otherhost-1-new"
    elsewhere_old = tmp_path / "cells" / ".tmp-otherhost-1-old"
    for path in (dead, live, elsewhere_new, elsewhere_old):
        path.write_text("{half")
    os.utime(elsewhere_old, (1, 1))
    assert store.records() == [make_record()]
    assert Store(tmp_path, SPEC).records() == [make_record()]
    assert [p.exists() for p in (dead, live, elsewhere_new, elsewhere_old)] == [False, True, True, False]


def test_a_folder_that_another_run_has_just_removed_is_clean(tmp_path):
    assert clean(tmp_path / "unfinished") == []


@pytest.mark.slow
def test_kill_9_leaves_only_whole_records(tmp_path):
    """A child writes records without end and is killed; nothing that is there is half."""
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_store import make_record, SPEC\n"
        "from modelstitch.study.store import Store\n"
        "store = Store(sys.argv[1], SPEC)\n"
        "seed = 0\n"
        "while True:\n    store.write(make_record(seed)); seed += 1\n"
    )
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        child = Other(code, folder, Path(__file__).parent, folder=tmp_path, said=tmp_path / f"said {attempt}")
        cells = folder / "cells"
        soon(lambda cells=cells: len(list(cells.glob("*.json"))) > 3)
        child.kill()
        records = Store(folder, SPEC).records()
        assert len(records) > 3
        assert records == sorted((make_record(r.seed) for r in records), key=lambda r: r["cell"])
        assert not [p for p in cells.iterdir() if p.suffix != ".json"]


def test_equal_results_leave_times_aside():
    one, two = make_record(), make_record()
    two["provenance"] |= {"date": "2027-02-02", "seconds": 99.0}
    one["metrics"].append({"metric": "seconds", "value": 1.0, "low": None, "high": None, "unit": "s"})
    assert equal_results(one, two)
    for change in ({"penalty": 1.6}, {"seed": 1}):
        assert not equal_results(one, make_record(**change))
    two["provenance"]["torch"] = "3"
    assert not equal_results(one, two)


def test_export_and_back(tmp_path):
    store = Store(tmp_path / "s", SPEC)
    with pytest.raises(StudyError, match="nothing to export"):
        records_to_parquet(store.records(), tmp_path / "r.parquet")
    donors = {"a<b>é": {"weights": "random, seed 0", "view": "", "error": 3.0, "fit_error": None}}
    for seed in range(3):
        store.write({**make_record(seed), "history": [[1, 0.5]], "donors": donors})
    bare = make_record(9)
    del bare["notes"], bare["correct"]
    store.write(bare)
    records_to_parquet(store.records(), tmp_path / "r.parquet")
    assert {r.donors["a<b>é"].weights for r in store.records() if r.donors} == {"random, seed 0"}
    assert records_from_parquet(tmp_path / "r.parquet") == store.records()


def test_what_is_no_table_of_records(tmp_path):
    with pytest.raises(StudyError, match="expected a Parquet file of records"):
        records_from_parquet(tmp_path / "missing.parquet")
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(StudyError, match="expected a Parquet file of records"):
        records_from_parquet(tmp_path / "x.parquet")
    import polars

    polars.DataFrame({"cell": ["a"]}).write_parquet(tmp_path / "y.parquet")
    with pytest.raises(StudyError, match="is not a table of records: expected the columns version, cell"):
        records_from_parquet(tmp_path / "y.parquet")


def _swap(table):
    return pl.concat([table.tail(1), table.slice(1, 1), table.head(1)])


TABLES = {
    "a row less": (lambda t: t.head(2), "rows of .* changed since they were written"),
    "a row twice": (lambda t: pl.concat([t, t.head(1)]), "rows of .* changed since they were written"),
    "another order": (_swap, "rows of .* changed since they were written"),
    "a number": (lambda t: t.with_columns(pl.col("metrics").str.replace("1.5", "7.5")), "rows of .* changed since"),
    "another digest": (lambda t: t.with_columns(table=pl.lit("0" * 64)), "rows of .* changed since"),
    "another column": (lambda t: t.rename({"table": "uable"}), "found another, uable, too"),
    "a column of bytes": (lambda t: t.with_columns(pl.col("notes").cast(pl.Binary)), "expected notes as String"),
    "a nested column": (lambda t: t.drop("table").with_columns(more=pl.lit("[" * 10_000)), "holds a broken row"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "why"), TABLES.values(), ids=TABLES)
def test_a_changed_table_is_refused(tmp_path, change, why):
    store = Store(tmp_path / "s", SPEC)
    for seed in range(3):
        store.write(make_record(seed))
    records_to_parquet(store.records(), tmp_path / "t.parquet")
    assert records_from_parquet(tmp_path / "t.parquet") == store.records()
    table = pl.read_parquet(tmp_path / "t.parquet")
    change(table).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(StudyError, match=why):
        records_from_parquet(tmp_path / "t.parquet")
    table.drop("table").write_parquet(tmp_path / "t.parquet")  # of before, or changed on purpose
    assert records_from_parquet(tmp_path / "t.parquet") == store.records()


def test_what_the_plan_does_not_name_is_stale(tmp_path):
    store = Store(tmp_path, SPEC)
    old, new = make_record(0), make_record(1)
    store.plan([old["cell"]])
    store.write(old)
    store.plan([new["cell"]])
    store.write(new)
    held = Store(tmp_path).look()
    assert held.records == [new]
    assert held.stale == [old["cell"]]
    assert held.missing == []
    assert "1 cell is left out: the plan does not name them" in held.cautions[0]
    assert [p.stem for p in store.stale()] == [old["cell"]]
    assert store.remove_stale() == [f"{old['cell']}.json"]
    assert Store(tmp_path).look().stale == []
    assert store.records() == [new]


def test_without_a_plan_nothing_is_removed_and_two_networks_of_one_name_are_refused(tmp_path):
    store = Store(tmp_path, SPEC)
    for print_ in ("f1", "f2"):
        config = {"bottom": {"name": "a", "fingerprint": print_}, "top": {"name": "b", "fingerprint": "f3"}}
        store.write({"cell": cell_hash(config), "config": config, "metrics": [], "provenance": {}})
    with pytest.raises(StudyError, match="has no plan"):
        store.remove_stale()
    with pytest.raises(StudyError, match="cells of two networks named 'a' and no plan"):
        store.look()


def test_a_plan_may_come_part_by_part(tmp_path):
    store, records = Store(tmp_path, SPEC), [make_record(seed) for seed in range(5)]
    cells = [record["cell"] for record in records]
    for record in records:
        store.write(record)
    store.for_part("one").plan(cells[:2])
    assert Store(tmp_path).look().stale == []  # what was there before any plan belongs to the study
    (tmp_path / "planned" / f"{name_of('')}.json").unlink()
    (tmp_path / "planned" / ".nfs0001").touch()
    store.for_part("two").plan(cells[1:3])
    held = Store(tmp_path).look()
    assert {record.cell for record in held.records} == set(cells[:3])
    assert (held.planned, held.stale) == (True, sorted(cells[3:]))
    store.for_part("one").plan([*cells[3:], "0" * 16])  # its networks were trained anew
    held = Store(tmp_path).look()
    assert (held.stale, held.missing) == ([cells[0]], ["0" * 16])
    assert store.remove_stale() == [f"{cells[0]}.json"]


def test_a_part_that_stays_is_not_written_again(tmp_path):
    store = Store(tmp_path, SPEC)
    store.for_part("one").plan(["0" * 16])
    (path,) = (tmp_path / "planned").iterdir()
    before = path.stat().st_ino
    store.for_part("one").plan(["0" * 16])
    assert path.stat().st_ino == before
    path.write_text("{")
    with pytest.raises(StudyError, match="cannot be believed"):
        store.planned()
    store.for_part("one").plan(["0" * 16])
    assert store.planned() == ["0" * 16]


def test_a_run_that_fails_before_its_first_cell_leaves_no_plan(tmp_path):
    store = Store(tmp_path, SPEC)

    def failing():
        with store.begun():
            store.for_part("one").plan(["0" * 16])
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert not (tmp_path / "planned").exists()
    Store(tmp_path, {"name": "another"})


@pytest.mark.parametrize("name", ["planned.json", "study.json"])
def test_a_changed_byte_in_the_plan_or_the_spec_is_found(tmp_path, name):
    store = Store(tmp_path, SPEC)
    store.write(make_record())
    store.plan([make_record()["cell"]])
    path = tmp_path / name
    text = path.read_bytes()
    path.write_bytes(text.replace(b"0", b"1", 1))
    with pytest.raises(RecordError, match=rf"{name} cannot be believed"):
        Store(tmp_path).look()
    with pytest.warns(SetAside, match="study.json is not believed") if name == "study.json" else nullcontext():
        again = Store(tmp_path, SPEC)
    again.plan([make_record()["cell"]])
    assert again.records() == [make_record()]
    assert path.read_bytes() == text


@pytest.mark.parametrize("name", ["planned.json", "study.json"])
def test_where_the_name_of_the_digest_changed_it_is_found(tmp_path, name):
    store = Store(tmp_path, SPEC)
    store.plan([])
    path = tmp_path / name
    path.write_bytes(path.read_bytes().replace(b"digest", b"dIgest"))
    with pytest.raises(RecordError, match=rf"{name} cannot be believed: .* found it has no digest"):
        Store(tmp_path).look()


@pytest.mark.parametrize("name", ["planned.json", "study.json"])
def test_the_whole_plan_or_spec_of_another_study_is_found(tmp_path, name):
    for folder, seed in (("one", 0), ("two", 1)):
        Store(tmp_path / folder, {**SPEC, "seeds": [seed]}).plan([])
    shutil.copy(tmp_path / "two" / name, tmp_path / "one" / name)
    with pytest.raises(
        StudyError, match=r"planned\.json is the plan of another study: expected that of study\.json beside it"
    ):
        Store(tmp_path / "one").look()


def test_a_study_json_of_another_program_stays(tmp_path):
    (tmp_path / "study.json").write_text("mine")
    with pytest.raises(RecordError, match="cannot be believed"):
        Store(tmp_path, SPEC)
    assert (tmp_path / "study.json").read_text() == "mine"


def test_of_two_studies_at_once_one_is_refused(tmp_path):
    other = FolderIdentity(tmp_path, {**SPEC, "seeds": [1]})  # it looked before the first one wrote
    Store(tmp_path, SPEC)
    with pytest.raises(StudyError, match=r"another study: expected seeds = \[0\]"):
        other.claim()


def test_a_file_is_created_once_by_all_that_try(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda n: create(tmp_path / "x", str(n).encode()), range(64)))
    assert sum(made) == 1
    assert (tmp_path / "x").read_bytes() == str(made.index(True)).encode()
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_file_is_created_once_without_links_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    assert create(tmp_path / "x", b"1")
    assert not create(tmp_path / "x", b"2")
    assert (tmp_path / "x").read_bytes() == b"1"


def test_only_its_creator_takes_study_json_away_and_not_from_another_at_work(tmp_path):
    first, second = Store(tmp_path, SPEC), Store(tmp_path, SPEC)
    with first.begun():
        with pytest.raises(KeyboardInterrupt), second.begun():
            raise KeyboardInterrupt
        assert (tmp_path / "study.json").is_file()
        assert len(present(tmp_path / "running")) == 1
    with second.begun(), pytest.raises(KeyError), first.begun():
        raise KeyError
    assert (tmp_path / "study.json").is_file()
    with pytest.raises(KeyError), first.begun():
        raise KeyError
    assert not (tmp_path / "study.json").exists()
    second.write(make_record())
    assert Store(tmp_path).records() == [make_record()]


def test_a_folder_that_another_study_has_taken_meanwhile_gets_no_cell(tmp_path):
    first = Store(tmp_path, SPEC)
    (tmp_path / "study.json").unlink()
    Store(tmp_path, {**SPEC, "seeds": [1]})
    with pytest.raises(StudyError, match="another study"):
        first.write(make_record())


def test_a_cell_written_anew_while_its_file_was_set_aside_stays(tmp_path, monkeypatch):
    store = Store(tmp_path, SPEC)
    store.write(make_record())
    path = tmp_path / "cells" / f"{make_record()['cell']}.json"
    good, real = path.read_bytes(), identity.set_aside
    path.write_bytes(b"{")

    def late(where, why):
        where.write_bytes(good)  # another run has been here just before
        return real(where, why)

    monkeypatch.setattr(identity, "set_aside", late)
    with pytest.warns(SetAside):
        assert store.kept(make_record()["cell"]) == make_record()
    assert [p.name for p in (tmp_path / "cells").iterdir()] == [path.name]


def test_a_process_is_there_for_as_long_as_it_works(tmp_path):
    folder = tmp_path / "running"
    assert present(folder) == []
    with working(folder) as one:
        assert present(folder) == [one.name]
        with working(folder) as two:
            assert present(folder) == sorted([one.name, two.name])
        assert present(folder) == [one.name]
    assert not folder.exists()


def test_also_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), working(tmp_path / "running"):
        1 / 0  # noqa: B018
    assert present(tmp_path / "running") == []


def test_one_that_was_killed_counts_no_longer(tmp_path):
    folder = tmp_path / "running"
    code = (
        f"from pathlib import Path; from modelstitch.study.store import working; w = "
        f"working(Path({str(folder)!r})); w.__enter__(); import os; os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=60
    )
    assert ended.returncode < 0
    assert list(folder.iterdir())
    assert present(folder) == []


def test_a_whole_study_needs_no_words():
    assert Holdings({}, [1], {}, [], [], True).cautions == []


def test_what_is_left_out_or_unproved_is_said():
    found = Holdings({}, [1], {"00ff": "expected JSON, found nothing"}, ["00ff"], ["a", "b"], True).cautions
    assert found[0] == (
        "The cell 00ff is left out: expected JSON, found nothing; the next run sets it aside and runs the cell again."
    )
    assert found[1].startswith("2 cells are left out: the plan does not name them")
