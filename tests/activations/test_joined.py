"""Expressions of another source's hook points."""

import torch

from monosema.activations import TensorSource
from monosema.activations.joined import JoinedSource, needed


def source(seed: int = 0) -> TensorSource:
    tensors = {name: torch.randn(60, d, generator=torch.Generator().manual_seed(d)) for name, d in (("a", 3), ("b", 5))}
    return TensorSource(tensors | {"c": -tensors["a"]}, 8, seed=seed)


def test_batches_and_samples_are_the_sources_joined():
    points = ["a", "a + c", "b & a"]
    one, plain = JoinedSource(source(), points), source()
    assert one.widths == {"a": 3, "a + c": 3, "b & a": 8}
    for _, batch, raw in zip(range(9), one, plain, strict=False):  # past the first of their endless passes
        assert list(batch) == points
        assert torch.equal(batch["a"], raw["a"])
        assert not batch["a + c"].any()
        assert torch.equal(batch["b & a"], torch.cat([raw["b"], raw["a"]], dim=1))
    assert torch.equal(one.sample(4)["b & a"][:, 5:], one.sample(4)["a"])


def test_a_state_goes_on_where_it_was():
    one, other = JoinedSource(source(), ["a + c", "b"]), JoinedSource(source(), ["a + c", "b"])
    first = iter(one)
    for _ in range(3):
        next(first)
    other.load_state_dict(one.state_dict())
    assert torch.equal(next(iter(other))["b"], next(first)["b"])


def test_what_is_there_as_a_whole_is_read_as_a_whole():
    assert needed(["a + b", "b", "c & d"], {"a + b": 1}) == ["a + b", "b", "c", "d"]
