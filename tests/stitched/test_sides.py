"""A saved stitch is whole.

It runs again in another process, without its donors being rebuilt by hand, to the last bit.
"""

import copy
import json
import os
import pickle
import time
from functools import cache

import pytest
import torch
from torch import nn

from modelstitch import Network, Normalise, Stitched, load
from modelstitch.errors import NetworkError, SourceError, StitchError
from modelstitch.models.load import register
from modelstitch.stitchers import Affine, Site, family_of
from modelstitch.support import hashing
from others import Other, soon, told

SMALL = "zoo:small-resnet?width=6"


def affine(bottom, top, at="block2", seed=0, **more):
    """A stitched model with a drawn map."""
    below, above = bottom.layer(at), top.layer(at)
    weight = torch.randn(above.channels, below.channels, generator=torch.Generator().manual_seed(seed))
    stitcher = Affine(Site(below.channels, above.channels, above.kind), weight, weight[:, 0].clone())
    return Stitched(bottom, top, at, at, stitcher, family="affine", **more)


@cache
def traced(seed, by_name):
    net = load(SMALL, seed=seed, name=f"small{seed}")
    return net if by_name else Network(net.module, torch.zeros(2, 1, 8, 8))


def own(seed=0, view=None):
    """A network of one's own, with no name to load it by."""
    net = traced(seed, False).named("own")
    net.view = view
    return net


def named(seed=0, view=None):
    net = traced(seed, True).named(f"small{seed}")
    if view is not None:
        net.view = view
    return net


def images(n=5):
    return torch.randint(256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)


def doubled(images):
    return images * 2


def how(folder):
    """How each side is kept."""
    config = json.loads((folder / "stitch.json").read_text())
    return config["bottom"]["by"], config["top"]["by"]


SIDES = {
    "both by name": (named, lambda: named(1), ("name", "name")),
    "own networks": (own, lambda: own(1, Normalise(0.5, 0.25)), ("part", "part")),
    "one of each": (lambda: named(view=Normalise(0.4, 2.0)), own, ("name", "part")),
}


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("bottom", "top", "kept"), SIDES.values(), ids=SIDES)
def test_it_is_loaded_without_its_donors(tmp_path, bottom, top, kept, whole):
    s = affine(bottom(), top())
    s.save(tmp_path, whole=whole)
    assert how(tmp_path) == (("part", "part") if whole else kept)
    again = Stitched.load(tmp_path)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(again(x), s(x))
    assert torch.equal(again.predict(images()), s.predict(images()))
    assert again.seam == s.seam
    assert torch.equal(again.collapsed()(x), again(x))
    again.save(tmp_path / "again")
    assert torch.equal(Stitched.load(tmp_path / "again").predict(images()), s.predict(images()))


@pytest.mark.slow
def test_prediction_is_what_was_measured(pair, digits):
    bottom, top = (Network(n.module, torch.zeros(2, 1, 8, 8), n.name, view=Normalise(0.1, 1.5)) for n in pair)
    s = affine(bottom, top, "block1")
    error = s.measure(digits)["error"]
    raw = torch.stack([digits.dataset("test")[i][0] for i in range(digits.size("test"))])
    wrong = s.predict(raw).argmax(1) != digits.labels("test")
    assert 100 * wrong.double().mean().item() == pytest.approx(error, abs=1e-9)


@pytest.mark.slow
def test_another_process_predicts_the_same_bits(tmp_path):
    cases = {
        "named": affine(named(), named(1)),
        "own": affine(own(), own(1, Normalise(0.5, 0.25)), statistics={"bottom.stem.1.mean": torch.ones(6)}),
    }
    for name, s in cases.items():
        s.save(tmp_path / name)
    code = (
        "import sys, torch; from modelstitch import Stitched; torch.set_num_threads(1)\n"
        "x = torch.load('x.pt')\n"
        "torch.save({n: Stitched.load(n).predict(x) for n in sys.argv[1:]}, 'y.pt')\n"
    )
    torch.save(images(), tmp_path / "x.pt")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        told(code, *cases, folder=tmp_path)
        found = torch.load(tmp_path / "y.pt")
        for name, s in cases.items():
            assert torch.equal(found[name], s.predict(images())), name
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_changed_model_is_kept_as_it_stands(tmp_path):
    """By name only what the name gives; what its owner changed since, in place or in type, is kept whole."""
    bottom, top = named(), named(1)
    moved = affine(bottom, top, statistics={"bottom.stem.1.mean": torch.ones(6), "top.head.mean": torch.ones(6)})
    moved.save(tmp_path / "moved")
    assert how(tmp_path / "moved") == ("name", "name")
    assert torch.equal(Stitched.load(tmp_path / "moved").predict(images()), moved.predict(images()))

    wide = copy.deepcopy(affine(bottom, top)).double()
    wide.save(tmp_path / "wide")
    assert how(tmp_path / "wide") == ("part", "part")
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(Stitched.load(tmp_path / "wide")(x), wide(x))

    changed = affine(load(SMALL, seed=2), named(3))
    changed.bottom.body.get_parameter("stem.0.weight").data.mul_(2)
    changed.save(tmp_path / "changed")
    assert how(tmp_path / "changed") == ("part", "name")
    assert torch.equal(Stitched.load(tmp_path / "changed").predict(images()), changed.predict(images()))


