"""What a decoder could do with better codes than its encoder's: values refitted, or features found by pursuit."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.analysis.vectors import decoder_rows
from monosema.dictionaries import Dictionary, Spec, normalisations
from monosema.errors import InputError
from monosema.kernels import RaggedCodes, SparseCodes, pursue, refit, sparse_decode, to_sparse
from monosema.kernels.pursuit import PICKS, Fit


@dataclass(frozen=True)
class Pursuit:
    """How codes are searched for: see `monosema.kernels.pursue`."""

    k: int | None = None
    """Most active features at each token; None: as many as the encoder has there."""
    fit: Fit = "least_squares"
    """How codes are fitted after each choice."""
    picks: int = PICKS
    """Features chosen for each product with the whole decoder; 1 is the textbook's algorithm."""
    refit_only: bool = False
    """Keep the encoder's features, and find the best values for them."""


def best_codes(
    dictionary: Dictionary,
    x: Float[Tensor, "batch d_in"],
    y: Float[Tensor, "batch d_out"],
    how: Pursuit = Pursuit(),
    rows: Float[Tensor, "width d_out"] | None = None,
) -> RaggedCodes:
    """Codes whose reconstruction is nearer to y than the encoder's, from a search against the decoder.

    Where a greedy search ends worse than the encoder's features with their best values, these are taken.

    Args:
        dictionary: in evaluation mode; of any maps and wiring.
        x: what it reads, which says how many features the encoder has at each token.
        y: what it should write; an autoencoder's x.
        how: what is searched for.
        rows: the decoder's rows, where they are at hand.

    Raises:
        InputError: the activations do not fit.
    """
    spec, signed = dictionary.spec, dictionary.activation.signed
    if y.shape != (len(x), spec.d_out):
        raise InputError(
            f"activations of shape {list(y.shape)}", expected=f"{[len(x), spec.d_out]}, as it should write"
        )
    goal = y.to(dictionary.W_dec.dtype)
    if spec.writes_what_it_reads:
        centre, size = normalisations[spec.normalisation].moments(goal)
        goal = (goal - centre) / torch.where(size > 0, size, 1)
    goal = goal - dictionary.decode_nothing(x)
    rows = decoder_rows(dictionary) if rows is None else rows
    if how.k is not None and not how.refit_only:
        return pursue(goal, rows, how.k, fit=how.fit, picks=how.picks, signed=signed)
    own = dictionary.active_entries(x)
    refitted = refit(goal, rows, own, signed=signed)
    if how.refit_only:
        return refitted
    found = pursue(goal, rows, own.offsets.diff(), fit=how.fit, picks=how.picks, signed=signed)
    errors = [(goal - sparse_decode(codes, rows)).square().sum(1) for codes in (found, refitted)]
    return _by_row(errors[0] <= errors[1], found, refitted)


def _by_row(first: Bool[Tensor, " rows"], a: RaggedCodes, b: RaggedCodes) -> RaggedCodes:
    """Some rows of one, the others of another."""
    parts = [codes.only(mask[codes.rows()]) for codes, mask in ((a, first), (b, ~first))]
    place, order = torch.cat([part.rows() for part in parts]).sort(stable=True)
    columns, values = (torch.cat(each)[order] for each in zip(*(part[1:3] for part in parts), strict=True))
    offsets = torch.searchsorted(place, torch.arange(len(first) + 1, device=place.device))
    return RaggedCodes(offsets, columns, values, a.width)


class Pursued(Dictionary):
    """A dictionary with the best codes that can be found for its decoder, in place of its encoder's.

    To measure it like any other (`evaluate`) shows what the encoder costs: the amortisation gap, because an encoder is
    one guess at the solution of a search. What is not an autoencoder has to know what it should write, and so reads
    that, too: its hook points and, behind them, those that it writes, side by side.

    Args:
        dictionary: in evaluation mode; its tensors are shared.
        how: what is searched for.
    """

    def __init__(self, dictionary: Dictionary, how: Pursuit = Pursuit()):
        with torch.device("meta"):  # it has no weights of its own
            super().__init__(_spec(dictionary.spec), dictionary.activation, dict(dictionary.metadata))
        for name, own in dictionary.named_parameters(recurse=False):
            setattr(self, name, own)
        self.own, self.how = dictionary, how
        self.rows = decoder_rows(dictionary)

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch width"]:
        """Dense codes of activations."""
        return self.active_entries(x.flatten(0, -2)).to_dense().unflatten(0, x.shape[:-1])

    def encode_sparse(self, x: Float[Tensor, "batch d_in"]) -> SparseCodes:
        """The codes of `encode` as indices and values."""
        return to_sparse(self.encode(x))

    def active_entries(self, x: Float[Tensor, "batch d_in"]) -> RaggedCodes:
        """The codes of `encode` as those that are not zero."""
        x = self._checked(x)
        read, wanted = x[:, : self.own.spec.d_in], x[:, -self.own.spec.d_out :]
        return best_codes(self.own, read, wanted, self.how, self.rows)

    def decode(self, codes, x=None):
        """The reconstruction that codes stand for, as the dictionary's own."""
        return self.own.decode(codes, None if x is None else x[..., : self.own.spec.d_in])


def _spec(spec: Spec) -> Spec:
    """What it reads and writes, with what it should write behind what it reads."""
    if spec.writes_what_it_reads:
        return spec
    sites = {"decoder": "sites", "sizes_out": spec.sizes_out} if len(spec.sizes_out) > 1 else {}
    reads = (*spec.reads, *spec.writes)
    return Spec(spec.d_in + spec.d_out, spec.d_out, spec.width, reads, spec.writes, "transcoder", **sites)
