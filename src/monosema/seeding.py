"""Chance that can be repeated: generators seeded by a text."""

import random

import torch


def generator_for(purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose, whose name holds the seed: "0:epoch 1" is not "1:epoch 0", as a sum would be."""
    return torch.Generator(device).manual_seed(random.Random(purpose).getrandbits(63))
