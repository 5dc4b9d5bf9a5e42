"""One stream from several processes, as one of them sees it."""

from typing import Any

import torch
from torch import Tensor

from monosema.activations import TensorSource
from monosema.activations.gathered import GatheredSource
from monosema.ranks import Group


class Another(Group):
    """A group with one more process, which has what this one has, but fewer rows."""

    def min(self, x: Tensor) -> Tensor:
        return torch.minimum(x, torch.tensor(3))

    def gather(self, x: Tensor, dim: int = 0) -> Tensor:
        return torch.cat([x, x[:3]], dim)


def test_a_sample_has_as_many_rows_of_each_process_as_the_one_with_the_fewest():
    own: Any = TensorSource(torch.arange(40.0).reshape(10, 4), 5)
    gathered = GatheredSource(own, Group(), Another(size=2))
    assert len(gathered.sample(4)["activations"]) == 4
    assert len(gathered.sample(100)["activations"]) == 2 * 3
