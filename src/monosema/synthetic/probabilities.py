"""How often each feature fires, and how a hierarchy limits it."""

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.synthetic.config import SyntheticConfig, Zipf
from monosema.synthetic.trees import levels


def firing_probabilities(config: SyntheticConfig) -> Float[Tensor, "features"]:
    """The probability with which each feature fires on a row, in float64.

    A child cannot fire more often than its parent, nor can exclusive children together: where the configuration says
    more, they get what there is, in the proportions that it says.
    """
    wanted = _wanted(config)
    if config.hierarchy is None:
        return wanted
    possible = wanted.clone()
    for parents, children in levels(config.hierarchy):
        limit = possible[parents].unsqueeze(1)
        asked = wanted[children].view(len(limit), -1)
        load = asked.sum(1, keepdim=True) if config.hierarchy.exclusive else asked
        possible[children] = (asked * (limit / load).clamp_max(1)).flatten()
    return possible


def _wanted(config: SyntheticConfig) -> Float[Tensor, "features"]:
    n, given = config.features, config.probabilities
    if not isinstance(given, Zipf):
        return torch.tensor(given, dtype=torch.float64).expand(n).clone()
    if n == 1:
        return torch.tensor([given.most], dtype=torch.float64)
    law = torch.arange(1, n + 1, dtype=torch.float64) ** -given.exponent
    return given.least + (given.most - given.least) * (law - law[-1]) / (law[0] - law[-1])
