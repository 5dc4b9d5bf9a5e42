"""MatchingPursuit: codes from a search against the directions, in place of one product with an encoder."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries.activation_functions import ActivationFunction, activation_functions
from monosema.dictionaries.preactivations import Preactivations
from monosema.errors import InputError
from monosema.kernels.matching import matching_pursuit

MOST_ROUNDS = 2**16
"""More are no search: what a file claims must end."""


@activation_functions.register("matching_pursuit")
class MatchingPursuit(ActivationFunction):
    """The codes that matching pursuit finds against the encoder's columns, which are the decoder's rows.

    Pre-activations are its first round's products, and not enough: `encode`, `encode_sparse` and `active_entries` of a
    dictionary search, while `forward` refuses. An encoder's bias has no place in it. Only dense encoders are searched.

    Args:
        width: number of features.
        rounds: most features of a row.
        residual: the norm of what is left of a row below which the search ends; 0 for never.
        stop_at_repeat: whether it ends, too, at a round that adds no new feature.

    Raises:
        InputError: no rounds, or far too many, or a residual below zero.
    """

    name = "matching_pursuit"
    owns_biases = True
    by_feature = False
    searches = True
    residual: Tensor

    def __init__(self, width: int, rounds: int, residual: float = 0.0, stop_at_repeat: bool = True):
        super().__init__()
        if not (isinstance(rounds, int) and 1 <= rounds <= MOST_ROUNDS and residual >= 0):
            raise InputError(
                f"rounds {rounds}, residual {residual}",
                expected=f"1 to {MOST_ROUNDS} rounds and a residual of at least 0",
            )
        self.rounds, self.stop_at_repeat = rounds, stop_at_repeat
        self.register_buffer("residual", torch.tensor(float(residual)))

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Refused: a search needs the activations."""
        raise InputError(
            "codes of matching_pursuit from pre-activations alone",
            expected="Dictionary.encode, encode_sparse or active_entries",
            hint="they are the end of a search, whose later rounds see what the earlier ones have left",
        )

    def dense(self, pre: Preactivations) -> Float[Tensor, "*batch width"]:
        """The codes, which are the same for a row alone and in any batch."""
        if pre.weight.ndim != 2 or pre.ranks.features.size > 1:
            raise InputError("matching_pursuit with blocks, or features on several ranks", expected="a dense encoder")
        codes = matching_pursuit(
            pre.centred.reshape(-1, len(pre.weight)),
            pre.weight.mT,
            rounds=self.rounds,
            residual=self.residual.item(),
            stop_at_repeat=self.stop_at_repeat,
        )
        return codes.view(*pre.x.shape[:-1], -1)

    def options(self) -> dict[str, Any]:
        """`rounds` and `stop_at_repeat`; the residual is among the tensors."""
        return {"rounds": self.rounds, "stop_at_repeat": self.stop_at_repeat}

    def rescale_(self, factor: float) -> None:
        """Scales the residual."""
        self.residual.mul_(factor)
