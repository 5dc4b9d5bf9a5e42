import threading
from concurrent.futures import Future
from itertools import count, islice, pairwise
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from monosema.activations import Contexts, MixedContexts, ModelSource, ReadAhead, Source, TensorSource
from monosema.activations.ahead import Ahead
from monosema.activations.store import StoreSource
from monosema.errors import InputError
from monosema.models import load_model
from tests.activations.store.setup import numbered
from tests.same import same

CPU = torch.device("cpu")


@pytest.fixture
def source_of(model, tokenizer, documents):
    """A function that makes a small source that reads its text ahead, or when it needs it."""

    def make(ahead: bool, text=documents, *, repeat=True, mixed=True) -> ModelSource:
        contexts = Contexts(tokenizer, text, 16, repeat=repeat)
        contexts = MixedContexts(contexts, 512) if mixed else contexts
        return ModelSource(
            model, contexts, ["resid_post.0"], batch_size=32, buffer_rows=256, context_batch=3, ahead=ahead
        )

    return make


def tensor_source(**settings) -> TensorSource:
    rows = torch.arange(400.0).view(100, 4)
    return TensorSource({"a": rows, "b": -rows[:, :2]}, 16, **settings)


class Maker:
    """Counts upwards; knows which thread made each number."""

    def __init__(self):
        self.threads: list[int] = []
        self.changed = threading.Condition()

    def __call__(self) -> int:
        with self.changed:
            self.threads.append(threading.get_ident())
            self.changed.notify_all()
            return len(self.threads)

    def reaches(self, made: int) -> bool:
        """Whether so many are made before long, and no more."""
        with self.changed:
            there = self.changed.wait_for(lambda: len(self.threads) >= made, timeout=30)
            return there and not self.changed.wait_for(lambda: len(self.threads) > made, timeout=0.05)


def test_things_come_in_order_and_are_made_before_they_are_asked_for():
    maker = Maker()
    ahead = Ahead(maker, 3, CPU)
    assert maker.threads == []
    assert ahead.take() == 1
    assert maker.threads[0] == threading.get_ident()
    assert maker.reaches(4)
    assert [ahead.take() for _ in range(5)] == [2, 3, 4, 5, 6]
    assert maker.reaches(9)
    assert threading.get_ident() not in maker.threads[1:]


def test_a_depth_of_nothing_makes_what_is_asked_for_and_no_more():
    maker = Maker()
    ahead = Ahead(maker, 0, CPU)
    assert [ahead.take(), ahead.take()] == [1, 2]
    assert maker.threads == [threading.get_ident()] * 2
    assert ahead.idle


def test_nothing_runs_once_what_is_ahead_is_forgotten():
    begun, may_end, made = threading.Event(), threading.Event(), count(1)

    def make() -> int:
        number = next(made)
        if number == 2:
            begun.set()
            assert may_end.wait(30)
        return number

    ahead = Ahead(make, 5, CPU)
    ahead.take()
    assert begun.wait(30)
    threading.Timer(0.05, may_end.set).start()
    ahead.clear()  # waits for the second, which has begun; those after it never begin
    assert may_end.is_set()
    assert ahead.idle
    assert next(made) == 3


def test_an_interrupted_wait_loses_nothing(monkeypatch):
    ahead = Ahead(Maker(), 2, CPU)
    assert ahead.take() == 1
    waits = Future.result

    def interrupted(future: Future, timeout: float | None = None) -> int:
        monkeypatch.setattr(Future, "result", waits)
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ahead.take()
    assert [ahead.take(), ahead.take()] == [2, 3]


@pytest.mark.parametrize("mixed", [True, False])
def test_a_model_whose_text_is_read_ahead_yields_the_same(source_of, documents, mixed):
    ahead, plain = (source_of(how, documents[:8], mixed=mixed) for how in (True, False))
    assert same(ahead.state_dict(), plain.state_dict())
    for _ in range(60):
        assert same(next(ahead), next(plain))
        assert same(ahead.state_dict(), plain.state_dict())
        assert (ahead.passes, ahead.tokens_read) == (plain.passes, plain.tokens_read)
    assert plain.passes > 1


