"""The learning rate by default: a rule over recipe, width, batch size and length of run. Each recipe has its `fit`.

`benchmarks/sweep.py rates` compares it with the best of a sweep: of `topk`, `gated`, `jumprelu`, `april_l1` and Muon
it comes within two per cent, of `topk` for 8 and 20 million tokens and at width 16,384 too. Those of `topk`,
`batch_topk`, `matryoshka` and `l1` are the best of the rates in docs/quality.md. The bases of `hierarchical_topk`,
`p_anneal`, `gated_ri_l1`, `gated_anneal`, `jumprelu_tanh`, `entropy`, signum and schedule-free are guesses that wait
for their sweeps.
"""

import math
from typing import NamedTuple

TOKENS, WIDTH, BATCH = 1_000_000, 4096, 512
"""Where the sweeps' reference lies."""


class Fit(NamedTuple):
    """lr = base · (width / 4096)^a · (batch / 512)^b · (tokens / 10⁶)^c."""

    base: float
    width: float = -0.5
    wide: float = -0.4
    """a beyond 4,096 features."""
    batch: float = 0.5
    tokens: float = -0.2


OTHER_OPTIMISERS = {
    "muon": Fit(2e-2, width=0.0, wide=0.0),
    "signum": Fit(1e-3),
    "schedule_free": Fit(3e-3),
}

RANGES = {"width": (512, 65_536), "batch": (128, 8192), "tokens": (100_000, 1_000_000_000)}
"""Where the fit is trusted; beyond, the rate is that of the nearest end."""


def auto_lr(fit: Fit, optimiser: str, width: int, steps: int, batch_size: int) -> float:
    """The learning rate for one dictionary and run, to two significant digits.

    Args:
        fit: the recipe's, with Adam; the other optimisers have one each, whatever the recipe.
        optimiser: its name.
        width: of the dictionary.
        steps: of the run.
        batch_size: tokens per step.
    """
    fit = fit if optimiser == "adam" else OTHER_OPTIMISERS[optimiser]
    relative = {
        "width": _within("width", width) / WIDTH,
        "batch": _within("batch", batch_size) / BATCH,
        "tokens": _within("tokens", steps * batch_size) / TOKENS,
    }
    if relative["width"] > 1:
        relative["wide"] = relative.pop("width")
    return float(f"{fit.base * math.prod(ratio ** getattr(fit, name) for name, ratio in relative.items()):.2g}")


def _within(name: str, value: int) -> int:
    low, high = RANGES[name]
    return min(max(value, low), high)
