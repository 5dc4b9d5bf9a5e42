"""Matching pursuit against its loop, written out row by row in float64."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import Dictionary, MatchingPursuit, Spec, load, save
from monosema.errors import InputError
from monosema.kernels import matching_pursuit
from tests.dictionaries.strategies import quick, random
from tests.same import same

D, WIDTH = 6, 15
SPEC = Spec(D, D, WIDTH, subtracts_input_bias=True)


def directions(seed: int = 3) -> Tensor:
    drawn = random(seed, WIDTH, D)
    return drawn / drawn.norm(dim=1, keepdim=True)


def steps(x: Tensor, rows: Tensor) -> Iterator[tuple[int, float, float]]:
    """What each round takes of one vector, without end: which direction, how much of it, and the norm of the rest."""
    while True:
        products = rows @ x
        best = int(products.argmax())
        value = max(products[best].item(), 0.0)
        x = x - value * rows[best]
        yield best, value, x.norm().item()


def by_the_book(x: Tensor, rows: Tensor, rounds: int, residual: float, stop_at_repeat: bool) -> Tensor:
    codes = torch.zeros(len(rows), dtype=x.dtype)
    for _, (best, value, left) in zip(range(rounds), steps(x, rows), strict=False):
        repeated = codes[best] != 0 or value == 0
        codes[best] += value
        if (stop_at_repeat and repeated) or left < residual:
            break
    return codes


def made(rounds: int = D, residual: float = 0.3) -> Dictionary:
    dictionary = Dictionary(SPEC, MatchingPursuit(WIDTH, rounds, residual)).double().eval()
    dictionary.W_dec.data.copy_(directions())
    dictionary.W_enc.data.copy_(dictionary.W_dec.mT)
    dictionary.b_dec.data.copy_(random(5, D))
    return dictionary


@quick
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.0, 0.2, 1.0]), st.booleans())
def test_codes_are_those_of_the_loop(seed: int, rounds: int, residual: float, stop: bool):
    x, rows = random(seed, 5, D), directions(seed + 1)
    found = matching_pursuit(x, rows, rounds=rounds, residual=residual, stop_at_repeat=stop)
    expected = torch.stack([by_the_book(row, rows, rounds, residual, stop) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_each_round_shortens_what_is_left():
    x, rows = random(1, 20, D), directions()
    lengths = [(x - matching_pursuit(x, rows, rounds=n, stop_at_repeat=False) @ rows).norm(dim=1) for n in range(1, 9)]
    for before, after in zip([x.norm(dim=1), *lengths], lengths, strict=False):
        assert (after <= before + 1e-12).all()


def test_what_the_residual_is_above_gets_one_round():
    x, rows = random(1, 9, D), directions()
    assert ((matching_pursuit(x, rows, rounds=D, residual=1e9) != 0).sum(1) == 1).all()


def test_a_row_is_the_same_alone_and_in_any_form():
    dictionary, x = made(), random(2, 4, 3, D)
    codes = dictionary.encode(x)
    flat = x.flatten(0, 1)
    torch.testing.assert_close(dictionary.encode(x[0, 0]), codes[0, 0])
    torch.testing.assert_close(dictionary.encode_sparse(flat).to_dense(), codes.flatten(0, 1))
    torch.testing.assert_close(dictionary.active_entries(flat).to_dense(), codes.flatten(0, 1))
    torch.testing.assert_close(dictionary(x), codes @ dictionary.W_dec + dictionary.b_dec)


def test_gradients_are_those_of_the_loop():
    x, rows = random(4, 3, D), directions()
    assert torch.autograd.gradcheck(
        lambda x, rows: matching_pursuit(x, rows, rounds=3, residual=0.1), (x.requires_grad_(), rows.requires_grad_())
    )


def test_it_is_homogeneous_when_rescaled():
    dictionary, x = made(), random(6, 8, D)
    codes = dictionary.encode(x)
    dictionary.activation.rescale_(7.0)
    dictionary.b_dec.data.mul_(7)
    torch.testing.assert_close(dictionary.encode(7 * x), 7 * codes)


def test_it_is_saved_and_loaded(tmp_path: Path):
    dictionary = made(rounds=4)
    save(dictionary, tmp_path)
    back = load(tmp_path)
    assert same(back, dictionary)
    assert back.activation.options() == {"rounds": 4, "stop_at_repeat": True}
    x = random(7, 5, D)
    assert torch.equal(back.encode(x), dictionary.encode(x))


@pytest.mark.parametrize(
    "options", [{"rounds": 0}, {"rounds": 10**6}, {"rounds": 2.5}, {"rounds": 3, "residual": -1.0}]
)
def test_impossible_options_are_refused(options: dict):
    with pytest.raises(InputError, match="1 to 65536 rounds"):
        MatchingPursuit(WIDTH, **options)


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(InputError, match=r"pre-activations alone.*encode_sparse"):
        made().activation(random(0, 2, WIDTH))
    blocks = Spec(D, D, WIDTH, encoder="block_diagonal", blocks=3)
    with pytest.raises(InputError, match="a dense encoder"):
        Dictionary(blocks, MatchingPursuit(WIDTH, 2)).encode(torch.zeros(1, D))
