"""What a scale names is there, also at the scale that no test can run."""

import pytest
import torch

from modelstitch.models.load import load
from modelstitch.paper.scales import MEDIUM, SCALES, SMALL
from modelstitch.zoo.nets import build


@pytest.mark.slow
@pytest.mark.parametrize("role", ["base", "deep"])
@pytest.mark.parametrize("name", SCALES)
def test_the_layers_of_a_scale_are_exact_cuts(name, role):
    scale = SCALES[name]
    wanted = {scale.middle, *scale.three} if role == "base" else set(scale.three_deep)
    net = load(f"zoo:{scale.nets[role]}", meta=True)
    assert wanted <= set(net.cuts)
    assert len(set(scale.early_middle_late(role))) == 3


@pytest.mark.parametrize("name", SCALES)
def test_more_is_more_at_every_scale(name):
    scale = SCALES[name]
    assert 1 > scale.share("much") > scale.share("some") > scale.share("little") > 0
    sizes = []
    for role in ("eighth", "quarter", "half", "base", "double"):
        with torch.device("meta"):
            module = build(scale.nets[role])
        sizes.append(sum(p.numel() for p in module.parameters()))
    assert sizes == sorted(set(sizes))


def test_curves_of_one_role_may_have_fewer_pairs():
    assert MEDIUM.pairs("2a", ("base", "base")) == 4
    assert MEDIUM.pairs("2a", ("vit", "vit")) == 2
    assert MEDIUM.pairs("3c", ("double", "quarter")) == 4
    assert MEDIUM.pairs("6", ("deep", "deep")) == 2
    assert SMALL.pairs("2a", ("vit", "vit")) == SMALL.repeats
