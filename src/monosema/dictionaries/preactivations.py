"""Pre-activations that are computed as far as they are asked for."""

from dataclasses import dataclass, field
from functools import cached_property

from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries.maps import Map
from monosema.dictionaries.winners import largest_of_all
from monosema.kernels import RaggedCodes, SparseCodes, encode_above, encode_batch_topk, encode_topk
from monosema.ranks import ALONE, Ranks


@dataclass
class Preactivations:
    """`(x − shift) W + b` of a batch, for those who need all of it, its largest entries, or a few features of it.

    All of it is by far the largest tensor of a training step, and most of it is below zero: a recipe that asks for the
    entries that matter saves the memory, and every pass over it.
    """

    encoder: Map
    x: Float[Tensor, "batch d_in"]
    weight: Tensor
    bias: Float[Tensor, " width"]
    shift: Float[Tensor, " d_in"] | None
    """The input bias, if there is one."""
    ranks: Ranks = ALONE
    """Who has the other features, and the other rows: what is largest is so among all of them."""
    entries: RaggedCodes | None = field(default=None, init=False)
    """What `above` found last."""

    @cached_property
    def dense(self) -> Float[Tensor, "batch width"]:
        """All of it, computed once."""
        return self.encoder.apply(self.centred, self.weight, self.bias)

    def largest(self, k: int) -> SparseCodes:
        """The `k` largest of `relu(pre)` in each row."""
        codes = encode_topk(self.x, self.weight, self.bias, min(k, len(self.bias)), self.shift)
        if self.ranks.features.size == 1:
            return codes
        return codes._replace(values=codes.values * self.ranks.features.among_largest(codes.values, k))

    def largest_of_batch(self, k: int, guess: float) -> RaggedCodes:
        """The `k * batch` largest of `relu(pre)` over the whole batch; `guess` is about the smallest of them."""
        if self.ranks.all.size > 1:
            return largest_of_all(self.above, k * len(self.x) * self.ranks.rows.size, guess, self.ranks.all)
        return encode_batch_topk(self.x, self.weight, self.bias, k, self.shift, guess)

    def above(self, bound: Float[Tensor, "*width_or_one"]) -> RaggedCodes:
        """The entries above a bound, one for all or one for each feature; `entries` keeps them."""
        self.entries = encode_above(self.x, self.weight, self.bias, bound, self.shift)
        return self.entries

    def of(self, features: Int[Tensor, " some"]) -> Float[Tensor, "batch some"]:
        """Those of some features."""
        if "dense" in self.__dict__:
            return self.dense[:, features]
        return self.encoder.some(self.centred, self.weight, self.bias, features)

    def mean(self) -> Float[Tensor, " width"]:
        """The mean of each feature's over the batch: that of the mean input."""
        return self.encoder.apply(self.centred.mean(0, keepdim=True), self.weight, self.bias)[0]

    @property
    def centred(self) -> Float[Tensor, "batch d_in"]:
        """x without the input bias."""
        return self.x if self.shift is None else self.x + self.shift.neg()  # its gradient is negated after summing
