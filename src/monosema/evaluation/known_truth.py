"""How much of a known truth a dictionary has found: its directions, when they fire, and how strongly."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.rows import in_evaluation_mode
from monosema.evaluation.sums import Sums, ratio, wide

SAME = 0.9
"""Cosine from which two directions count as the same."""
_ROWS = 1024  # rows whose dense codes are in memory at once


@dataclass(frozen=True)
class Matching:
    """Pairs of a true and a learned feature, as many as the smaller side has, with the largest sum of cosines."""

    true: Int[Tensor, "pairs"]
    """The true feature of each pair, in ascending order."""
    learned: Int[Tensor, "pairs"]
    """The learned one."""
    cosine: Float[Tensor, "pairs"]
    """Of the angle between their directions."""

    @property
    def mcc(self) -> float:
        """Mean cosine over the pairs."""
        return self.cosine.double().mean().item()


@dataclass(frozen=True, kw_only=True)
class KnownTruth:
    """How a dictionary compares with the truth; means are over the matched pairs."""

    mcc: float
    """Mean cosine of true and learned directions under the best one-to-one matching."""
    found: float
    """Fraction of true features whose partner has a cosine of at least 0.9."""
    precision: float
    """Mean over pairs: of the rows on which the learned feature fires, those on which the true one does."""
    recall: float
    """Mean over pairs: of the rows on which the true feature fires, those on which the learned one does."""
    f1: float
    """Mean over pairs of 2 · both / (true + learned)."""
    shrinkage: float | None
    """Learned magnitudes over true ones, each summed over the rows on which both of a pair fire; below 1: too small."""
    duplicates: int
    """Learned features that point, with a cosine of at least 0.9, where another one points more exactly."""
    uniqueness: float
    """Distinct true features among those nearest to each learned one, per learned feature."""
    l0: float
    """Mean number of learned features that fire on a row."""
    true_l0: float
    """Mean number of true features that do."""
    rows: int
    """N: rows on which firing was compared."""


def match_features(truth: Float[Tensor, "features d"], learned: Float[Tensor, "width d"]) -> Matching:
    """Matches learned to true directions by the Hungarian algorithm; a direction of norm 0 has cosine 0 with all.

    Raises:
        InputError: directions of different sizes, none at all, or some that are not finite.

    Reference: as "mean max cosine under a one-to-one matching" in O'Neill et al. 2024 (arXiv 2411.13117); here a
    learned direction that points the opposite way counts as wrong, since features do not fire negatively.
    """
    from scipy.optimize import linear_sum_assignment

    cosines = cosine_table(truth, learned)
    true, partner = linear_sum_assignment(cosines.numpy(), maximize=True)
    pairs = torch.from_numpy(true), torch.from_numpy(partner)
    return Matching(*pairs, cosines[pairs])


def cosine_table(
    truth: Float[Tensor, "features d"], learned: Float[Tensor, "width d"]
) -> Float[Tensor, "features width"]:
    """The cosine of every true with every learned direction, on the CPU."""
    if truth.ndim != 2 or learned.ndim != 2 or truth.shape[1] != learned.shape[1] or not (len(truth) and len(learned)):
        raise InputError(
            f"directions of shapes {list(truth.shape)} and {list(learned.shape)}",
            expected="[features, d] and [width, d] with the same d",
        )
    if not (truth.isfinite().all() and learned.isfinite().all()):
        raise InputError("NaN or infinity among directions", expected="finite directions")
    truth, learned = (F.normalize(x.detach().float(), dim=1) for x in (truth, learned))
    return (truth @ learned.to(truth).mT).cpu()


def count_duplicates(cosines: Float[Tensor, "features width"], same: float = SAME) -> int:
    """Learned features with a cosine of `same` or more to a true one to which another learned feature is nearer."""
    nearest, true = cosines.max(0)
    pointing = true[nearest >= same]
    return len(pointing) - len(pointing.unique())


def uniqueness(cosines: Float[Tensor, "features width"]) -> float:
    """Distinct true features among those nearest to each learned one, per learned feature."""
    return len(cosines.argmax(0).unique()) / cosines.shape[1]


@dataclass(frozen=True)
class FiringSums(Sums):
    """What is compared of each pair's firing, added up over some rows."""

    rows: int
    active: int
    true_active: int
    true: Float[Tensor, "pairs"]
    """Rows on which the true feature fires."""
    learned: Float[Tensor, "pairs"]
    """Rows on which the learned one does."""
    both: Float[Tensor, "pairs"]
    """Rows on which both do."""
    true_magnitude: Float[Tensor, "pairs"]
    """Sum of true magnitudes where both fire."""
    learned_magnitude: Float[Tensor, "pairs"]
    """Sum of learned magnitudes where both fire."""

    def precision(self) -> Float[Tensor, "pairs"]:
        """both / learned; 0 where the learned feature never fires."""
        return self.both / self.learned.clamp_min(1)

    def recall(self) -> Float[Tensor, "pairs"]:
        """both / true; 0 where the true feature never fires."""
        return self.both / self.true.clamp_min(1)

    def f1(self) -> Float[Tensor, "pairs"]:
        """2 · both / (true + learned); 0 where neither ever fires."""
        return 2 * self.both / (self.true + self.learned).clamp_min(1)

    def shrinkage(self) -> Float[Tensor, "pairs"]:
        """Learned over true magnitude where both fire; NaN where they never do."""
        return self.learned_magnitude / self.true_magnitude


