"""The plainest networks: shapes, cuts, and that they learn on data of their tasks."""

import pytest
import torch

import modelstitch as ms
from modelstitch.errors import DataError, FitError
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import Recipe, error_rate, train

ADAM = Recipe(steps=60, lr=0.02, optimiser="adamw", schedule="one-cycle", batch_size=50)


@pytest.mark.parametrize(
    ("net", "inputs", "outputs", "cuts"),
    [
        ("mlp?width=8&depth=2&classes=3&in_channels=4", (5, 4), (5, 3), ["layer1", "layer2"]),
        ("fcn?width=4&blocks=2", (5, 1, 8, 12), (5, 3, 8, 12), ["stem", "block1", "block2"]),
    ],
)
def test_shapes_and_cuts(net, inputs, outputs, cuts):
    module = build(net).eval()
    assert module(torch.zeros(inputs)).shape == outputs
    assert set(cuts) <= set(ms.Network(module, torch.zeros(2, *inputs[1:])).cuts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "data", "limit"),
    [
        ("mlp?width=16", "diabetes", None),
        ("fcn?width=4&blocks=1", "shapes", 60),
        ("small-resnet?width=4", "digit-traits", 90),
    ],
)
def test_they_learn_what_labels_of_their_task_tell(tmp_path, net, data, limit):
    data = ms.load_data(data, limit=limit)
    untrained = donor(DonorSpec(net, Recipe(steps=1, lr=1e-6)), data)
    made = donor(DonorSpec(net, ADAM), data, tmp_path)
    assert made.card["test_error"] == pytest.approx(error_rate(made.module, data, "test"))
    assert made.card["test_error"] < 0.8 * untrained.card["test_error"]
    assert made.card["identity"]["task"]["name"] == data.task.name
    again = ms.load(str(made.folder), input_shape=data.sample_shape)
    assert again.output_shape == made.module(next(data.batches("val", 1)).inputs).shape[1:]


def test_data_without_labels_to_learn_are_refused():
    with pytest.raises(DataError, match="of the task embedding, without labels to learn: expected images or vectors"):
        train(build("small-resnet"), ms.load_data("digits", task="embedding"), ADAM)
    with pytest.raises((DataError, FitError), match="expected"):
        train(build("small-resnet?classes=3"), ms.load_data("digit-traits"), ADAM)
