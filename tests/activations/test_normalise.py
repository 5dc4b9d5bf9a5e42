import math

import pytest
import torch

from monosema.activations import geometric_median, rms_norm
from monosema.errors import InputError


def test_rms_norm_is_the_root_of_the_mean_squared_norm():
    x = torch.randn(100, 7, generator=torch.Generator().manual_seed(0)) * 3
    assert rms_norm(x) == pytest.approx(math.sqrt(x.double().square().sum(dim=1).mean()), rel=1e-12)
    assert rms_norm(x / rms_norm(x)) == pytest.approx(1, rel=1e-6)
    assert rms_norm(torch.tensor([[3.0, 4.0]])) == 5


def test_rms_norm_of_half_precision_does_not_overflow():
    assert rms_norm(torch.full((10, 4), 60000.0, dtype=torch.float16)) == 120_000  # its square is beyond float16


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(4, 3), "only zeros"),
        (torch.empty(0, 3), "no activations"),
        (torch.tensor([[float("nan")]]), "NaN"),
        (torch.tensor([[float("inf")]]), "infinity"),
    ],
)
def test_what_has_no_scale_is_refused(x, says):
    with pytest.raises(InputError, match=says):
        rms_norm(x)


def gradient(x, point):
    """The gradient of the sum of distances, per row: zero at the geometric median."""
    difference = point - x
    return (difference / difference.norm(dim=1, keepdim=True)).mean(dim=0)


def test_the_geometric_median_has_no_gradient():
    x = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).exp()
    assert gradient(x, x.mean(dim=0)).norm() > 0.01
    assert gradient(x, geometric_median(x, tolerance=1e-12)).norm() < 1e-9


def test_float32_agrees_with_float64():
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(2)).exp()
    exact = geometric_median(x.double(), tolerance=1e-12).float()
    torch.testing.assert_close(geometric_median(x), exact, rtol=1e-4, atol=1e-4)


def test_a_row_at_the_mean_does_not_hold_the_median_there():
    x = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1], [0, 0], [60, 0], [10, 0]], dtype=torch.float64)
    assert torch.equal(x.mean(dim=0), x[-1])
    assert gradient(x, geometric_median(x, tolerance=1e-12)).norm() < 1e-9


@pytest.mark.parametrize("max_steps", [10, 11])
def test_a_point_with_most_of_the_rows_is_the_median_and_is_not_left_again(max_steps):
    x = torch.zeros(100, 3)
    x[0] = torch.tensor([5.0, 1.0, -2.0])
    torch.testing.assert_close(geometric_median(x, tolerance=0.0, max_steps=max_steps), x[1])


def test_a_few_wild_rows_do_not_carry_it_away():
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(3))
    x[:10] += 1e6
    assert geometric_median(x).norm() < 1
    assert x.mean(dim=0).norm() > 1e4


def test_rows_that_coincide_are_no_trouble():
    point = torch.tensor([1.0, -2.0, 3.0])
    assert torch.equal(geometric_median(point.expand(10, 3)), point)
    assert torch.equal(geometric_median(point[None]), point)
    mostly = torch.cat([point.expand(9, 3), torch.zeros(3, 3)])
    torch.testing.assert_close(geometric_median(mostly), point, rtol=1e-4, atol=1e-4)
    symmetric = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])  # the mean is a row
    torch.testing.assert_close(geometric_median(symmetric), torch.zeros(2))


def test_half_precision_gives_float32_and_no_rows_are_refused():
    assert geometric_median(torch.ones(4, 2, dtype=torch.bfloat16)).dtype == torch.float32
    with pytest.raises(InputError, match="no rows"):
        geometric_median(torch.empty(0, 3))
