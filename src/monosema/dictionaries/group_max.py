"""GroupMax: the features are cut into groups, and of each group one is active."""

from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries.activation_functions import OfK, activation_functions, rows
from monosema.dictionaries.preactivations import Preactivations
from monosema.errors import InputError
from monosema.kernels import SparseCodes, group_max


@activation_functions.register("groupmax")
class GroupMax(OfK):
    """The largest of `relu(pre)` in each of `k` groups of neighbours, feature j in group j // (width / k).

    As many features are active as in TopK, but finding them needs no search over the whole width.

    Raises:
        InputError: `k` is not a whole number from 1 to the width, or does not divide the width.
    """

    name = "groupmax"
    by_feature = False

    def __init__(self, width: int, k: int):
        super().__init__(width, k)
        if width % k:
            raise InputError(
                f"{k} groups of {width} features", expected="groups of one size", hint="k divides the width"
            )

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Each group's largest entry, if it is positive; the rest zero."""
        return group_max(rows(pre), self.k).to_dense().view_as(pre)

    def sparse(self, pre: Preactivations) -> SparseCodes:
        """Exactly `k` entries a row, one of each group; where a group has nothing positive, its entry is zero."""
        return group_max(pre.dense, self.k)
