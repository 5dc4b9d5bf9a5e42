"""What every test stands on: no network, one thread, no chance."""

import os

# Before anything imports huggingface_hub or wandb: both read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"

import random

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("monosema", deadline=None, derandomize=True)  # the same examples everywhere, however slow
settings.load_profile("monosema")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton: its kernels then run in NumPy
torch.set_num_threads(1)  # tests are tiny, and pytest-xdist's workers share the cores


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random numbers, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
