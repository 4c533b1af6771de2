"""The head fitted to frozen features, against scikit-learn."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from modelstitch.data.load import load_data
from modelstitch.errors import FitError
from modelstitch.zoo.linear import features, fit_linear
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import error_rate


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_the_linear_head_is_the_optimum_and_leaves_the_body(digits):
    net = build("small-resnet?width=8").eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fit_linear(net, digits)
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"head.weight", "head.bias"}
    x, y = features(net, digits, "fit")
    x_test, y_test = features(net, digits, "test")
    scaler = StandardScaler().fit(x.numpy())
    peers = []
    for penalty in (1e-5, 1e-4, 1e-3, 1e-2):
        peer = LogisticRegression(C=1 / (2 * penalty * len(x)), max_iter=2000)
        peer.fit(scaler.transform(x.numpy()), y.numpy())
        peers.append(100 * float((peer.predict(scaler.transform(x_test.numpy())) != y_test.numpy()).mean()))
    assert min(abs(error_rate(net, digits, "test") - peer) for peer in peers) < 1.0


def test_features_are_what_enters_the_head(digits):
    net = build("small-resnet?width=4").eval()
    x, y = features(net, digits, "test")
    assert x.dtype == torch.float64
    batch = next(digits.batches("test", 7))
    with torch.no_grad():
        assert torch.allclose(net.head(x[:7].float()), net(batch.inputs), atol=1e-5)
    assert torch.equal(y[:7], batch.labels)
    assert isinstance(net.head, torch.nn.Linear)


def test_the_error_it_gives_is_that_on_the_validation_split(digits):
    net = build("small-resnet?width=4").eval()
    assert fit_linear(net, digits) == pytest.approx(error_rate(net, digits, "val"), abs=0.5)


def test_a_head_that_is_no_linear_layer_is_refused(digits):
    net = build("small-resnet?width=4")
    net.head = torch.nn.Identity()
    with pytest.raises(FitError, match="The head must be a linear layer, found Identity"):
        fit_linear(net, digits)
