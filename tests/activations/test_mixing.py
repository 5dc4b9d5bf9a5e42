"""Contexts in random order."""

from collections import Counter
from itertools import islice

import pytest
import torch

from monosema.activations import Contexts, MixedContexts, ModelSource
from monosema.errors import InputError
from monosema.models import load_model

TEXT = [f"document {i} " * 30 for i in range(40)]
LENGTH = 16


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


def contexts(model, repeat: bool = False) -> Contexts:
    return Contexts(model.tokenizer, TEXT, LENGTH, repeat=repeat)


def mixed(model, window: int = 10_000, repeat: bool = False, seed: int = 0) -> MixedContexts:
    return MixedContexts(contexts(model, repeat), window, seed=seed)


def counted(stream) -> Counter:
    return Counter(tuple(context.tolist()) for context in stream)


@pytest.mark.parametrize("window", [LENGTH, 5 * LENGTH + 3, 10_000])
def test_every_context_of_the_text_comes_exactly_once(model, window: int):
    assert counted(mixed(model, window)) == counted(contexts(model))


def test_a_window_of_one_context_keeps_the_order(model):
    same = zip(mixed(model, LENGTH), contexts(model), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_contexts_are_shuffled_within_their_window_and_no_farther(model):
    size = 20
    plain, shuffled = list(contexts(model)), list(mixed(model, size * LENGTH))
    for start in range(0, len(plain), size):
        assert counted(shuffled[start : start + size]) == counted(plain[start : start + size])
    moved = sum(not torch.equal(a, b) for a, b in zip(plain, shuffled, strict=True))
    assert moved > 0.8 * len(plain)


def test_the_order_depends_on_the_seed_alone(model):
    first, again, other = (list(mixed(model, seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_repeated_text_is_read_once_for_each_window_in_a_new_order(model):
    n = len(list(contexts(model)))
    stream = mixed(model, window=10**6, repeat=True)
    first, second = list(islice(stream, n)), list(islice(stream, n))
    assert stream.passes == 1
    assert any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_each_window_has_an_order_of_its_own(model):
    size, orders = 20, set()
    stream = mixed(model, size * LENGTH)
    for _ in range(4):
        positions = []
        for _ in range(size):
            positions.append(stream.position)
            next(stream)
        orders.add(tuple(sorted(range(size), key=positions.__getitem__)))
    assert len(orders) == 4


@pytest.mark.parametrize("taken", [0, 1, 25, 60])
def test_a_stream_goes_on_exactly_where_its_state_was_taken(model, taken: int):
    stream = mixed(model, 20 * LENGTH)
    list(islice(stream, taken))
    state = stream.state_dict()
    restored = mixed(model, 20 * LENGTH, seed=5)
    restored.load_state_dict(state)
    assert restored.position == stream.position
    assert all(torch.equal(a, b) for a, b in zip(restored, stream, strict=True))


def test_a_model_source_of_mixed_contexts_resumes_bit_identically(model):
    def source() -> ModelSource:
        stream = mixed(model, 20 * LENGTH, repeat=True)
        return ModelSource(model, stream, ["resid_post.0"], batch_size=32, buffer_rows=256)

    one, other = source(), source()
    list(islice(one, 11))
    other.load_state_dict(one.state_dict())
    for a, b in islice(zip(one, other, strict=True), 20):
        assert torch.equal(a["resid_post.0"], b["resid_post.0"])


def test_a_position_says_where_its_context_begins_in_the_text(model):
    plain = contexts(model)
    begins = {}
    for _ in range(30):
        position = plain.position
        begins[position] = next(plain)
    stream = mixed(model)
    hits = 0
    for _ in range(60):
        position = stream.position
        context = next(stream)
        if position in begins:
            hits += 1
            assert torch.equal(begins[position], context)
    assert hits


def test_a_window_smaller_than_a_context_is_refused(model):
    with pytest.raises(InputError, match="window of 15 tokens"):
        mixed(model, LENGTH - 1)
