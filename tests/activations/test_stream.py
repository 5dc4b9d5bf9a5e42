from itertools import islice

import pytest
import torch

from monosema.activations import Contexts, Keep, ModelSource, Source, take_contexts
from monosema.errors import InputError
from monosema.models import read
from tests.same import same

POINTS = ["resid_pre.0", "resid_post.0", "mlp_out.1"]
LENGTH = 16
EVERYTHING = Keep(special_tokens=True, max_norm=None)


@pytest.fixture
def source_of(model, tokenizer, documents):
    """A function that makes a small source, with a few settings changed."""

    def make(text=documents, *, repeat=False, points=POINTS, length=LENGTH, **settings):
        settings = {"batch_size": 32, "buffer_rows": 512, "context_batch": 4, "keep": EVERYTHING, **settings}
        return ModelSource(model, Contexts(tokenizer, text, length, repeat=repeat), points, **settings)

    return make


def direct(model, tokenizer, text, points=POINTS, length=LENGTH):
    """The activations of every token, computed in one go, and the tokens: the independent computation."""
    ids = take_contexts(Contexts(tokenizer, text, length), 10**9)
    return {name: x.flatten(0, 1).float() for name, x in read(model, ids, points).items()}, ids.flatten()


def order_of(rows, among):
    """The index in `among` of each of `rows`; fails where a row is not there."""
    distances = torch.cdist(rows, among, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.min(dim=1)
    assert nearest.values.max() < 1e-4
    return nearest.indices


def joined(batches):
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def all_points(rows):
    return torch.cat([rows[name] for name in POINTS], dim=1)


def test_the_rows_are_the_models_activations_each_once_and_aligned(model, tokenizer, documents, source_of):
    source = source_of(batch_size=1)
    expected, ids = direct(model, tokenizer, documents)
    rows = joined(list(source))
    assert source.widths == dict.fromkeys(POINTS, 16)
    assert source.tokens_read == len(ids) == len(rows[POINTS[0]])
    assert source.passes == 1
    assert isinstance(source, Source)
    # One index for all hook points at once: a row that is not aligned is nowhere among the expected ones.
    assert order_of(all_points(rows), all_points(expected)).shape == ids.shape
    for name in POINTS:
        torch.testing.assert_close(rows[name].sum(dim=0), expected[name].sum(dim=0), rtol=1e-3, atol=1e-3)
        ours, theirs = (r[name].sort(dim=0).values for r in (rows, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_last_partial_batch_is_left_out(source_of):
    whole = sum(len(b[POINTS[0]]) for b in source_of(batch_size=1))
    batches = list(source_of(batch_size=100))
    assert {len(b[POINTS[0]]) for b in batches} == {100}
    assert len(batches) == whole // 100
    assert all(x.dtype == torch.float32 for b in batches for x in b.values())


def test_batches_mix_documents(model, tokenizer, documents, source_of):
    expected, _ = direct(model, tokenizer, documents)
    first = next(source_of(buffer_rows=1024))
    places = order_of(all_points(first), all_points(expected))
    assert places.max() < 1024
    assert len(set((places // LENGTH).tolist())) > 16  # 32 rows of a buffer of 64 contexts; unmixed they come from 2


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("read_before", [0, 1, 9, 14, 25])
def test_a_restored_source_goes_on_bit_identically(source_of, tmp_path, repeat, read_before):
    source = source_of(repeat=repeat, keep=Keep())
    list(islice(source, read_before))
    torch.save(source.state_dict(), tmp_path / "state.pt")
    again = source_of(repeat=repeat, keep=Keep(), seed=1234)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    ours, theirs = list(islice(source, 60)), list(islice(again, 60))
    assert len(ours) == len(theirs) > 0
    assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    assert source.tokens_read == again.tokens_read


def test_seeds_change_the_order(source_of):
    assert same(next(source_of(seed=1)), next(source_of(seed=1)))
    assert not same(next(source_of(seed=1)), next(source_of(seed=2)))


def test_a_sample_consumes_nothing(source_of):
    sampled, plain = source_of(), source_of()
    rows = sampled.sample(100)
    assert len(rows[POINTS[0]]) == 100
    assert len(sampled.sample(10**6)[POINTS[0]]) <= 512
    batches = list(sampled)
    assert all(same(a, b) for a, b in zip(batches, plain, strict=True))
    order_of(all_points(rows), all_points(joined(batches)))


def test_iterating_again_goes_on(source_of):
    whole = list(source_of())
    source = source_of()
    parts = [b for _ in range(3) for b in islice(iter(source), 4)] + list(source)
    assert len(parts) == len(whole)
    assert all(same(a, b) for a, b in zip(parts, whole, strict=True))


def test_special_tokens_and_early_positions_are_left_out(model, tokenizer, documents, source_of):
    expected, ids = direct(model, tokenizer, documents)
    for keep, kept in (
        (Keep(max_norm=None), ids != tokenizer.bos_token_id),
        (Keep(first_position=3, special_tokens=True, max_norm=None), torch.arange(len(ids)) % LENGTH >= 3),
        (Keep(first_position=1, max_norm=None), (torch.arange(len(ids)) % LENGTH >= 1) & (ids != 0)),
    ):
        assert 0 < kept.sum() < len(ids)
        rows = joined(list(source_of(batch_size=1, keep=keep)))
        theirs = all_points(expected)[kept]
        assert len(all_points(rows)) == len(theirs)
        torch.testing.assert_close(all_points(rows).sort(dim=0).values, theirs.sort(dim=0).values, rtol=1e-4, atol=1e-5)


def test_outlier_norms_are_left_out_at_every_hook_point(model, tokenizer, documents, source_of):
    loud = take_contexts(Contexts(tokenizer, documents, LENGTH), 10**9)[5, 7]
    with torch.no_grad():
        model.module.get_input_embeddings().weight[loud] *= 1000  # only loud before the first layer norm …
    expected, ids = direct(model, tokenizer, documents)
    assert expected["mlp_out.1"].norm(dim=1).max() < 10 * expected["mlp_out.1"].norm(dim=1).median()
    rows = joined(list(source_of(batch_size=1, keep=Keep(special_tokens=True))))
    assert len(rows["mlp_out.1"]) == int((ids != loud).sum()) < len(ids)  # … and yet left out after the last
    assert rows["resid_pre.0"].norm(dim=1).max() <= 10 * rows["resid_pre.0"].norm(dim=1).median()
    kept = joined(list(source_of(batch_size=1, keep=EVERYTHING)))
    assert len(kept["mlp_out.1"]) == len(ids)


def test_the_norm_that_is_kept_is_that_of_the_tokens_that_are(model, tokenizer, source_of):
    """Half of all tokens are special ones, with next to no norm."""
    with torch.no_grad():
        model.module.get_input_embeddings().weight[tokenizer.bos_token_id] *= 1e-3
    _, ids = direct(model, tokenizer, ["x"] * 200)
    rows = joined(list(source_of(["x"] * 200, points=["resid_pre.0"], batch_size=1, keep=Keep())))
    assert len(rows["resid_pre.0"]) == (ids != tokenizer.bos_token_id).sum()


def test_the_norms_that_are_kept_stay_what_they_were_behind_a_resume(model, source_of):
    """They follow from the first contexts, which a source that goes on does not read."""
    whole, again = source_of(keep=Keep(max_norm=1.2)), source_of(keep=Keep(max_norm=1.2))
    next(whole)
    state = whole.state_dict()
    again.load_state_dict(state)
    for weight in model.module.parameters():
        weight.data.mul_(1.5)  # what follows has other norms, and would have another median
    assert len(list(again)) == len(list(whole))
    assert again.state_dict()["norm_limits"] == state["norm_limits"]


def test_the_buffers_memory_is_stated_and_bounded(source_of):
    source = source_of(repeat=True)
    stated = source.bytes
    assert stated == 512 * (3 * 16 * 4 + 8)
    for _ in islice(source, 100):
        assert source._buffer.held <= 512
    assert source.bytes == stated


def test_passes_are_small_enough_for_a_small_buffer(model, tokenizer, documents, source_of):
    source = source_of(buffer_rows=64, context_batch=1000, batch_size=1)
    _, ids = direct(model, tokenizer, documents)
    assert len(list(source)) == len(ids)


def test_a_repeated_text_never_ends_and_counts_its_passes(source_of):
    source = source_of(repeat=True)
    batches = list(islice(source, 200))
    assert len(batches) == 200
    assert source.passes >= 1
    assert source.tokens_read >= 200 * 32


def test_nan_activations_say_where_they_come_from(model, tokenizer, documents, source_of):
    ids = take_contexts(Contexts(tokenizer, documents, LENGTH), 10**9)
    broken = int(ids[5, 7])
    context, position = (ids == broken).nonzero()[0].tolist()
    with torch.no_grad():
        model.module.get_input_embeddings().weight[broken] = float("inf")
    where = f"'resid_pre.0': position {position} \\(token {broken}\\) of context {context}, .*document"
    for keep in (EVERYTHING, Keep()):
        with pytest.raises(InputError, match=where):
            list(source_of(keep=keep))


def test_too_little_text_for_a_batch_is_refused(source_of):
    for text, settings in (
        (["x = 1"], {}),  # less than a context
        (["x = 1\n" * 30], {"batch_size": 250}),  # less than a batch
        (["x = 1"], {"repeat": True}),
    ):
        for start in (next, lambda s: s.sample(5)):
            with pytest.raises(InputError, match="at least one batch"):
                start(source_of(text, **settings))
    with pytest.raises(InputError, match="the text is empty"):
        next(source_of([]))


def test_a_text_of_which_nothing_is_kept_is_refused_and_not_read_for_ever(tokenizer, source_of):
    with pytest.raises(InputError, match="of which 0 were kept"):
        next(source_of([tokenizer.eos_token * 40], repeat=True, keep=Keep()))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"points": []}, "at least one name"),
        ({"points": "resid_post.0"}, "a list"),
        ({"points": ["resid_post.9"]}, "resid_post.9"),
        ({"length": 65}, "at most 64"),
        ({"buffer_rows": 63}, "at least 64 rows"),
        ({"batch_size": 0}, "batches of 0 rows"),
        ({"context_batch": 0}, "0 contexts"),
        ({"keep": Keep(first_position=16)}, "positions that are kept"),
    ],
)
def test_settings_that_cannot_work_are_refused(source_of, settings, says):
    with pytest.raises(InputError, match=says):
        source_of(**settings)


def test_the_state_of_another_source_is_refused(source_of):
    source = source_of()
    next(source)
    with pytest.raises(InputError, match="state of a buffer"):
        source_of(points=POINTS[:1]).load_state_dict(source.state_dict())
