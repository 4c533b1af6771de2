"""A model as a file: it computes what the model does, or is refused."""

import pytest
import torch
from torch import nn

from modelstitch.errors import StitchError
from modelstitch.stitched import exported
from modelstitch.stitched.exported import engine_of, running, write_program


@pytest.fixture
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 5)).eval()


@pytest.mark.slow
@pytest.mark.parametrize("ending", exported.ENDINGS)
def test_a_file_computes_what_the_model_does_at_any_size(model, ending, tmp_path):
    path = tmp_path / f"a/model{ending}"
    write_program(model, (torch.randn(2, 1, 8, 8),), path, "net")
    for n in (1, 7):
        x = torch.randn(n, 1, 8, 8)
        torch.testing.assert_close(torch.as_tensor(running(path, (x,))()), model(x), rtol=1e-4, atol=1e-5)
    assert engine_of(path).startswith("onnxruntime" if ending == ".onnx" else f"torch {torch.__version__}")


def test_a_file_that_computes_otherwise_is_not_left(model, tmp_path, monkeypatch):
    other = torch.export.export(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), (torch.randn(2, 1, 8, 8),))
    true = exported._saved
    monkeypatch.setattr(exported, "_saved", lambda program: true(other))
    with pytest.raises(StitchError, match=r"net as \.pt2 computes otherwise: expected outputs within a thousandth"):
        write_program(model, (torch.randn(2, 1, 8, 8),), tmp_path / "model.pt2", "net")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(model, tmp_path):
    with pytest.raises(StitchError, match=r"has no known ending: expected \.onnx or \.pt2"):
        write_program(model, (), tmp_path / "model.bin", "net")

    class Looks(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(
        StitchError, match=r"net cannot be exported to \.pt2 .*: expected operations that torch exports"
    ):
        write_program(Looks(), (torch.randn(2, 3),), tmp_path / "model.pt2", "net")
