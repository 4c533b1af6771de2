"""The random control is random all over, its statistics are those of the data, and a half-hearted one is caught."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import Subset

import modelstitch as ms
from modelstitch.engine.controls.classnoise import ClassNoise
from modelstitch.engine.controls.random import (
    BatchStatistics,
    calibrate,
    frozen_norms,
    reinitialise,
    reset_norm,
    still_trained,
)
from modelstitch.errors import MeasureError


def test_every_parameter_changes_and_the_donor_does_not(modules):
    trained = modules[0]
    kept = {name: p.clone() for name, p in trained.named_parameters()}
    state = torch.get_rng_state()
    fresh = reinitialise(trained, 3)
    assert still_trained(trained, fresh) == []
    assert all(torch.equal(p, kept[name]) for name, p in trained.named_parameters())
    assert torch.equal(torch.get_rng_state(), state)
    again = reinitialise(trained, 3)
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), again.parameters(), strict=True))


def test_resetting_direct_children_only_is_found_out(modules):
    import copy

    half = copy.deepcopy(modules[0])
    for child in half.children():
        if hasattr(child, "reset_parameters"):
            child.reset_parameters()
    kept = still_trained(modules[0], half)
    assert "block1.conv1.weight" in kept
    assert "head.weight" not in kept


class Stubborn(nn.Linear):
    def reset_parameters(self):
        if self.weight.abs().sum() == 0 or not hasattr(self, "made"):
            super().reset_parameters()
            self.made = True


def test_what_no_step_has_moved_from_a_fresh_start_is_no_trace_of_training():
    trained = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    assert still_trained(trained, reinitialise(trained, 1)) == []  # its scale is 1 and its shift 0, as ever
    nn.init.constant_(trained[1].weight, 2.0)
    kept = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    nn.init.constant_(kept[1].weight, 2.0)
    assert still_trained(trained, kept) == ["1.weight"]


def test_a_network_drawn_from_the_same_seed_is_drawn_anew():
    torch.manual_seed(5)
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    fresh = reinitialise(module, 5)
    assert still_trained(module, fresh) == []
    assert torch.equal(reinitialise(module, 5)[0].weight, fresh[0].weight)


def test_a_module_that_does_not_reset_is_an_error():
    module = nn.Sequential(Stubborn(4, 4))
    module[0].made = True
    with pytest.raises(MeasureError, match=r"kept 2 trained parameters, the first is '0\.weight'"):
        reinitialise(module, 0)


class Keeps(nn.Linear):
    """Holds on to what it computed: tensors that are no leaves."""

    def forward(self, x):
        self.last = super().forward(x)
        self.all = {"seen": [self.last]}
        return self.last


COMPUTED = {
    "kept activation": lambda: Keeps(6, 4),
    "weight_norm": lambda: torch.nn.utils.weight_norm(nn.Linear(6, 4)),
    "spectral_norm": lambda: torch.nn.utils.spectral_norm(nn.Linear(6, 4)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(6, 4), "weight", 0.5),
    "weight_norm as parametrization": lambda: torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)),
    "spectral_norm as parametrization": lambda: torch.nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4)),
}


@pytest.mark.parametrize("make", COMPUTED.values(), ids=COMPUTED)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_module_that_holds_computed_tensors(make):
    module, x = nn.Sequential(make(), nn.Linear(4, 2)), torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    module.train()(x)
    trained = module.eval()(x)
    fresh = reinitialise(module, 0)
    assert still_trained(module, fresh) == []
    assert torch.equal(module(x), trained)
    assert not torch.equal(fresh(x), trained)
    assert fresh(x).abs().max() < 10  # norms are those of the new weights


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_spectral_norm_of_new_weights_is_one():
    for name in ("spectral_norm", "spectral_norm as parametrization"):
        module = nn.Sequential(COMPUTED[name]())
        module(torch.ones(2, 6))
        fresh = reinitialise(module, 0)
        fresh(torch.ones(2, 6))
        assert abs(torch.linalg.matrix_norm(fresh[0].weight.detach(), 2) - 1) < 0.01, name


def test_calibrated_statistics_are_those_of_the_data():
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 5 + 2
    calibrate(module, x.split(100))
    assert torch.allclose(module[0].running_mean, x.mean(0), atol=1e-4)
    assert torch.allclose(module[0].running_var, torch.stack([b.var(0) for b in x.split(100)]).mean(0), rtol=1e-4)
    assert not module[0].training


class Frozen(nn.Module):
    """A BatchNorm as detectors freeze it: all of it are buffers."""

    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


def test_a_frozen_batchnorm_is_reset_and_calibrated_as_a_live_one():
    trained = nn.Sequential(nn.Linear(6, 4), Frozen(4), nn.ReLU(), nn.Linear(4, 3), Frozen(3)).eval()
    trained.register_buffer("table", torch.rand(2))
    fresh = reinitialise(trained, 0)
    assert still_trained(trained, fresh) == []
    assert torch.equal(fresh.table, trained.table)
    live = nn.Sequential(
        *(nn.BatchNorm1d(len(part.bias)) if isinstance(part, Frozen) else part for part in fresh)
    ).eval()
    x = torch.randn(5, 20, 6, generator=torch.Generator().manual_seed(0))
    calibrate(fresh, x)
    calibrate(live, x)
    for key, value in live.state_dict().items():
        if "tracked" not in key:
            torch.testing.assert_close(fresh.state_dict()[key], value, rtol=1e-5, atol=1e-6)
    fresh[1].weight.copy_(trained[1].weight)
    assert still_trained(trained, fresh) == ["1.weight"]


def test_class_noise_has_the_genuine_scale_and_knows_only_the_label(pair, digits):
    _, top = pair
    send = ClassNoise(top, digits, seed=1).open(["block2"], torch.device("cpu"))
    batches = list(digits.batches("fit", 500))
    noise = torch.cat([send(batch)["block2"] for batch in batches])
    genuine = torch.cat([top.taps(["block2"])(batch.inputs)["block2"] for batch in batches])
    assert torch.allclose(noise.mean((0, 2, 3)), genuine.mean((0, 2, 3)), atol=0.35 * float(genuine.std()))
    ratio = noise.std((0, 2, 3)) / genuine.std((0, 2, 3)).clamp(min=1e-6)
    assert 0.7 < float(ratio.median()) < 1.3
    labels = torch.cat([batch.labels for batch in batches])
    zeros = noise[labels == 0]
    assert float((zeros[0] - zeros[1]).norm()) > 0  # noise differs from sample to sample


def test_class_noise_at_a_layer_does_not_depend_on_the_other_layers_asked_for(pair, digits):
    control = ClassNoise(pair[1], digits, seed=1)
    batch = next(iter(digits.batches("fit", 20)))
    alone = control.open(["block2"], torch.device("cpu"))(batch)["block2"]
    for layers in (["stem", "block1", "block2"], ["block2", "block3"]):
        together = control.open(layers, torch.device("cpu"))(batch)["block2"]
        assert torch.allclose(
            together, alone, rtol=1e-5, atol=1e-6
        )  # the scale is a sum that another graph may order anew


def test_class_noise_knows_a_class_that_the_fit_split_lacks(pair, digits):
    lacking = torch.where(digits.labels("fit") < 9)[0]
    data = ms.Data(Subset(digits.dataset("fit"), lacking.tolist()), digits.dataset("val"), digits.dataset("test"))
    send = ClassNoise(pair[1], data).open(["block2"], torch.device("cpu"))
    batch = next(data.batches("test", 64))
    assert 9 in batch.labels
    assert len(send(batch)["block2"]) == 64


def test_samples_sorted_by_class_give_the_scale_of_all_classes(pair, digits, monkeypatch):
    """The first samples of a sorted split are of one class: their spread is not that of the data."""
    dataset, order = digits.dataset("fit"), digits.labels("fit").argsort()
    data = ms.Data(Subset(dataset, order.tolist()), digits.dataset("val"), digits.dataset("test"), n_classes=10)

    def scales(source):
        return ClassNoise(pair[1], source, seed=1)._scales(["block2"], torch.device("cpu"))["block2"][1]

    wanted = scales(digits)
    monkeypatch.setattr("modelstitch.engine.controls.classnoise.SAMPLES", 90)
    assert (scales(data) - wanted).norm() / wanted.norm() < 0.15  # 0.04; of the first ninety 0.43


class Named(nn.Module):
    """Takes its input by position or by name."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(0.9)

    def forward(self, x, shift=0.0):
        return self.norm(self.drop(x) + shift)


