"""Hierarchical TopK (Balagansky et al. 2025, Train one SAE across multiple sparsity budgets, arXiv 2505.24473)."""

from dataclasses import dataclass
from typing import ClassVar

from monosema.dictionaries import ActivationFunction, Dictionary, Preactivations, TopK
from monosema.kernels import SparseCodes
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.recipe import recipes, require
from monosema.recipes.topk import TopKFamily


@recipes.register("hierarchical_topk")
@dataclass(frozen=True)
class HierarchicalTopKRecipe(TopKFamily):
    """L = mean over budgets j of ‖y − x̂_j‖² + α · AuxK, where x̂_j is made from the j largest of the k largest.

    One dictionary serves every sparsity up to k. By default every j from 1 to k is a budget.
    """

    name: ClassVar[str] = "hierarchical_topk"
    divides: ClassVar[bool] = False  # its budgets follow the order of all of a row's features

    budgets: tuple[int, ...] = ()
    """Numbers of active features whose errors are averaged; by default all from 1 to k. The last is k."""

    def __post_init__(self):
        super().__post_init__()
        rising = all(a < b for a, b in zip((0, *self.budgets), self.budgets, strict=False))
        fits = not self.budgets or (rising and self.budgets[-1] == self.k)
        require(self, "budgets", fits, f"rising numbers from 1 on, the last k = {self.k}")

    def activation(self, width: int) -> ActivationFunction:
        """TopK."""
        return TopK(width, self.k)

    def select(self, dictionary: Dictionary, pre: Preactivations, moment: Moment) -> SparseCodes:
        """The largest of each row, the largest first."""
        codes = pre.largest(self.k_at(moment))
        values, order = codes.values.sort(dim=1, descending=True)
        return SparseCodes(codes.indices.gather(1, order), values, codes.width)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """The mean error over the budgets; that of the largest is named beside it."""
        assert isinstance(batch.codes, SparseCodes)
        stored = batch.codes.indices.shape[1]
        ends = (*self.budgets[:-1], stored) if self.budgets else tuple(range(1, stored + 1))
        dictionary, target = batch.dictionary, batch.y - batch.dictionary.decode_nothing(batch.x)
        by_budget = batch.mean(dictionary.decoder.prefix_errors(batch.codes, dictionary.W_dec, target, ends))
        return {"error": Term(0.0, by_budget[-1]), "budgets": Term(1.0, by_budget.mean())}