def test_the_model_reads_for_the_next_filling_while_batches_are_taken(source_of, model):
    forward = Mock(return_value=None)
    model.module.register_forward_pre_hook(forward)

    def passes_by_batch(ahead: bool) -> list[int]:
        source, counts = source_of(ahead), [0]
        forward.reset_mock()
        for _ in range(9):
            next(source)
            counts.append(forward.call_count)
        return [after - before for before, after in pairwise(counts)]

    first, *ahead = passes_by_batch(True)
    _, *plain = passes_by_batch(False)
    assert first > 1
    assert sum(map(bool, plain)) == 2  # two fillings, all at once
    assert max(ahead) == 1 < max(plain)
    assert sum(plain) <= sum(ahead) <= sum(plain) + max(plain)


def test_a_text_that_ends_ends_with_the_same_batch(source_of):
    ahead, plain = (list(source_of(how, repeat=False)) for how in (True, False))
    assert same(ahead, plain)


@pytest.mark.parametrize("first", [True, False])
def test_a_saved_place_in_the_text_is_that_of_what_was_taken(source_of, first):
    source, goes_on = source_of(first), source_of(not first)
    for _ in range(13):
        next(source)
    goes_on.load_state_dict(source.state_dict())
    expected = list(islice(source, 20))
    assert same(list(islice(goes_on, 20)), expected)
    # Back again, with text ahead that is no longer wanted.
    state = source.state_dict()
    onwards = list(islice(source, 10))
    source.load_state_dict(state)
    assert same(list(islice(source, 10)), onwards)


def test_what_is_wrong_with_a_text_is_raised_where_it_is_read(source_of, documents):
    source = source_of(True, [*documents, "\ud800"], mixed=False)
    with pytest.raises(InputError, match="document 40 is no valid Unicode"):
        list(islice(source, 100))


def test_batches_that_are_read_ahead_are_the_sources():
    ahead, plain = ReadAhead(tensor_source()), tensor_source()
    assert isinstance(ahead, Source)
    assert (ahead.widths, ahead.batch_size) == (plain.widths, plain.batch_size)
    assert same(ahead.sample(5), plain.sample(5))
    for _ in range(20):
        assert same(ahead.state_dict(), plain.state_dict())
        assert same(next(ahead), next(plain))
    goes_on = tensor_source()
    goes_on.load_state_dict(ahead.state_dict())
    assert same(list(islice(goes_on, 5)), list(islice(ahead, 5)))


def test_a_sample_on_the_way_is_of_the_rows_to_come_and_takes_none(tmp_path):
    numbered(tmp_path, [40, 30, 50])
    plain, behind = (StoreSource(tmp_path, batch_size=16, window_rows=64) for _ in range(2))
    ahead = ReadAhead(behind)
    for source in (ahead, plain):
        list(islice(source, 3))
    assert same(ahead.sample(8), plain.sample(8))
    assert same(list(islice(ahead, 4)), list(islice(plain, 4)))
    assert ahead.passes == plain.passes


def test_a_source_that_ends_ends():
    ahead = ReadAhead(tensor_source(epochs=2), depth=3)
    assert same(list(ahead), list(tensor_source(epochs=2)))
    assert next(ahead, None) is None


def test_no_batch_ahead_is_refused():
    with pytest.raises(InputError, match="0 batches ahead"):
        ReadAhead(tensor_source(), depth=0)


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="copying to a GPU needs one; the tests above read ahead without"
)


@needs_gpu
def test_on_a_gpu_the_model_reads_the_same_beside_other_work(tokenizer, documents):
    model = load_model("tiny", device="cuda")

    def rows(ahead: bool) -> list[Tensor]:
        contexts = Contexts(tokenizer, documents, 32, repeat=True)
        source = ModelSource(
            model, contexts, ["resid_post.1"], batch_size=256, buffer_rows=2048, context_batch=8, ahead=ahead
        )
        busy, found = torch.randn(4096, 4096, device="cuda"), []
        for batch in islice(source, 60):
            busy = torch.tanh(busy @ busy)  # what a batch is taken for
            found.append(batch["resid_post.1"].cpu())
        return found

    assert same(rows(True), rows(False))


@needs_gpu
def test_on_a_gpu_the_batches_are_the_same():
    ahead = ReadAhead(tensor_source(), "cuda", depth=3)
    for expected in islice(tensor_source(), 50):
        batch = next(ahead)
        assert all(x.device.type == "cuda" for x in batch.values())
        assert same({point: x.cpu() for point, x in batch.items()}, expected)