BATCHES = [torch.randn(16, 3, generator=torch.Generator().manual_seed(i)) + i for i in range(4)]


def wanted():
    return torch.stack([x.mean(0) for x in BATCHES]).mean(0), torch.stack([x.var(0) for x in BATCHES]).mean(0)


def test_statistics_are_means_over_the_batches():
    forms = {"positions": lambda x: x, "tuples": lambda x: (x - 1, 1.0), "names": lambda x: {"x": x - 1, "shift": 1.0}}
    for form in forms.values():
        module = Named().eval()
        before = module.norm.weight.clone()
        calibrate(module, [form(x) for x in BATCHES])
        mean, var = wanted()
        assert torch.allclose(module.norm.running_mean, mean, atol=1e-5)  # dropout did not act
        assert torch.allclose(module.norm.running_var, var, atol=1e-5)
        assert module.norm.momentum == 0.3
        assert not any(part.training for part in module.modules())
        assert torch.equal(module.norm.weight, before)
        assert module.norm.weight.grad is None


def test_a_module_in_training_stays_so():
    module = Named().train()
    calibrate(module, BATCHES)
    assert all(part.training for part in module.modules())


def test_without_such_layers_no_batch_is_read():
    calibrate(nn.Linear(3, 3), (1 / 0 for _ in range(1)))


def test_only_layers_that_hold_all_four_as_buffers_are_found():
    module = nn.Sequential(nn.BatchNorm2d(3), Frozen(4), nn.Sequential(Frozen(5)), nn.Conv2d(1, 1, 1))
    assert list(frozen_norms(module)) == ["1", "2.0"]


def test_a_reset_layer_passes_values_on():
    norm = Frozen(3)
    reset_norm(norm)
    x = torch.randn(2, 3, 4, 4)
    assert torch.allclose(norm(x), x, atol=1e-4)


def test_statistics_are_those_of_a_batchnorm_without_momentum():
    batches = [torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(i)) * (i + 1) + i for i in range(3)]
    known, norm = nn.BatchNorm2d(3, momentum=None).train(), Frozen(3)
    reset_norm(norm)
    statistics = BatchStatistics(norm)
    for x in batches:
        assert torch.allclose(norm(x), known(x), atol=1e-4)  # each batch by its own
    statistics.close()
    assert torch.allclose(norm.running_mean, known.running_mean, atol=1e-5)
    assert torch.allclose(norm.running_var, known.running_var, atol=1e-4)
    norm(batches[0])
    assert torch.allclose(norm.running_mean, known.running_mean, atol=1e-5)  # closed: it looks no more


def test_a_layer_that_saw_nothing_keeps_what_it_has():
    norm = Frozen(3)
    norm.running_mean.fill_(7)
    statistics = BatchStatistics(norm)
    norm(torch.randn(1, 3))  # one number a channel has no variance
    statistics.close()
    assert norm.running_mean.tolist() == [7.0] * 3
