"""TopK by absolute value: features that are active in both directions."""

from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries.activation_functions import OfK, activation_functions, rows
from monosema.dictionaries.preactivations import Preactivations
from monosema.kernels import SparseCodes, abs_topk


@activation_functions.register("abs_topk")
class AbsTopK(OfK):
    """The `k` pre-activations of each row that are largest in absolute value, with their signs (arXiv 2510.00404).

    Codes may be negative: a feature then stands for its direction and the opposite one.
    """

    name = "abs_topk"
    by_feature = False
    signed = True

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The `k` entries that are largest in absolute value, the rest zero."""
        return abs_topk(rows(pre), self.k).to_dense().view_as(pre)

    def sparse(self, pre: Preactivations) -> SparseCodes:
        """Exactly `k` entries a row."""
        return abs_topk(pre.dense, self.k)
