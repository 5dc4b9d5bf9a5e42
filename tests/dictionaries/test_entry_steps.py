"""JumpReLU at stored entries: the paper's formulas, entry by entry in float64, however the entries are cut."""

import math

import pytest
import torch
from torch import Tensor

from monosema.dictionaries import step_kernels
from monosema.dictionaries.entry_steps import active_at, jump_at
from monosema.kernels import parts

WIDTH = 7


@pytest.fixture(params=[4, 2**16], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PIECE", request.param)


def density(name: str, u: float) -> float:
    return {
        "rectangle": float(abs(u) < 0.5),
        "triangle": max(1 - abs(u), 0.0),
        "gaussian": math.exp(-u * u / 2) / math.sqrt(2 * math.pi),
        "epanechnikov": 0.75 * max(1 - u * u, 0.0),
    }[name]


def example(entries: int, dtype: torch.dtype, per_feature: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    values = (torch.rand(entries) * 2).to(dtype)
    columns = torch.randint(WIDTH, (entries,))
    threshold = (0.5 + torch.rand(WIDTH)).requires_grad_()
    bandwidth = 0.2 + torch.rand(WIDTH) if per_feature else torch.tensor(0.7)
    return values, columns, threshold, bandwidth


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("per_feature", [True, False])
@pytest.mark.parametrize("kernel", sorted(step_kernels))
@pytest.mark.parametrize("entries", [0, 1, 4, 41])
def test_codes_count_and_gradients_are_the_papers(entries: int, kernel: str, per_feature: bool, dtype: torch.dtype):
    values, columns, threshold, bandwidth = example(entries, dtype, per_feature)
    values.requires_grad_()
    upstream, weight = torch.randn(entries).to(dtype), 1.7

    codes = jump_at(values, columns, threshold, bandwidth, step_kernels[kernel])
    count = active_at(values, columns, threshold, bandwidth, step_kernels[kernel])
    ((codes * upstream).sum().float() + weight * count).backward()

    expected_codes, expected_values, expected = [], [], [0.0] * WIDTH
    for value, column, g in zip(values.tolist(), columns.tolist(), upstream.tolist(), strict=True):
        theta, epsilon = threshold[column].item(), bandwidth.expand(WIDTH)[column].item()
        on = float(value > theta)
        expected_codes.append(on * value)
        expected_values.append(on * g)
        expected[column] -= density(kernel, (value - theta) / epsilon) / epsilon * (theta * g + weight)
    assert codes.dtype == dtype
    torch.testing.assert_close(codes.double(), torch.tensor(expected_codes, dtype=torch.double))
    assert count.item() == sum(code > 0 for code in expected_codes)
    assert values.grad is not None
    assert threshold.grad is not None
    torch.testing.assert_close(values.grad.double(), torch.tensor(expected_values, dtype=torch.double))
    torch.testing.assert_close(
        threshold.grad.double(), torch.tensor(expected, dtype=torch.double), rtol=1e-5, atol=1e-5
    )


def test_thresholds_that_do_not_learn_have_no_gradient():
    values, columns, threshold, bandwidth = example(20, torch.float32, False)
    values.requires_grad_()
    fixed = threshold.detach()
    codes = jump_at(values, columns, fixed, bandwidth, step_kernels["rectangle"])
    count = active_at(values, columns, fixed, bandwidth, step_kernels["rectangle"])
    (codes.sum() + count).backward()
    assert fixed.grad is None
    assert values.grad is not None
    torch.testing.assert_close(values.grad, (codes > 0).float())