def test_donors_that_are_given_are_checked_and_used(tmp_path, pair, digits):
    s = affine(*pair)
    s.save(tmp_path)
    again = Stitched.load(tmp_path, *pair)
    assert again.measure(digits) == s.measure(digits)
    with pytest.raises(StitchError, match=r"has not its donors with it.* Stitched.load\(folder, bottom, top\)"):
        Stitched.load(tmp_path).measure(digits)
    with pytest.raises(SourceError, match="The top 'zero' is not the network this map was fitted for"):
        Stitched.load(tmp_path, top=pair[0])


@pytest.mark.slow
def test_a_donor_that_its_name_no_longer_gives_is_refused(tmp_path):
    weights = tmp_path / "weights.pt"
    torch.save(load(SMALL, seed=4).module.state_dict(), weights)
    s = affine(load(SMALL, weights=weights, name="filed"), named(1))
    s.save(tmp_path / "s")
    assert torch.equal(Stitched.load(tmp_path / "s").predict(images()), s.predict(images()))
    torch.save(load(SMALL, seed=5).module.state_dict(), weights)
    with pytest.raises(SourceError) as error:
        Stitched.load(tmp_path / "s")
    assert "had by its name 'zoo:small-resnet?width=6', is not the network this map was fitted for" in str(error.value)
    weights.unlink()
    with pytest.raises(
        SourceError, match=r"The bottom 'filed' cannot be had by its name .*weights\.pt.*give the network"
    ) as error:
        Stitched.load(tmp_path / "s")
    assert "\n" not in str(error.value)


def test_functions_of_ones_own_are_kept_whole(tmp_path):
    def made_here():
        return load(SMALL, seed=6).module, torch.zeros(2, 1, 8, 8)

    register(made_here)
    s = affine(load("import:made_here"), named())
    s.save(tmp_path)
    assert how(tmp_path) == ("part", "name")
    config = json.loads((tmp_path / "stitch.json").read_text())
    config["bottom"] |= {"by": "name", "recipe": {"spec": "import:made_here"}}
    (tmp_path / "stitch.json").write_text(json.dumps(hashing.sealed(config)))
    with pytest.raises(SourceError, match="no code is run that a file names"):
        Stitched.load(tmp_path)


class TestViews:
    @pytest.mark.slow
    def test_code_is_asked_for_again(self, tmp_path):
        s = affine(own(view=doubled), own(1, Normalise(0.5, 0.25)))
        s.save(tmp_path)
        again = Stitched.load(tmp_path)
        assert torch.equal(again(torch.zeros(1, 1, 8, 8)), s(torch.zeros(1, 1, 8, 8)))
        with pytest.raises(
            SourceError, match=r"The view of 'own' was a function of your own, .*load\(folder, view=...\)"
        ):
            again.predict(images())
        for view in (doubled, {"bottom": doubled}):
            assert torch.equal(Stitched.load(tmp_path, view=view).predict(images()), s.predict(images()))

    def test_one_that_is_kept_is_not_replaced_by_chance(self, tmp_path):
        affine(own(view=Normalise(0.5, 0.25)), named()).save(tmp_path)
        with pytest.raises(SourceError, match="holds the views of both sides"):
            Stitched.load(tmp_path, view=doubled)
        with pytest.raises(SourceError, match="view= names 'left'"):
            Stitched.load(tmp_path, view={"left": doubled})
        with pytest.raises(SourceError, match="view= names 'top'"):
            Stitched.load(tmp_path, top=named(), view={"top": doubled})
        replaced = Stitched.load(tmp_path, view={"bottom": doubled, "top": doubled}).predict(images())
        assert torch.equal(replaced, affine(own(view=doubled), named(view=doubled)).predict(images()))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "spec", ["timm:resnet10t?classes=5&size=64", "timm:resnet10t?classes=5&size=64&dtype=float64"]
    )
    def test_a_librarys_own_comes_back(self, tmp_path, spec):
        net = load(spec, weights="random", name="timm")
        s = affine(net, net, "layer1")
        raw = torch.randint(256, (2, 3, 70, 90), dtype=torch.uint8)
        for whole in (False, True):
            s.save(tmp_path / str(whole), whole=whole)
            assert how(tmp_path / str(whole)) == (("part", "part") if whole else ("name", "name"))
            assert torch.equal(Stitched.load(tmp_path / str(whole)).predict(raw), s.predict(raw))


def test_a_pickled_one_still_predicts(tmp_path):
    s = affine(own(view=Normalise(0.5, 0.25)), own(1))
    again = pickle.loads(pickle.dumps(s))
    assert torch.equal(again.predict(images()), s.predict(images()))
    lost = pickle.loads(pickle.dumps(affine(own(view=doubled), own(1))))
    with pytest.raises(SourceError, match="The view of 'own' was a function of your own"):
        lost.predict(images())


