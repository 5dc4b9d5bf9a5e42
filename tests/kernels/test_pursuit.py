"""Pursuit and least squares on a support, against textbook loops in float64 and SciPy's non-negative least squares."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from monosema.errors import InputError
from monosema.kernels import RaggedCodes, nonzero, pursuit
from monosema.kernels.least_squares import descend_, gradient_step_
from monosema.kernels.pursuit import pursue, refit


def directions(width: int, d: int, seed: int = 0) -> torch.Tensor:
    """Unit vectors at random."""
    drawn = vectors(width, d, seed)
    return drawn / drawn.norm(dim=1, keepdim=True)


def vectors(rows: int, d: int, seed: int = 7) -> torch.Tensor:
    """Normal vectors at random."""
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planted(rows: int, width: int, k: int, seed: int = 1) -> torch.Tensor:
    """Codes with k entries between 1 and 2 in each row."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(rows, width, generator=generator).topk(k, dim=1).indices
    values = 1 + torch.rand(rows, k, generator=generator, dtype=torch.float64)
    return torch.zeros(rows, width, dtype=torch.float64).scatter_(1, places, values)


def orthogonal_matching_pursuit(x: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """The textbook's loop: the direction nearest to the residual, then least squares on all chosen ones."""
    codes, chosen = np.zeros(len(rows)), []
    for _ in range(k):
        near = rows @ (x - codes @ rows)
        near[chosen] = -np.inf
        chosen.append(int(near.argmax()))
        codes[chosen] = nnls(rows[chosen].T, x)[0]
    return codes


def test_planted_codes_are_found_again():
    rows, codes = directions(400, 128), planted(20, 400, 5)
    for picks in (1, 4):
        found = pursue(codes @ rows, rows, 5, picks=picks).to_dense()
        torch.testing.assert_close(found, codes, atol=1e-4, rtol=0)


def test_with_one_pick_it_is_orthogonal_matching_pursuit():
    rows, x = directions(60, 24), vectors(40, 24)
    found = pursue(x, rows, 6, picks=1).to_dense()
    wanted = torch.tensor(np.stack([orthogonal_matching_pursuit(row, rows.numpy(), 6) for row in x.numpy()]))
    errors = (x - found @ rows).square().sum(1), (x - wanted @ rows).square().sum(1)
    same = (found - wanted).abs().amax(1) < 1e-3
    assert same.float().mean() >= 0.95  # fits end at a tolerance, which may break a near tie the other way
    assert float(errors[0].mean()) == pytest.approx(float(errors[1].mean()), rel=0.01)


@given(st.integers(0, 1000), st.integers(1, 12))
def test_values_on_a_support_are_those_of_non_negative_least_squares(seed: int, k: int):
    rows, codes = directions(30, 16, seed), planted(6, 30, k, seed + 1)
    x = vectors(6, 16, seed + 2)
    found = refit(x, rows, nonzero(codes)).to_dense()
    for row in range(6):
        support = codes[row].nonzero().squeeze(1)
        wanted, error = nnls(rows[support].numpy().T, x[row].numpy())
        assert (x[row] - found[row] @ rows).norm() == pytest.approx(error, rel=1e-4)
        if k <= 6:  # else several codes may be equally good
            torch.testing.assert_close(found[row, support], torch.tensor(wanted), atol=1e-2, rtol=0)
        assert set(found[row].nonzero().flatten().tolist()) <= set(support.tolist())


def test_of_orthogonal_directions_the_largest_products_are_the_codes():
    rows = torch.linalg.qr(vectors(32, 32)).Q
    x = vectors(50, 32)
    products = x @ rows.T
    best = products.topk(4, dim=1)
    wanted = torch.zeros_like(products).scatter_(1, best.indices, best.values.clamp(min=0))
    for fit in ("least_squares", "gradient"):
        torch.testing.assert_close(pursue(x, rows, 4, fit=fit).to_dense(), wanted)


def test_lengths_of_directions_scale_the_codes_and_no_more():
    rows, x = directions(50, 16), vectors(30, 16)
    lengths = torch.rand(50, dtype=torch.float64) + 0.1
    plain, scaled = pursue(x, rows, 5), pursue(x, rows * lengths[:, None], 5)
    torch.testing.assert_close(scaled.to_dense() * lengths, plain.to_dense())


def test_a_direction_of_length_zero_is_never_chosen():
    rows = directions(8, 16)
    rows[3] = 0
    found = pursue(vectors(20, 16), rows, 8).to_dense()
    assert (found[:, 3] == 0).all()
    assert found.isfinite().all()


@given(st.lists(st.integers(0, 7), min_size=1, max_size=20))
def test_each_row_has_its_own_limit(limits: list[int]):
    x = vectors(len(limits), 12)
    rows, most = directions(20, 12), torch.tensor(limits)
    found = pursue(x, rows, most)
    assert (found.offsets.diff() <= most).all()
    assert (found.values > 0).all()
    for row, limit in enumerate(limits):
        alone = pursue(x[row : row + 1], rows, limit).to_dense()
        torch.testing.assert_close(alone[0], found.to_dense()[row], atol=1e-3, rtol=0)


def test_rows_at_a_time_do_not_change_the_codes(monkeypatch: pytest.MonkeyPatch):
    rows, x, limits = directions(40, 16), vectors(33, 16), torch.arange(33) % 7
    whole = pursue(x, rows, limits)
    monkeypatch.setattr(pursuit, "BUFFER", 1000)
    parts = pursue(x, rows, limits)
    assert torch.equal(whole.offsets, parts.offsets)
    assert torch.equal(whole.columns, parts.columns)
    torch.testing.assert_close(whole.values, parts.values, atol=1e-4, rtol=0)
    torch.testing.assert_close(refit(x, rows, parts).to_dense(), whole.to_dense(), atol=1e-4, rtol=0)


def test_more_entries_never_explain_less():
    rows, x = directions(100, 24), vectors(50, 24)
    errors = [(x - pursue(x, rows, k, picks=1).to_dense() @ rows).square().sum() for k in range(8)]
    assert all(more <= less for less, more in itertools.pairwise(errors))


def test_signed_codes_turn_with_what_they_explain():
    rows, x = directions(40, 16), vectors(20, 16)
    found, turned = pursue(x, rows, 5, signed=True).to_dense(), pursue(-x, rows, 5, signed=True).to_dense()
    torch.testing.assert_close(turned, -found)
    assert (found < 0).any()
    assert (x - found @ rows).norm() <= (x - pursue(x, rows, 5).to_dense() @ rows).norm()


def test_products_in_bfloat16_choose_as_well():
    rows, codes = directions(2000, 64), planted(200, 2000, 8)
    x = codes @ rows + 0.05 * vectors(200, 64)
    exact, fast = pursue(x, rows, 8), pursue(x.float(), rows.float(), 8)
    errors = [(x - found.to_dense().double() @ rows).square().sum() for found in (exact, fast)]
    assert errors[1] <= 1.05 * errors[0]


def test_each_update_lowers_the_error():
    rows, x = directions(12, 24), vectors(10, 24)
    gram, dots = (rows @ rows.T).expand(10, 12, 12), x @ rows.T
    for update in (gradient_step_, lambda *problem: descend_(*problem, sweeps=1)):
        codes, errors = torch.zeros(10, 12, dtype=torch.float64), []
        for _ in range(20):
            update(gram, dots, codes)
            errors.append((x - codes @ rows).square().sum())
        assert all(b <= a + 1e-12 for a, b in itertools.pairwise(errors))
        assert (codes >= 0).all()


def test_no_codes_stay_no_codes():
    empty = RaggedCodes(torch.zeros(4, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0), 9)
    assert len(refit(torch.randn(3, 5), torch.randn(9, 5), empty).values) == 0
    assert len(pursue(torch.randn(3, 5), torch.randn(9, 5), 0).values) == 0


@pytest.mark.parametrize(
    ("x", "rows", "options"),
    [
        (torch.randn(3, 4), torch.randn(8, 5), {"k": 2}),
        (torch.randn(3, 5), torch.randn(8, 5), {"k": 9}),
        (torch.randn(3, 5), torch.randn(8, 5), {"k": -1}),
        (torch.randn(0, 5), torch.randn(8, 5), {"k": 1}),
        (torch.randn(3, 5), torch.randn(8, 5), {"k": 1, "fit": "best"}),
        (torch.randn(3, 5), torch.randn(8, 5), {"k": 1, "picks": 0}),
    ],
)
def test_what_does_not_fit_is_refused(x: torch.Tensor, rows: torch.Tensor, options: dict):
    with pytest.raises(InputError):
        pursue(x, rows, **options)
