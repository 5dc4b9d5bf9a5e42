from functools import cache

import pytest
import torch
from torch import Tensor

from monosema.models import LoadedModel
from tests.models.tiny_families import BUILDERS, build

_build_once = cache(build)


@pytest.fixture(params=BUILDERS)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    """Each family in turn; tests leave the weights as they are."""
    return _build_once(request.param)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(1, 60, (2, 7), generator=torch.Generator().manual_seed(1))
