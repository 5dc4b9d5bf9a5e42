"""A neuron's variance is shared out among features without rest."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from monosema.analysis.neuron import NeuronParts, neuron_parts
from monosema.dictionaries import Dictionary, ReLU, Spec, TopK, initialise_
from monosema.errors import InputError

D, OUT, WIDTH, ROWS = 6, 4, 12, 200


def dictionary(kind: str, seed: int = 0) -> Dictionary:
    generator = torch.Generator().manual_seed(seed)
    if kind == "autoencoder":
        made = Dictionary(Spec(D, D, WIDTH, ("x",), ("x",), subtracts_input_bias=True), TopK(WIDTH, 3))
    else:
        made = Dictionary(Spec(D, OUT, WIDTH, ("x",), ("y",), "transcoder", skip=kind == "skip"), ReLU(WIDTH))
    initialise_(made, generator)
    with torch.no_grad():
        made.b_dec.normal_(generator=generator)
        if made.W_skip is not None:
            made.W_skip.normal_(generator=generator)
    return made.eval()


def rows(kind: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, D, generator=generator) + 1
    return x, x if kind == "autoencoder" else torch.randn(ROWS, OUT, generator=generator) + x[:, :OUT]


KINDS = pytest.mark.parametrize("kind", ["autoencoder", "transcoder", "skip"])


def variance_explained(made: Dictionary, x: Tensor, y: Tensor, neuron: int) -> float:
    target, error = y[:, neuron].double(), (y - made(x))[:, neuron].double()
    return 1 - (error.var(correction=0) / target.var(correction=0)).item()


@KINDS
@pytest.mark.parametrize("neuron", [0, 3])
def test_shares_sum_to_the_variance_that_the_reconstruction_explains(kind: str, neuron: int):
    made, (x, y) = dictionary(kind), rows(kind)
    parts = neuron_parts(made, [(x, y)], neuron)
    assert parts.shares.sum().item() + parts.skip == pytest.approx(parts.explained, abs=1e-10)
    assert parts.explained == pytest.approx(variance_explained(made, x, y, neuron), abs=1e-5)
    assert (parts.skip != 0) == (kind == "skip")
    error = (y - made(x))[:, neuron].double()
    fve = 1 - (error.square().mean() / y[:, neuron].double().var(correction=0)).item()
    assert parts.explained - parts.offset == pytest.approx(fve, abs=1e-5)


@KINDS
def test_each_figure_is_what_one_dense_computation_gives(kind: str):
    made, (x, y) = dictionary(kind), rows(kind)
    parts = neuron_parts(made, [(x, y)], 2)
    codes, target = made.encode(x).double(), y[:, 2].double()
    contributions = codes * made.W_dec[:, 2].double()
    error = target - made(x)[:, 2].double()
    both = (target + error - (target + error).mean()).unsqueeze(1)
    shares = (both * (contributions - contributions.mean(0))).mean(0) / target.var(correction=0)
    torch.testing.assert_close(parts.shares, shares, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(parts.weights, made.W_dec[:, 2].detach().double())
    torch.testing.assert_close(parts.density, (codes != 0).double().mean(0))
    fired = (codes != 0).sum(0)
    torch.testing.assert_close(parts.contributions, contributions.sum(0) / fired.clamp_min(1), atol=1e-6, rtol=1e-6)
    assert (parts.rows, parts.neuron) == (ROWS, 2)
    assert parts.mean == pytest.approx(target.mean().item(), rel=1e-6)
    assert parts.variance == pytest.approx(target.var(correction=0).item(), rel=1e-6)


def test_an_autoencoder_s_activations_may_be_one_tensor():
    made, (x, _) = dictionary("autoencoder"), rows("autoencoder")
    assert_close(neuron_parts(made, x, 1), neuron_parts(made, [(x, x)], 1))


def assert_close(one: NeuronParts, other: NeuronParts) -> None:
    for name, value in vars(one).items():
        torch.testing.assert_close(torch.as_tensor(getattr(other, name)), torch.as_tensor(value))


@given(st.lists(st.integers(0, ROWS), max_size=5), st.integers(0, 9))
def test_nothing_depends_on_the_cut_into_batches(cuts: list[int], seed: int):
    made, (x, y) = dictionary("skip", seed), rows("skip", seed)
    edges = [0, *sorted(cuts), ROWS]
    assert_close(neuron_parts(made, [(x, y)], 1), neuron_parts(made, ((x[a:b], y[a:b]) for a, b in pairwise(edges)), 1))


def known(weights: Tensor) -> tuple[Dictionary, Tensor, Tensor]:
    """Features that are independent and read off exactly, and one neuron that mixes them."""
    n = len(weights)
    made = Dictionary(Spec(n, 1, n, ("x",), ("y",), "transcoder"), ReLU(n)).eval()
    made.W_enc, made.W_dec = nn.Parameter(torch.eye(n)), nn.Parameter(weights.unsqueeze(1).clone())
    x = torch.rand(100_000, n) * (torch.rand(100_000, n) < 0.2)
    return made, x, x @ made.W_dec


def test_a_mixture_of_independent_features_is_taken_apart():
    weights = torch.tensor([1.0, -2.0, 0.0, 0.5])
    made, x, y = known(weights)
    parts = neuron_parts(made, [(x, y.detach())], 0)
    assert parts.explained == pytest.approx(1, abs=1e-6)
    expected = weights.double().square() / weights.double().square().sum()
    torch.testing.assert_close(parts.shares, expected, atol=0.02, rtol=0)
    assert parts.top(9).tolist() == [1, 0, 3]
    assert parts.top(1).tolist() == [1]
    assert parts.contributions[1].item() == pytest.approx(-1, abs=0.02)


def test_a_feature_that_does_harm_has_a_negative_share():
    made, x, y = known(torch.tensor([1.0, 1.0]))
    with torch.no_grad():
        made.W_dec[1] = -1.0
    parts = neuron_parts(made, [(x, y.detach())], 0)
    assert parts.shares[0] > 0 > parts.shares[1]


def test_the_dictionary_keeps_its_mode():
    made, data = dictionary("autoencoder").train(), rows("autoencoder")
    assert_close(neuron_parts(made, [data], 0), neuron_parts(made.eval(), [data], 0))
    assert not made.training


@pytest.mark.parametrize(
    ("data", "neuron", "message"),
    [
        (rows("autoencoder"), D, "neuron 6"),
        (rows("autoencoder"), -1, "neuron -1"),
        ((torch.ones(5, D), torch.ones(5, D)), 0, "does not vary"),
        ((torch.full((5, D), torch.nan),) * 2, 0, "not finite"),
        ((torch.ones(0, D), torch.ones(0, D)), 0, "0 rows"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(data: Any, neuron: int, message: str):
    with pytest.raises(InputError, match=message):
        neuron_parts(dictionary("autoencoder"), [data], neuron)
