"""The head of a network fitted to its frozen features: logistic regression, solved to convergence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.data import Data, Split
from ..errors import FitError
from .train import place

_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)  # of the squared weights on standardised features, per sample


def fit_linear(module: nn.Module, data: Data, *, device: torch.device | str = "cpu") -> float:
    """Fit ``module.head`` in place on the eval-mode features of the fit split; the body is not changed.

    The penalty on the weights is chosen on the validation split. Features are standardised for the solver;
    the scaling is folded into the head, which stays an ordinary linear layer.

    Returns:
        The validation error of the chosen head, in percent.
    """
    head = module.head
    if not isinstance(head, nn.Linear):
        raise FitError(f"The head must be a linear layer, found {type(head).__name__}.")
    module.eval()
    x, y = features(module, data, "fit", device=device)
    x_val, y_val = features(module, data, "val", device=device)
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    best: tuple[float, Tensor, Tensor] | None = None
    for penalty in _PENALTIES:
        weight, bias = _solve((x - mean) / scale, y, head.out_features, penalty)
        wrong = (((x_val - mean) / scale @ weight.T + bias).argmax(1) != y_val).double().mean()
        error = 100 * float(wrong)
        if best is None or error <= best[0]:  # of equals the stronger penalty, the simpler map
            best = (error, weight, bias)
    assert best is not None
    error, weight, bias = best
    with torch.no_grad():
        head.weight.copy_(weight / scale)
        head.bias.copy_(bias - (weight / scale) @ mean)
    return error


def features(
    module: nn.Module, data: Data, split: Split, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """What enters the head, float64 (n, d) on the CPU, and the labels (n,); the module is left as it was."""
    head = module.head
    module.head = nn.Identity()
    try:
        with torch.no_grad():
            pairs = [
                (module(place(batch.inputs, device, False)).double().cpu(), batch.labels)
                for batch in data.batches(split, 512)
            ]
    finally:
        module.head = head
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


def _solve(x: Tensor, y: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = cross_entropy(x @ weight.T + bias, y) + penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
