"""The gated activation function: whether a feature is active, and how strongly, are two decisions."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from monosema.dictionaries.activation_functions import Bounded, activation_functions
from monosema.kernels import RaggedCodes


@activation_functions.register("gated")
class Gated(Bounded):
    """`1[pre + b_gate > 0] · relu(e^{r_mag} pre + b_mag)` (Rajamanoharan et al. 2024, arXiv 2404.16014).

    Both halves read one encoder, up to a scale for each feature. The gate passes no gradient: a recipe trains `b_gate`
    through the penalty and the auxiliary reconstruction.
    """

    name = "gated"
    owns_biases = True

    def __init__(self, width: int):
        super().__init__()
        self.r_mag = nn.Parameter(torch.zeros(width))
        self.b_gate = nn.Parameter(torch.zeros(width))
        self.b_mag = nn.Parameter(torch.zeros(width))

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`1[pre + b_gate > 0] · relu(e^{r_mag} pre + b_mag)`."""
        magnitude = (self.r_mag.exp() * pre + self.b_mag).relu()
        return (magnitude * (self.gate(pre) > 0)).to(pre.dtype)

    def gate(
        self, pre: Float[Tensor, "*batch some"], features: Int[Tensor, " some"] | None = None
    ) -> Float[Tensor, "*batch some"]:
        """`pre + b_gate`: the feature is active where it is positive."""
        return pre + (self.b_gate if features is None else self.b_gate.index_select(0, features))

    def bound(self) -> Float[Tensor, " width"]:
        """Where the gate opens."""
        return -self.b_gate.detach()

    def at(self, entries: RaggedCodes) -> RaggedCodes:
        """`relu(e^{r_mag} pre + b_mag)` where the gate is open."""
        features, pre = entries.columns, entries.values
        magnitude = (self.r_mag.exp().index_select(0, features) * pre + self.b_mag.index_select(0, features)).relu()
        return entries._replace(values=(magnitude * (self.gate(pre, features) > 0)).to(pre.dtype))

    def rescale_(self, factor: float) -> None:
        """Scales the two biases."""
        self.b_gate.data.mul_(factor)
        self.b_mag.data.mul_(factor)

    @torch.no_grad()
    def reset_(self, features: Bool[Tensor, " width"]) -> None:
        """Puts scale and biases of some features back to zero."""
        for parameter in self.parameters():
            parameter[features] = 0.0