def firing_sums(
    true: Float[Tensor, "batch features"],
    learned: Float[Tensor, "batch width"],
    matching: Matching,
    norms: Float[Tensor, "width"],
) -> FiringSums:
    """The sums of one batch, in float64 on the CPU.

    Args:
        true: the codes that made the activations, of unit directions.
        learned: the dictionary's codes of them.
        matching: which belong together.
        norms: of the learned directions, by which codes are multiplied to be magnitudes.
    """
    f, g = wide(true[:, matching.true.to(true.device)]), wide(learned[:, matching.learned.to(learned.device)])
    g = g.to(f) * wide(norms).to(f)[matching.learned.to(f.device)]
    fires, learned_fires = f != 0, g != 0
    both = fires & learned_fires
    return FiringSums(
        len(true),
        int((learned != 0).sum()),
        int((true != 0).sum()),
        *(x.sum(0).double().cpu() for x in (fires, learned_fires, both, f * both, g * both)),
    )


@torch.no_grad()
def evaluate_truth(
    dictionary: Dictionary,
    truth: Float[Tensor, "features d"],
    rows: Iterable[tuple[Float[Tensor, "batch d"], Float[Tensor, "batch features"]]],
) -> tuple[KnownTruth, Matching, FiringSums]:
    """Compares a dictionary with the truth on rows that it was not trained on, read once.

    Args:
        dictionary: what is measured; it takes raw activations.
        truth: the true directions.
        rows: batches of activations and of the true codes that made them.

    Returns:
        The metrics, and what they were made of: pairs, and each pair's firing.

    Raises:
        InputError: directions of other sizes, or no rows.
    """
    cosines = cosine_table(truth, dictionary.W_dec)
    matching = match_features(truth, dictionary.W_dec)
    norms = dictionary.decoder_norms()
    total: FiringSums | None = None
    with in_evaluation_mode([dictionary]):
        for x, codes in rows:
            for part, true in zip(x.split(_ROWS), codes.split(_ROWS), strict=True):
                learned = dictionary.encode(part.to(dictionary.W_enc.device))
                sums = firing_sums(true, learned, matching, norms)
                total = sums if total is None else total + sums
    if total is None or not total.rows:
        raise InputError("no rows", expected="at least one row on which to compare firing")
    return _metrics(cosines, matching, total), matching, total


def _metrics(cosines: Float[Tensor, "features width"], matching: Matching, sums: FiringSums) -> KnownTruth:
    return KnownTruth(
        mcc=matching.mcc,
        found=(matching.cosine >= SAME).sum().item() / len(cosines),
        precision=sums.precision().mean().item(),
        recall=sums.recall().mean().item(),
        f1=sums.f1().mean().item(),
        shrinkage=ratio(sums.learned_magnitude.sum().item(), sums.true_magnitude.sum().item()),
        duplicates=count_duplicates(cosines),
        uniqueness=uniqueness(cosines),
        l0=sums.active / sums.rows,
        true_l0=sums.true_active / sums.rows,
        rows=sums.rows,
    )
