"""Random weights are said beside every name: on pages, in tables of the terminal, for similarity and matrix."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from synthetic import make_records

import modelstitch as ms
from modelstitch.records.record import DonorFacts, as_records
from modelstitch.report.marks import mark, marked, with_weights
from modelstitch.report.page import page


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("random, seed 3", "net (random)"),
        ("random, seed 3, bfloat16", "net (random)"),
        ("random head of 10 classes, seed 0; the rest: timm x, sha256 0123", "net (random head)"),
        ("timm x, sha256 0123", "net"),
        ("", "net"),
    ],
)
def test_mark(weights: str, name: str) -> None:
    assert mark("net", weights) == name


@pytest.mark.slow
def test_a_page_says_it_beside_every_name() -> None:
    plain = as_records(make_records())
    name = plain[0].top.name
    facts = {name: DonorFacts(weights="random, seed 0")}
    said = [dataclasses.replace(record, donors=facts) for record in plain]
    assert {r.top.name for r in marked(said)} == {
        f"{r.top.name}{' (random)' if r.top.name == name else ''}" for r in plain
    }
    assert marked(plain) == plain
    html = page(said, title="t")
    arrow = "\N{RIGHTWARDS ARROW}"
    assert f"{name} (random)" in html
    assert f"{arrow} {name}<" not in html


@pytest.mark.slow
def test_similarity_and_matrix(digits: ms.Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (ms.load("zoo:small-resnet?width=4", seed=seed, name=f"net {seed}") for seed in (0, 1))
    two = two.replaced(two.module, "given")
    layers = (["block1"], ["block1"])
    found = ms.similarity(one, two, digits, measures=["cka"], layers=layers, samples=60, shuffles=0)
    matrix = ms.matrix(one, two, digits, layers=layers, samples=60)
    assert found.weights == matrix.weights == {"net 0": "random, seed 0", "given": two.weights}
    for each in (found, matrix):
        html = each.report(tmp_path / "page.html").read_text()
        assert "net 0 (random)" in html
        assert two.weights in html
        assert "given (random" not in html
        table = with_weights(each.frame, each.weights)
        assert table["bottom_weights"].unique().to_list() == ["random, seed 0"]
        assert table["top_weights"].unique().to_list() == [two.weights]
