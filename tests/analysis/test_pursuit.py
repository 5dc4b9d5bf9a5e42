"""Codes from a search are never worse than the encoder's, for every wiring and map."""

from dataclasses import replace

import pytest
import torch
from scipy.optimize import nnls

from monosema.analysis import Pursued, Pursuit, best_codes
from monosema.dictionaries import Dictionary, TopK, activation_functions
from monosema.errors import InputError
from monosema.evaluation import evaluate_rows

from .dictionaries import autoencoder, cross_layer, crosscoder, transcoder

D, WIDTH = 12, 24
POINTS = ("a", "b")
WIRED = {
    "autoencoder": lambda: autoencoder("a", D),
    "blocks": lambda: autoencoder("a", D, encoder="block_diagonal", decoder="block_diagonal", blocks=3),
    "normalised": lambda: autoencoder("a", D, normalisation="layer_norm"),
    "transcoder": lambda: transcoder("a", "b", D),
    "skip": lambda: transcoder("a", "b", D, skip=True),
    "crosscoder": lambda: crosscoder(POINTS, D),
    "cross-layer": lambda: cross_layer((POINTS, ("c", "d")), D),
}


def rows_of(dictionary: Dictionary) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two batches of what it reads and should write: its own outputs, and noise."""
    generator, batches = torch.Generator().manual_seed(5), []
    for _ in range(2):
        x = torch.randn(20, dictionary.spec.d_in, generator=generator, dtype=torch.float64)
        noise = torch.randn(20, dictionary.spec.d_out, generator=generator, dtype=torch.float64)
        batches.append((x, x if dictionary.spec.writes_what_it_reads else dictionary(x).detach() + 3 * noise))
    return batches


@pytest.mark.parametrize("wired", WIRED)
def test_better_values_and_better_features_explain_more(wired: str):
    dictionary = WIRED[wired]()
    rows = rows_of(dictionary)
    of_encoder = evaluate_rows(dictionary, rows).metrics
    explained = {}
    for refit_only in (True, False):
        found = Pursued(dictionary, Pursuit(refit_only=refit_only))
        both = [(x if dictionary.spec.writes_what_it_reads else torch.cat([x, y], 1), y) for x, y in rows]
        measured = evaluate_rows(found, both).metrics
        assert measured.l0 <= of_encoder.l0
        explained[refit_only] = measured.fve
    assert of_encoder.fve < explained[True] <= explained[False] + 1e-9


@pytest.mark.parametrize("wired", WIRED)
def test_refitted_codes_are_the_least_squares_of_the_encoders_features(wired: str):
    dictionary = WIRED[wired]()
    (x, y), _ = rows_of(dictionary)
    own = dictionary.encode(x)
    found = best_codes(dictionary, x, y, Pursuit(refit_only=True)).to_dense()
    assert ((found != 0) <= (own != 0)).all()
    nothing = dictionary.decode(torch.zeros_like(own), x)
    for row in range(len(x)):
        units = torch.eye(dictionary.spec.width, dtype=torch.float64)[own[row] > 0]
        made = dictionary.decode(units, x[row].expand(len(units), -1)) - nothing[row]
        _, least = nnls(made.detach().numpy().T, (y[row] - nothing[row]).detach().numpy())
        error = (y[row] - dictionary.decode(found[row : row + 1], x[row : row + 1])).norm()
        assert least - 1e-9 <= error <= least + 1e-2 * y[row].norm()


@pytest.mark.parametrize("wired", ["autoencoder", "transcoder"])
def test_its_codes_are_the_same_in_every_form(wired: str):
    found = Pursued(WIRED[wired](), Pursuit(k=4))
    x = torch.randn(2, 5, found.spec.d_in, dtype=torch.float64)
    dense, flat = found.encode(x), x.flatten(0, 1)
    torch.testing.assert_close(found.encode_sparse(flat).to_dense(), dense.flatten(0, 1))
    torch.testing.assert_close(found.active_entries(flat).to_dense(), dense.flatten(0, 1))


def test_k_takes_the_place_of_the_encoders_number_of_features():
    dictionary = autoencoder("a", D)
    (x, _), _ = rows_of(dictionary)
    assert (best_codes(dictionary, x, x, Pursuit(k=3)).offsets.diff() <= 3).all()


def test_its_own_reconstruction_is_found_with_no_error():
    dictionary = autoencoder("a", 40, 24)  # fewer features than dimensions: one way to write each vector
    x = torch.randn(10, 40, dtype=torch.float64)
    codes = dictionary.encode(x)
    y = dictionary.decode(codes)
    found = best_codes(replace_input(dictionary, x, codes), x, y, Pursuit(k=24)).to_dense()
    torch.testing.assert_close(dictionary.decode(found), y, atol=1e-2, rtol=0)


def replace_input(dictionary: Dictionary, x: torch.Tensor, codes: torch.Tensor) -> Dictionary:
    """As a transcoder, which may write something other than it reads."""
    spec = replace(dictionary.spec, wiring="transcoder", writes=("b",))
    made = Dictionary(spec, dictionary.activation).double().eval()
    made.load_state_dict(dictionary.state_dict())
    torch.testing.assert_close(made.encode(x), codes)
    return made


def test_negative_codes_are_found_where_the_activation_function_has_them():
    dictionary = autoencoder("a", D)
    dictionary.activation = activation_functions["abs_topk"](WIDTH, 4)
    x = torch.randn(30, D, dtype=torch.float64)
    found = best_codes(dictionary, x, x).to_dense()
    assert (found < 0).any()
    dictionary.activation = TopK(WIDTH, 4)
    assert (best_codes(dictionary, x, x).to_dense() >= 0).all()


def test_what_should_be_written_must_fit():
    with pytest.raises(InputError, match="should write"):
        best_codes(transcoder("a", "b", D), torch.randn(3, D).double(), torch.randn(3, D + 1).double())