class Strange(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.b(torch.linalg.matrix_exp(torch.diag_embed(self.a(x))).sum(1))


def test_a_donor_that_cannot_be_kept_has_to_be_given(tmp_path):
    net = Network(Strange().eval(), torch.zeros(2, 3), "strange")
    s = Stitched(net, net, "a", "a", family_of("identity")[0](Site(3, 3, "vector")), family="identity")
    s.save(tmp_path)
    assert how(tmp_path) == ("part", "hand")
    x = torch.randn(4, 3)
    assert torch.equal(Stitched.load(tmp_path, top=net)(x), s(x))
    with pytest.raises(
        SourceError, match=r"The top 'strange' is not in the folder \(a part of it computes aten.linalg_matrix_exp"
    ):
        Stitched.load(tmp_path)
    with pytest.raises(
        NetworkError, match=r"'strange' cannot be kept whole: a part of it computes aten\.linalg_matrix_exp"
    ):
        s.save(tmp_path, whole=True)
    assert torch.equal(Stitched.load(tmp_path, top=net)(x), s(x)), "the old one stays"


def test_a_changed_bit_in_any_file_is_refused(tmp_path):
    affine(own(view=Normalise(0.5, 0.25)), own(1), statistics={"top.block3.1.mean": torch.ones(6)}).save(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == [f"{part}.safetensors" for part in ("bottom",)] + [
        "statistics.safetensors",
        "stitch.json",
        "stitcher.safetensors",
        "top.safetensors",
    ]
    draw = torch.Generator().manual_seed(0)
    for file in files:
        whole = file.read_bytes()
        for _ in range(25):
            at, bit = (int(torch.randint(n, (1,), generator=draw)) for n in (len(whole), 8))
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with pytest.raises(SourceError) as error:
                Stitched.load(tmp_path)
            assert "\n" not in str(error.value)
        file.write_bytes(whole)
    Stitched.load(tmp_path)


@pytest.mark.slow
def test_a_part_of_another_stitch_is_refused(tmp_path):
    affine(own(), own(1)).save(tmp_path / "s")
    affine(own(2), own(3)).save(tmp_path / "other")
    os.replace(tmp_path / "other" / "top.safetensors", tmp_path / "s" / "top.safetensors")
    with pytest.raises(SourceError, match=r"top\.safetensors is of another stitch"):
        Stitched.load(tmp_path / "s")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_kill_leaves_the_old_stitch_or_the_new(tmp_path):
    old, new = affine(own(), own(1), seed=1), affine(own(2), own(3), seed=2)
    old.save(tmp_path / "s")
    outcomes = [s.predict(images()) for s in (old, new)]
    torch.save((old, new), tmp_path / "both.pt")
    code = (
        "import torch\n"
        "old, new = torch.load('both.pt', weights_only=False)\n"
        "print('go', flush=True)\n"
        "while True:\n"
        "    new.save('s')\n"
        "    old.save('s')\n"
    )
    for pause in (0.0, 0.031):
        child = Other(code, folder=tmp_path, said=tmp_path / f"said {pause}")
        soon(lambda child=child: child.said.read_text() == "go\n")
        time.sleep(pause)
        child.kill()
        found = Stitched.load(tmp_path / "s").predict(images())
        assert any(torch.equal(found, outcome) for outcome in outcomes)
    new.save(tmp_path / "s")
    assert torch.equal(Stitched.load(tmp_path / "s").predict(images()), outcomes[1])


def test_a_foreign_description_is_refused_in_one_sentence(tmp_path):
    affine(named(), own(1)).save(tmp_path)
    whole = json.loads((tmp_path / "stitch.json").read_text())
    changes = {
        "cannot be had by its name": lambda c: c["bottom"].update(
            recipe={"spec": "zoo:small-resnet", "code": "print()"}
        ),
        "The type 'load' is unknown": lambda c: c["bottom"].update(recipe={"spec": SMALL, "dtype": "load"}),
        "kept by 'pickle'": lambda c: c["top"].update(by="pickle"),
        "is unknown: expected 'normalise' or 'published'": lambda c: c["top"].update(view={"view": "os.system"}),
        "is unknown": lambda c: c["top"].update(
            view={"view": "published", "library": "os", "settings": {}, "channels": 3}
        ),
        "no view": lambda c: c["top"].update(view={"view": "tokens"}),
        "none of transformers' own": lambda c: c["top"].update(
            view={
                "view": "published",
                "library": "transformers",
                "settings": {"image_processor_class": "AutoModel"},
                "channels": 3,
            }
        ),
        "another part than a top": lambda c: c["files"].update(top=c["files"]["stitcher"]),
        "holds no stitch": lambda c: c.pop("top"),
        "found tuple index out of range": lambda c: c["top"]["layout"].__setitem__(1, []),
    }
    for why, change in changes.items():
        config = copy.deepcopy(whole)
        change(config)
        (tmp_path / "stitch.json").write_text(json.dumps(hashing.sealed(config)))
        with pytest.raises(StitchError) as error:
            Stitched.load(tmp_path)
        assert "\n" not in str(error.value)
        if why != "another part than a top":
            assert why in str(error.value)
