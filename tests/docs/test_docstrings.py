"""The public docstrings: every parameter has its words, what is returned is said, and the examples run.

In the examples stand ``net`` (of the example of ``Network``), a pair of networks of the digits, ``bottom`` and ``top``,
with their ``data``, their stitch ``s`` at block2 and its comparison ``r``, a stitch ``lm`` of two language models, and
activations ``x`` (60, 4) and ``y`` (60, 3); a reader of the pages meets them on the first one.
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
import texts
from modelstitch.zoo.nets import build

LISTED = {name: getattr(ms, name) for name in ms.__all__ if name != "__version__"}
SELF_EXPLAINING = {"StitchError"}


def rooms():
    """What is callable of what the package and its public rooms list, by its written name."""
    for name, thing in LISTED.items():
        if not inspect.ismodule(thing):
            yield name, thing
            continue
        for inner in getattr(thing, "__all__", ()):
            if callable(found := getattr(thing, inner)) and inspect.isclass(found) | inspect.isfunction(found):
                yield f"{name}.{inner}", found


THINGS = {name: thing for name, thing in rooms() if name not in SELF_EXPLAINING and not name.startswith("errors.")}


def public():
    """Every public function, class and method, by its written name; what is inherited is said where it is defined."""
    for name, thing in THINGS.items():
        yield name, thing
        for key, member in vars(thing).items() if inspect.isclass(thing) else ():
            plain = inspect.unwrap(getattr(member, "__func__", member))
            if not key.startswith("_") and inspect.isfunction(plain) and not said_above(thing, key, plain):
                yield f"{name}.{key}", plain


def said_above(thing, key, plain):
    return plain.__doc__ is None and any(getattr(vars(base).get(key), "__doc__", None) for base in thing.__mro__[1:])


PUBLIC = dict(public())


def parameters(thing):
    given = inspect.signature(thing).parameters.values()
    return [p.name for p in given if p.name not in ("self", "cls") and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


def test_every_public_name_stands_on_a_reference_page():
    pages = (Path(__file__).parents[2] / "docs" / "reference").glob("*.md")
    shown = {line.split()[1] for page in pages for line in page.read_text().splitlines() if line.startswith(":::")}
    # Where a file has the name of its function the page names both: else it shows the file.
    said = {n for n in THINGS if {f"modelstitch.{n}", f"modelstitch.{n}.{n.split('.')[-1]}"} & shown}
    package = Path(ms.__file__).parent.parent
    assert [name for name in shown if (package / f"{name.replace('.', '/')}.py").is_file()] == ["modelstitch.errors"]
    again = {"arrays.align"}  # as modelstitch.align
    assert set(THINGS) - said == again


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_does_in_one_line(name):
    first = (inspect.getdoc(PUBLIC[name]) or "").partition("\n")[0]
    assert first.endswith("."), first
    assert len(first.split()) <= 18, first


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_has_its_words(name):
    names = parameters(PUBLIC[name])
    text = inspect.getdoc(PUBLIC[name]) or ""
    section = text.partition("Args:")[2] or text.partition("Attributes:")[2]
    said = {part.strip() for line in re.findall(r"^ +([\w, ]+): ", section, re.M) for part in line.split(",")}
    assert [p for p in names if p not in said] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_each_parameter_has_a_line_of_its_own(name):
    """The site reads no others."""
    assert re.findall(r"^    \w+(?:, \w+)+: ", signed(inspect.getdoc(PUBLIC[name]) or ""), re.M) == []


def signed(text):
    """What stands under Args and Attributes."""
    return "".join(re.findall(r"^(?:Args|Attributes):\n((?: .*\n?|\n)*)", text, re.M))


@pytest.mark.parametrize("name", [n for n, thing in PUBLIC.items() if not inspect.isclass(thing)])
def test_what_is_returned_is_said(name):
    thing = PUBLIC[name]
    if inspect.signature(thing).return_annotation in ("None", None):
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
    made = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 4, generator=made)
    likewise = rows @ torch.randn(4, 3, generator=made) + torch.randn(60, 3, generator=made)
    given = {"ms": ms, "torch": torch, "nn": nn, "net": small, "data": data, "bottom": bottom, "top": top}
    return given | {
        "x": rows,
        "y": likewise,
        "s": ms.stitch(bottom, top, "block2", data, objective="match"),
        "r": ms.compare(bottom, top, data, layers="block2", objective="match", controls=()),
        "lm": language(),
    }


def language():
    ids = torch.ones(2, 8, dtype=torch.int64)
    low, high = (ms.Network(texts.small("gpt2", seed), ids, f"gpt{seed}") for seed in (0, 1))
    at, site = "transformer.h.0", ms.stitchers.Site(24, 24, "tokens")
    return ms.Stitched(low, high, at, at, ms.stitchers.FAMILIES["identity"](site), family="identity")


class Hub:
    """What the hub's client does of ``push_to_hub``, without a hub."""

    def __init__(self, token=None):
        pass

    def create_repo(self, repo, private, exist_ok):
        pass

    def upload_folder(self, repo_id, folder_path, commit_message):
        assert (Path(folder_path) / "stitch.json").is_file()
        return f"https://huggingface.co/{repo_id}"


EXAMPLES = sorted(
    {
        (thing.__module__, test.name)
        for thing in THINGS.values()
        for test in doctest.DocTestFinder().find(thing, thing.__qualname__, module=sys.modules[thing.__module__])
        if test.examples
    }
)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name):
    assert ">>> " in (inspect.getdoc(PUBLIC[name]) or "")


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), EXAMPLES, ids=[name for _, name in EXAMPLES])
def test_an_example_runs_as_it_stands(module, name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
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
