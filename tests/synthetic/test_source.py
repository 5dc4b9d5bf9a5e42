"""The source goes on exactly, consumes nothing when sampled, and says which codes made a batch."""

from itertools import islice

import pytest
import torch

from monosema.activations import Source
from monosema.errors import InputError
from monosema.synthetic import Correlation, SyntheticConfig, SyntheticSource, World

WORLD = World(SyntheticConfig(20, 6, 0.2, correlation=Correlation(3, 0.3), noise=0.1))


def source(seed: int = 0, batch_size: int = 7) -> SyntheticSource:
    return SyntheticSource(WORLD, batch_size, seed=seed)


def rows(source: SyntheticSource, batches: int) -> torch.Tensor:
    return torch.cat([batch["synthetic"] for batch in islice(source, batches)])


def test_it_is_a_source():
    assert isinstance(source(), Source)
    assert source().widths == {"synthetic": 6}
    assert next(source())["synthetic"].shape == (7, 6)
    assert SyntheticSource(WORLD, 3, point="x").widths == {"x": 6}


@pytest.mark.parametrize("read", [0, 1, 5])
def test_a_restored_source_goes_on_identically(read: int):
    one, other = source(), source(seed=9)
    list(islice(one, read))
    other.load_state_dict(one.state_dict())
    assert torch.equal(rows(one, 4), rows(other, 4))


def test_a_sample_consumes_nothing_and_is_not_in_the_stream():
    one, other = source(), source()
    sample = one.sample(14)["synthetic"]
    assert sample.shape == (14, 6)
    stream = rows(one, 2)
    assert torch.equal(stream, rows(other, 2))
    assert not torch.equal(stream, sample)


def test_seeds_and_batches_do_not_share_rows():
    batches = [tuple(batch["synthetic"].flatten().tolist()) for seed in (0, 1) for batch in islice(source(seed), 5)]
    assert len(set(batches)) == 10


def test_the_codes_are_those_of_the_batch():
    one, other = source(), source()
    for _ in range(3):
        batch, codes = one.next_with_codes()
        assert torch.equal(batch["synthetic"], next(other)["synthetic"])
        rest = batch["synthetic"] - codes.to_dense() @ WORLD.directions
        assert rest.std() == pytest.approx(0.1, rel=0.4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="of 0 rows"):
        source(batch_size=0)
    with pytest.raises(InputError, match="batches of 7"):
        source(batch_size=8).load_state_dict(source().state_dict())
