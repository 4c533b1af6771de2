"""The public docstrings: every parameter has its words, what is returned is said, and the examples run.

In the examples of methods stand ``net`` (of the example of ``Network``), and a pair of networks of the digits,
``bottom`` and ``top``, with their ``data``; a reader of the pages meets them on the first one.
"""

import doctest
import inspect
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.zoo.nets import build

LISTED = {name: getattr(ms, name) for name in ms._PLACES}
IN_ROOMS = {
    "arrays.Aligner": ms.arrays.Aligner,
    "arrays.anchors": ms.arrays.anchors,
    "arrays.rehearse": ms.arrays.rehearse,
    "moments.Moments": ms.moments.Moments,
    "stitchers.check": ms.stitchers.check,
    "measures.check": ms.measures.check,
    "study.pool": ms.study.pool,
    **{f"report.{name}": found for name in ms.report.__all__ if inspect.isfunction(found := getattr(ms.report, name))},
}
SELF_EXPLAINING = {"StitchError"}


def public():
    """Every public function, class and method, by its written name."""
    for name, thing in (LISTED | IN_ROOMS).items():
        if name in SELF_EXPLAINING:
            continue
        yield name, thing
        for key, member in vars(thing).items() if inspect.isclass(thing) else ():
            plain = inspect.unwrap(getattr(member, "__func__", member))
            if not key.startswith("_") and inspect.isfunction(plain):
                yield f"{name}.{key}", plain


PUBLIC = dict(public())


def parameters(thing):
    given = inspect.signature(thing).parameters.values()
    return [p.name for p in given if p.name not in ("self", "cls") and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_does_in_one_line(name):
    first = (inspect.getdoc(PUBLIC[name]) or "").partition("\n")[0]
    assert first.endswith("."), first
    assert len(first.split()) <= 18, first


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_has_its_words(name):
    names = parameters(PUBLIC[name])
    if len(names) < 2:
        return
    text = inspect.getdoc(PUBLIC[name])
    section = text.partition("Args:")[2] or text.partition("Attributes:")[2]
    assert [p for p in names if not re.search(rf"^ +{p}: ", section, re.M)] == []


@pytest.mark.parametrize("name", [n for n, thing in PUBLIC.items() if not inspect.isclass(thing)])
def test_what_is_returned_is_said(name):
    thing = PUBLIC[name]
    if inspect.signature(thing).return_annotation in ("None", None) or len(parameters(thing)) < 2:
        return
    assert re.search(r"^(Returns|Yields):$", inspect.getdoc(thing), re.M)


@pytest.fixture(scope="module")
def names():
    data = ms.load_data("digits")
    x = next(data.batches("val", 2)).inputs
    bottom, top = (
        ms.Network(build("small-resnet?width=8&blocks=3", seed=seed).eval(), x, name)
        for seed, name in enumerate(("bottom", "top"))
    )
    small = ms.Network(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.zeros(2, 4), "small")
    return {"ms": ms, "torch": torch, "nn": nn, "net": small, "data": data, "bottom": bottom, "top": top}


EXAMPLES = sorted(
    {
        (thing.__module__, test.name)
        for thing in (LISTED | IN_ROOMS).values()
        for test in doctest.DocTestFinder().find(thing, thing.__qualname__, module=sys.modules[thing.__module__])
        if test.examples
    }
)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), EXAMPLES, ids=[name for _, name in EXAMPLES])
def test_an_example_runs_as_it_stands(module, name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = name.partition(".")[0]
    thing = getattr(sys.modules[module], first)
    found = doctest.DocTestFinder().find(thing, first, module=sys.modules[module], globs=dict(names))
    (test,) = [test for test in found if test.name == name]
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=told.append)
    assert not runner.failures, "".join(told)


def test_no_text_has_roles_that_the_site_would_show_raw():
    root = Path(ms.__file__).parent
    found = [str(path) for path in root.rglob("*.py") if re.search(r":[a-z]+:`", path.read_text(encoding="utf-8"))]
    assert found == []
