import pytest
import torch

from monosema.activations import ShuffleBuffer
from monosema.errors import InputError

LIKE = {"a": torch.empty(3), "b": torch.empty(1, 2)}


def numbered(start, stop):
    rows = torch.arange(start, stop, dtype=torch.float32)[:, None]
    return {"a": rows.expand(-1, 3), "b": -rows.expand(-1, 2)}


def refilled(buffer, start):
    """Adds numbered rows until the buffer is full; the number after the last."""
    stop = start + buffer.free
    buffer.add(numbered(start, stop))
    buffer.shuffle()
    return stop


def test_every_row_comes_out_once_and_aligned():
    buffer = ShuffleBuffer(100, LIKE)
    seen, stop = [], 0
    for _ in range(5):
        stop = refilled(buffer, stop)
        for _ in range(5):
            batch = buffer.take(10)
            assert torch.equal(batch["a"][:, :2], -batch["b"])
            seen += batch["a"][:, 0].tolist()
    seen += buffer.take(buffer.held)["a"][:, 0].tolist()
    assert sorted(seen) == list(range(stop))
    assert buffer.free == 100


def test_the_order_is_that_of_the_seed():
    orders = []
    for seed in (0, 0, 1):
        buffer = ShuffleBuffer(100, LIKE, seed=seed)
        refilled(buffer, 0)
        orders.append(buffer.take(100)["a"][:, 0].tolist())
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_neighbours_are_parted():
    buffer = ShuffleBuffer(10_000, LIKE)
    refilled(buffer, 0)
    order = buffer.take(10_000)["a"][:, 0]
    correlation = torch.corrcoef(torch.stack([order[:-1], order[1:]]))[0, 1]
    assert abs(correlation) < 0.05  # five standard deviations for a random order; 1 for an unmixed one
    assert abs(order[:1000].mean() - 5000) < 500


def test_peeking_takes_nothing():
    buffer = ShuffleBuffer(50, LIKE)
    refilled(buffer, 0)
    seen = buffer.peek(20)
    seen["a"].zero_()
    taken = buffer.take(20)
    assert torch.equal(taken["b"], seen["b"])
    assert torch.equal(taken["a"][:, :2], -taken["b"])


def test_a_restored_buffer_gives_the_same_rows():
    buffer = ShuffleBuffer(60, LIKE, seed=3)
    stop = refilled(buffer, 0)
    buffer.take(35)
    state = buffer.state_dict()
    again = ShuffleBuffer(60, LIKE, seed=99)
    again.load_state_dict(state)
    for b in (buffer, again):
        assert b.held == 25
    for _ in range(3):
        assert refilled(buffer, stop) == refilled(again, stop)
        stop += buffer.rows
        ours, theirs = buffer.take(40), again.take(40)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_saved_state_does_not_change_when_the_buffer_goes_on():
    buffer = ShuffleBuffer(20, LIKE)
    refilled(buffer, 0)
    state = buffer.state_dict()
    before = state["rows"]["a"].clone()
    buffer.take(15)
    refilled(buffer, 100)
    assert torch.equal(state["rows"]["a"], before)


def test_the_memory_is_stated_and_taken_once():
    buffer = ShuffleBuffer(100, LIKE)
    assert buffer.bytes == 100 * (3 + 2) * 4 + 100 * 8
    places = [t.data_ptr() for t in buffer._tensors.values()]
    stop = refilled(buffer, 0)
    for _ in range(4):
        buffer.take(70)
        stop = refilled(buffer, stop)
    assert [t.data_ptr() for t in buffer._tensors.values()] == places
    assert buffer.bytes == 100 * (3 + 2) * 4 + 100 * 8


@pytest.mark.parametrize("other", [{"a": 3}, {"a": 3, "b": 5}, {"a": 3, "c": 2}])
def test_the_state_of_another_buffer_is_refused(other):
    buffer = ShuffleBuffer(10, LIKE)
    refilled(buffer, 0)
    with pytest.raises(InputError, match="state of a buffer"):
        ShuffleBuffer(10, {name: torch.empty(d) for name, d in other.items()}).load_state_dict(buffer.state_dict())
    with pytest.raises(InputError, match="at most 5 rows"):
        ShuffleBuffer(5, LIKE).load_state_dict(buffer.state_dict())


def test_rows_are_held_as_they_come_and_handed_out_in_float32():
    buffer = ShuffleBuffer(10, {"a": torch.empty(3, dtype=torch.bfloat16)})
    rows = torch.randn(10, 3).bfloat16()
    buffer.add({"a": rows})
    assert buffer.bytes == 10 * 3 * 2 + 10 * 8
    assert torch.equal(buffer.take(10)["a"], rows.float())
