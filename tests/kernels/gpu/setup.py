"""Where the kernels of a GPU are tested: on one, if there is one; else on CPU tensors, interpreted."""

import pytest
import torch
from hypothesis import settings

pytest.importorskip("triton", reason="Triton is not installed, so that the kernels of a GPU are not tested")

from monosema.kernels import gpu

__all__ = ["DEVICE", "few", "gpu"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
few = settings(deadline=None, max_examples=20)
