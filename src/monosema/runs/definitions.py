"""What the report says of each metric, and how it writes its value."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from monosema.evaluation import Metrics, measures

ABSENT = "–"


def percent(share: float) -> str:
    """0.1234 as 12.3 %, and two significant digits below 1 %."""
    return f"{100 * share:.1f} %" if share == 0 or abs(share) >= 0.01 else f"{100 * share:#.2g} %"


def number(value: float) -> str:
    """Four significant digits, without an exponent while that is legible."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 0 < abs(value) < 1e-4 else f"{value:#.4g}".rstrip(".")


def count(value: int) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,}"


def several(values: Iterable[float]) -> str:
    """1.234, 5.678 as 1.2 · 5.7."""
    return " · ".join(f"{value:.1f}" for value in values)


class Definition(NamedTuple):
    """A metric of `monosema.evaluation.Metrics` in words."""

    key: str
    label: str
    meaning: str
    form: Callable[[Any], str]

    def value(self, metrics: Metrics) -> Any:
        """Its value; None where there is none."""
        return getattr(metrics, self.key)

    def show(self, metrics: Metrics) -> str:
        """Its value as text."""
        value = self.value(metrics)
        return ABSENT if value is None else self.form(value)


class Registered(Definition):
    """A metric that is registered in `monosema.evaluation.measures`."""

    def value(self, metrics: Metrics) -> float | None:
        """Its value; None where there is none."""
        return (metrics.more or {}).get(self.key)


DETAILS = {
    "Reconstruction": (
        Definition("mse", "MSE", "squared L2 distance ‖x − x̂‖² per token, summed over dimensions", number),
        Definition("fve_legacy", "FVE, per token", "mean over tokens of 1 − ‖x − x̂‖² / ‖x − x̄‖²", percent),
        Definition("cosine", "Cosine", "mean cos(x, x̂)", number),
        Definition("l2_ratio", "Norm ratio", "mean ‖x̂‖ / ‖x‖", number),
        Definition(
            "reconstruction_bias",
            "Reconstruction bias γ",
            "Σ‖x̂‖² / Σ x·x̂; below 1 is shrinkage",
            number,
        ),
    ),
    "Sparsity": (
        Definition("l0_per_block", "L0 per block", "active features per token in each block (attention head)", several),
        Definition("alive_8192", "Alive in 8,192", "features active somewhere in the first 8,192 tokens", percent),
        Definition("denser_than_1_percent", "Dense, > 1 %", "features active on more than 1 % of tokens", percent),
        Definition("denser_than_10_percent", "Dense, > 10 %", "features active on more than 10 % of tokens", percent),
    ),
    "Next-token prediction": (
        Definition("ce_clean", "CE, clean", "cross-entropy of the model as it is, nats per token", number),
        Definition("ce_spliced", "CE, spliced", "with the reconstruction in place of the activation", number),
        Definition("ce_zero", "CE, zeros", "with zeros in its place", number),
        Definition("ce_mean", "CE, mean", "with the mean activation in its place", number),
        Definition(
            "ce_recovered_from_mean", "CE recovered, from mean", "CE recovered, with the mean instead of zeros", percent
        ),
        Definition("kl", "KL", "KL(clean ‖ spliced) of next-token distributions, nats per token", number),
    ),
    "Held-out tokens": (
        Definition("tokens", "Measured", "tokens whose activations were measured and replaced", count),
        Definition("left_out_tokens", "Left out", "special tokens, neither measured nor replaced", count),
        Definition("predicted_tokens", "Predicted", "tokens over which cross-entropy is averaged", count),
    ),
}
"""Those that every dictionary has, in groups."""


def details() -> dict[str, tuple[Definition, ...]]:
    """The metrics of the second table, in groups, and those that are registered behind them."""
    own = tuple(Registered(name, measure.label, measure.meaning, number) for name, measure in measures.items())
    return {**DETAILS, "More": own}
